"""Wallets that sign for real, on either curve of the ledger, with keys that are the same in every run.

Source: https://xrpl.org/docs/concepts/transactions/transaction-signing
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from xrpl.constants import CryptoAlgorithm, XRPLException
from xrpl.core.binarycodec import (
    encode,
    encode_for_multisigning,
    encode_for_signing,
    encode_for_signing_batch,
    encode_for_signing_claim,
)
from xrpl.core.keypairs import derive_classic_address, derive_keypair, generate_seed
from xrpl.core.keypairs import sign as sign_bytes

from processor.sandbox.javascript import JsonObject

_TRANSACTION_ID: Final = b"TXN\x00"
_SEED_DIGITS: Final = 32
OTHER_TYPES: Final = {"URITokenMint": 45, "SetRemarks": 94, "ClaimReward": 98, "Invoke": 99, "FutureSet": 250}
"""Transaction types that xrpl-py does not know: those of Xahau, and a made-up one. The real wallet learns the types of
a network from its nodes, and signs them all.

Source: the definitions that ``xahau-py`` carries
"""
_STAND_IN: Final = "AccountSet"
_STANDS_IN: Final = "120003"
"""The binary form of that type."""

SIGN_IN_ACCOUNT: Final = "rwiETSee2wMz3SBnAG8hkMsCgvGy9LWbZ1"
"""A user of Xumm whose key is not known here: the account can only sign in, with `SIGNED_SIGN_IN`."""
SIGNED_SIGN_IN: Final = (
    "2280000000240000000268400000000000000C73210333C718C9CB716E0575454F4A343D46B284ED51151B9C7383524B82C1"
    "0B262095744730450221009A4D99017F8FD6881D888047E2F9F90C068C09EC9308BC8526116B539D6DD44102207FAA7E8756"
    "F67FE7EE1A88884F120A00A8EC37E7D3E5ED3E02FEA7B1D97AA05581146C0994D3FCB140CAB36BAE9465137448883FA487"
)
"""The blob of a sign-in, which has no TransactionType, validly signed by `SIGN_IN_ACCOUNT`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """One key pair and its address."""

    address: str
    public_key: str
    """Hexadecimal; ``ED`` in front marks the curve ed25519."""
    private_key: str = field(repr=False)

    def sign(self, transaction: Mapping[str, Any]) -> str:
        """The blob of ``transaction``, hexadecimal, signed with this key alone."""
        unsigned = {**transaction, "SigningPubKey": self.public_key}
        signature = sign_bytes(bytes.fromhex(_write(unsigned, encode_for_signing)), self.private_key)
        return _write({**unsigned, "TxnSignature": signature}, encode)

    def cosign(self, transaction: Mapping[str, Any], account: str) -> str:
        """The blob of ``transaction`` with this key's signature, on behalf of ``account``, as its only signer."""
        unsigned = {**transaction, "SigningPubKey": ""}
        message = _write(unsigned, lambda whole: encode_for_multisigning(whole, account))
        signature = sign_bytes(bytes.fromhex(message), self.private_key)
        signer = {"Account": account, "SigningPubKey": self.public_key, "TxnSignature": signature}
        return _write({**unsigned, "Signers": [{"Signer": signer}]}, encode)

    def approve(self, batch: Mapping[str, Any], account: str) -> JsonObject:
        """The member of ``BatchSigners`` with which ``account`` agrees to its parts of ``batch``.

        Source: https://xls.xrpl.org/xls/XLS-0056-batch.html
        """
        message = encode_for_signing_batch(
            {
                "account": batch["Account"],
                "sequence": batch["Sequence"],
                "flags": batch["Flags"],
                "transaction_ids": [
                    transaction_id(encode(each["RawTransaction"])) for each in batch["RawTransactions"]
                ],
                "batch_account": account,
            }
        )
        signature = sign_bytes(bytes.fromhex(message), self.private_key)
        signer = {"Account": account, "SigningPubKey": self.public_key, "TxnSignature": signature}
        return {"BatchSigner": signer}

    def authorize(self, claim: Mapping[str, Any]) -> str:
        """The signature of a claim on a payment channel, which is not a transaction."""
        message = encode_for_signing_claim({"channel": claim["Channel"], "amount": claim["Amount"]})
        return sign_bytes(bytes.fromhex(message), self.private_key)


def check_writable(transaction: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for a transaction that has no binary form."""
    try:
        _write(transaction, encode)
    except (XRPLException, LookupError, TypeError, AttributeError) as error:
        raise ValueError("no transaction of the ledger") from error


def _write(transaction: Mapping[str, Any], write: Callable[[JsonObject], str]) -> str:
    """``write`` the transaction, whose type xrpl-py may not know."""
    number = OTHER_TYPES.get(str(transaction.get("TransactionType")))
    if number is None:
        return write({**transaction})
    return write({**transaction, "TransactionType": _STAND_IN}).replace(_STANDS_IN, f"12{number:04X}", 1)


def derive_wallet(name: str, algorithm: CryptoAlgorithm = CryptoAlgorithm.SECP256K1) -> Wallet:
    """The wallet of ``name``, the same each time."""
    entropy = hashlib.sha256(f"sandbox wallet {name}".encode()).hexdigest()[:_SEED_DIGITS]
    public, private = derive_keypair(generate_seed(entropy, algorithm))
    return Wallet(address=derive_classic_address(public), public_key=public, private_key=private)


ALICE: Final = derive_wallet("alice")
"""The signer unless another account is named; secp256k1."""
BOB: Final = derive_wallet("bob", CryptoAlgorithm.ED25519)
_WALLETS: Final = {wallet.address: wallet for wallet in (ALICE, BOB)}


def find_wallet(account: str) -> Wallet:
    """The wallet that signs for ``account``: its own, if known here; else a *regular key*, which has another address.

    Source: https://xrpl.org/docs/concepts/accounts/cryptographic-keys#regular-key-pair
    """
    return _WALLETS.get(account) or derive_wallet(f"regular key of {account}")


def transaction_id(blob: str) -> str:
    """The hash that names a signed blob on the ledger: the first half of SHA-512.

    Source: https://xrpl.org/docs/references/protocol/data-types/basic-data-types#hash-prefixes
    """
    return hashlib.sha512(_TRANSACTION_ID + bytes.fromhex(blob)).digest()[:32].hex().upper()
