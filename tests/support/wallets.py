"""Wallets of the XRP Ledger that sign dictionaries, by the library's own slow arithmetic."""

from typing import Any

from xrpl.constants import CryptoAlgorithm
from xrpl.core import binarycodec
from xrpl.core.keypairs import sign
from xrpl.wallet import Wallet

ALICE = Wallet.from_entropy("00" * 16, algorithm=CryptoAlgorithm.SECP256K1)
BOB = Wallet.from_entropy("11" * 16, algorithm=CryptoAlgorithm.ED25519)
CAROL = Wallet.from_entropy("22" * 16, algorithm=CryptoAlgorithm.SECP256K1)
SHOP = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"
KNOWN_ACCOUNT = "rwiETSee2wMz3SBnAG8hkMsCgvGy9LWbZ1"
KNOWN_SIGN_IN = (
    "2280000000240000000268400000000000000C73210333C718C9CB716E0575454F4A343D46B284ED51151B9C7383524B82C1"
    "0B262095744730450221009A4D99017F8FD6881D888047E2F9F90C068C09EC9308BC8526116B539D6DD44102207FAA7E8756"
    "F67FE7EE1A88884F120A00A8EC37E7D3E5ED3E02FEA7B1D97AA05581146C0994D3FCB140CAB36BAE9465137448883FA487"
)
"""Signed by a wallet in the wild."""
KNOWN_XAHAU_ACCOUNT = "rpkjaCPXbT5i7Vb1BnwozNp8E67o3s5AFD"
KNOWN_XAHAU_PAYMENT = (
    "120000210000535A242D7C1191201B00B0C1D161400000000000000168400000000000000C73210204854EF6AC3B774455A0058C76C895"
    "8923204655DC2971A46610EE46D15F1C0374473045022100C6A969A2C30B98AA7D41C37B1FBBE1ED6A9BB591A348B119CA8473037A58BF"
    "E302200D0296DB08B15E6D0307FE521EA9A16C6D31F5B63F2030D3FA77D47BD6734D558114133D274957DCA896146F7904A9C87139C02C"
    "09DE8314DCF42733685F79A6F26A1909EAA7474304A5A2AA"
)
KNOWN_XAHAU_TXID = "F4F09CE88D366A26499BBC3767D50FD73371A40624833A56C96AA604F3E0E265"
"""The same on the test network of Xahau."""


def payment(**changes: Any) -> dict[str, Any]:
    """A payment of Alice's to the shop; a change to None leaves the field out."""
    fields: dict[str, Any] = {
        "TransactionType": "Payment",
        "Account": ALICE.address,
        "Destination": SHOP,
        "DestinationTag": 7,
        "Amount": "1000000",
        "Fee": "12",
        "Flags": 0x80000000,
        "Sequence": 5,
        "LastLedgerSequence": 90_000_020,
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def sign_in(wallet: Wallet = ALICE, **changes: Any) -> dict[str, Any]:
    """What a wallet makes of a SignIn."""
    return {"Account": wallet.address, "Fee": "0", "Flags": 0, "Sequence": 0} | changes


def signed(transaction: dict[str, Any], wallet: Wallet = ALICE) -> str:
    """The blob of a transaction with one signature."""
    whole = transaction | {"SigningPubKey": wallet.public_key}
    message = bytes.fromhex(binarycodec.encode_for_signing(whole))
    return binarycodec.encode(whole | {"TxnSignature": sign(message, wallet.private_key)})


def signed_as_it_is(unsigned: str, wallet: Wallet = ALICE) -> str:
    """The blob of a transaction that xrpl-py cannot write: given in binary form, with the wallet's public key in it."""
    key = f"7321{wallet.public_key}"
    signature = sign(b"STX\x00" + bytes.fromhex(unsigned), wallet.private_key)
    return unsigned.upper().replace(key, f"{key}74{len(signature) // 2:02X}{signature}", 1)


def cosigned(transaction: dict[str, Any], *wallets: Wallet, accounts: tuple[str, ...] = ()) -> str:
    """The blob of a transaction with one signature of each wallet, on behalf of ``accounts`` where they are named."""
    whole = transaction | {"SigningPubKey": ""}
    signers = [
        {
            "Signer": {
                "Account": account,
                "SigningPubKey": wallet.public_key,
                "TxnSignature": sign(
                    bytes.fromhex(binarycodec.encode_for_multisigning(whole, account)), wallet.private_key
                ),
            }
        }
        for wallet, account in zip(wallets, accounts or [wallet.address for wallet in wallets], strict=True)
    ]
    return binarycodec.encode(whole | {"Signers": signers})
