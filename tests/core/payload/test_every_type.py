"""Blobs of every type of transaction, from keys of both curves, with one signature and with several."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from xrpl.wallet import Wallet

from processor.core.proof.evidence import SignatureDoubt
from processor.core.proof.signed_blob import SignatureClaim, SignedTransaction, prove, transaction_id
from tests.core.transactions import TYPES, least_of
from tests.support.wallets import ALICE, BOB, CAROL, cosigned, signed

WALLETS = {"secp256k1": ALICE, "ed25519": BOB}
SAMPLES = 12
"""Bits of each blob that are flipped, one at a time."""
WHOLE = ["Payment", "MPTokenIssuanceCreate", "Batch"]
"""Types of which a bit of each byte is flipped."""


def claim(request: dict[str, Any], blob: str, wallet: Wallet, *, several: bool) -> SignatureClaim:
    """What the API would say of it, the request included."""
    return SignatureClaim(
        blob=blob,
        txid=transaction_id(blob),
        account=request["Account"],
        tx_type=request["TransactionType"],
        signer=wallet.address,
        signer_pubkey=wallet.public_key,
        multisign_account=wallet.address if several else None,
        request=request,
        force_account=True,
        network="MAINNET",
    )


def made(tx_type: str, curve: str, *, several: bool) -> SignatureClaim:
    wallet = WALLETS[curve]
    request = least_of(tx_type, Account=CAROL.address if several else wallet.address)
    blob = cosigned(request, wallet) if several else signed(request, wallet)
    return claim(request, blob, wallet, several=several)


def flipped(whole: SignatureClaim, bit: int) -> SignatureClaim:
    """With one bit of the blob changed, and the hash that the changed blob has."""
    assert whole.blob is not None
    raw = bytearray.fromhex(whole.blob)
    raw[bit // 8] ^= 1 << bit % 8
    blob = raw.hex().upper()
    return replace(whole, blob=blob, txid=transaction_id(blob))


def bits_of(whole: SignatureClaim, tx_type: str) -> list[int]:
    """One of each byte for some types, a few at random for the rest; the same in every run."""
    assert whole.blob is not None
    dice, size = Random(whole.blob), len(whole.blob) // 2  # noqa: S311  the same in every run is the point
    each = range(size) if tx_type in WHOLE else dice.sample(range(size), SAMPLES)
    return [byte * 8 + dice.randrange(8) for byte in each]


@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
@pytest.mark.parametrize("curve", WALLETS)
@pytest.mark.parametrize("tx_type", TYPES)
def test_what_was_signed_is_proven_and_nothing_else(tx_type: str, curve: str, *, several: bool) -> None:
    """The blob proves who signed what was asked; with any bit of blob or hash changed it proves nothing."""
    whole = made(tx_type, curve, several=several)
    proof = prove(whole)
    others = [flipped(whole, bit) for bit in bits_of(whole, tx_type)]
    assert whole.txid is not None
    hashes = [f"{int(whole.txid, 16) ^ 1 << bit:064X}" for bit in (0, 100, 255)]
    wrong = [replace(whole, txid=txid) for txid in hashes]

    assert isinstance(proof, SignedTransaction), proof
    assert (WALLETS[curve].address, "multisign" if several else curve) == (proof.account, proof.signature.algorithm)
    assert [] == [other.blob for other in others if isinstance(prove(other), SignedTransaction)]
    assert [SignatureDoubt(field="response.txid", reason="differs")] * 3 == [prove(each) for each in wrong]
