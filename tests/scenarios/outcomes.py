"""How a payload can end: what its user does and when, and what the service must have published in the end."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import reduce
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from processor.core.payload.state import NO_FLAG, Flag
from processor.sandbox.faults import TEC, Faults, SocketFault
from processor.sandbox.payload import CustomMeta, SignRequest
from processor.sandbox.server import Sandbox
from processor.sandbox.wallet import ALICE, BOB, find_wallet

Json = dict[str, Any]
Deed = Callable[[Sandbox, str], object]

EXPIRY_MINUTES: Final = 2
ACTS_AT: Final = 70.0
"""Seconds behind creation. The service has looked at each payload after a minute, so this is news to it."""
SIGNS_LATE_AT: Final = 180.0
STRANGER: Final = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"
"""An account whose own key nobody has: its regular key signs."""
_COSIGNER: Final = "rPEPPER7kfTD9w2To4CQk6UCfuHM9c6GDY"
"""Another such account."""
_AMOUNT: Final = "1000000"


class Outcome(NamedTuple):
    """One way to end."""

    request: Json | SignRequest
    """The body of `POST payload`, or what a body says that no client of ours could send."""
    deeds: Mapping[float, Deed]
    """What is done, at how many seconds."""
    resolve: str | None
    """The name of the resolve event; None if there is none, and a human is asked."""
    data: Mapping[str, Any] = MappingProxyType({})
    """What the event must say; what is within dictionaries is compared key by key."""
    signs: frozenset[str] = frozenset()
    """Sign events that there must be."""
    may: frozenset[str] = frozenset()
    """Sign events that there may be besides, if a source tells them in time."""
    faults: Faults | None = None
    told_by: frozenset[str] = frozenset()
    """The sources beside the API that tell how it ended."""
    at_once: bool = True
    """Whether what was told is proven within seconds."""
    flags: Flag = NO_FLAG
    """What a human is told."""
    may_flag: Flag = NO_FLAG
    """The flag that it may bear for information."""

    @property
    def is_lied_of(self) -> bool:
        """Whether its socket lies, whichever sources else get through."""
        return self.faults is not None and self.faults.socket is not None


def _open(sandbox: Sandbox, uuid: str) -> object:
    return sandbox.open(uuid)


def _sign(**how: Any) -> Deed:
    return lambda sandbox, uuid: sandbox.sign(uuid, **how)


def _reject(sandbox: Sandbox, uuid: str) -> object:
    return sandbox.reject(uuid)


def _cancel(sandbox: Sandbox, uuid: str) -> object:
    return sandbox.cancel(uuid)


def _cancel_and_sign(sandbox: Sandbox, uuid: str) -> object:
    sandbox.cancel(uuid)
    return sandbox.sign(uuid)


def _request(tx_type: str, **options: Any) -> Json:
    payment = {"Destination": BOB.address, "Amount": _AMOUNT, "DestinationTag": 7}
    txjson = {"TransactionType": tx_type, **(payment if tx_type == "Payment" else {})}
    return {"txjson": txjson, "options": {"expire": EXPIRY_MINUTES, **options}}


def _batch() -> Json:
    """As the wallet's help shows it: the signer of the second part by the payload that holds the signature."""
    part = _request("Payment")["txjson"] | {"Fee": "0", "SigningPubKey": "", "Sequence": 5, "Flags": 1073741824}
    parts = [{"RawTransaction": part | {"Account": account}} for account in (ALICE.address, STRANGER)]
    batch = {"TransactionType": "Batch", "Flags": 65536, "RawTransactions": parts}
    signers = ["8d9da6a3-ffdc-4e73-ae31-75ab74d290bd"]
    return {"txjson": batch | {"BatchSigners": signers}, "options": {"expire": EXPIRY_MINUTES}}


def _for_several_signers() -> Json:
    request = _request("Payment", multisign=True)
    return request | {"txjson": request["txjson"] | {"Account": STRANGER, "Sequence": 5}}


_PAYMENT: Final = _request("Payment")
_LOSSY: Final = SignRequest(
    txjson=_PAYMENT["txjson"],
    expire=timedelta(minutes=EXPIRY_MINUTES),
    custom_meta=CustomMeta(
        identifier="order-7", blob=["half a pair: \ud83d", reduce(lambda deep, _: [deep], range(250))]
    ),
)
_SIGN_IN: Final = _request("SignIn")
_BATCH: Final = _batch()
_CLAIM: Final = {
    "txjson": {"TransactionType": "PaymentChannelAuthorize", "Channel": "AB" * 32, "Amount": "5"},
    "options": {"expire": EXPIRY_MINUTES},
}
_BOTH: Final = frozenset({"webhook", "socket"})
_ON_THE_WAY: Final = frozenset({"opened", "pre_signed", "token_issued"})
_ON_THE_WAY_TO_A_LEDGER: Final = _ON_THE_WAY | {"dispatched"}
_SIGNED: Final = frozenset({"signed"})
_BY_ALICE: Final = {
    "account": ALICE.address,
    "proof": {"signature": {"account": ALICE.address, "algorithm": "secp256k1"}},
    "network": "MAINNET",
}
_PAID: Final = {"delivered_amount": _AMOUNT, "destination": BOB.address, "destination_tag": 7, "tx_type": "Payment"}
_PROVEN: Final = {"ledger": {"result": "tesSUCCESS"}, **_BY_ALICE["proof"]}


def _signed_payment(resolve: str | None, data: Json, **changes: Any) -> Outcome:
    deeds = changes.pop("deeds", {ACTS_AT: _open, ACTS_AT + 1: _sign()})
    request = changes.pop("request", _PAYMENT)
    values: Json = {"signs": _SIGNED, "may": _ON_THE_WAY_TO_A_LEDGER, "told_by": _BOTH}
    return Outcome(request, deeds, resolve, _BY_ALICE | data if resolve else {}, **values | changes)


def _lied_of(fault: SocketFault, *told: str) -> Outcome:
    """A payment that comes to pass, of which its socket says otherwise."""
    return _signed_payment(
        "validated",
        _PAID | {"proof": _PROVEN},
        signs=_SIGNED | frozenset(told),
        faults=Faults(socket=fault),
        told_by=frozenset({"webhook"}),
        may_flag=Flag.OUTCOMES_DISAGREE,
    )


def _signed_off_ledger(request: Json, data: Json, **how: Any) -> Outcome:
    deeds = {ACTS_AT: _open, ACTS_AT + 1: _sign(**how)}
    return Outcome(request, deeds, "signed", data, _SIGNED, _ON_THE_WAY, told_by=_BOTH)


OUTCOMES: Final[dict[str, Outcome]] = {
    "signed on the ledger": _signed_payment("validated", _PAID | {"proof": _PROVEN}),
    "partial payment": _signed_payment(
        "validated",
        _PAID | {"delivered_amount": "17", "proof": _PROVEN},
        deeds={ACTS_AT: _open, ACTS_AT + 1: _sign(delivered="17")},
    ),
    "dispatch result late": _signed_payment("validated", _PAID, faults=Faults(dispatch_late_by=20.0)),
    "paid by a path": _signed_payment("validated", _PAID, request=_request("Payment", pathfinding=True)),
    "batch of several": _signed_payment("validated", {"tx_type": "Batch", "proof": _PROVEN}, request=_BATCH),
    "signed in": _signed_off_ledger(_SIGN_IN, _BY_ALICE | {"tx_type": "SignIn", "proof": _BY_ALICE["proof"]}),
    "signed in on the other curve": _signed_off_ledger(
        _SIGN_IN,
        {"account": BOB.address, "proof": {"signature": {"account": BOB.address, "algorithm": "ed25519"}}},
        account=BOB.address,
    ),
    "signed in with a regular key": _signed_off_ledger(
        _SIGN_IN,
        {"account": STRANGER, "proof": {"signature": {"account": find_wallet(STRANGER).address}}},
        account=STRANGER,
    ),
    "signed, not submitted": _signed_off_ledger(
        _request("Payment", submit=False), _BY_ALICE | {"tx_type": "Payment", "proof": {"ledger": None}}
    ),
    "signed by one of several": _signed_off_ledger(
        _for_several_signers(),
        {"account": ALICE.address, "tx_type": "Payment", "network": "MAINNET"}
        | {"proof": {"ledger": None, "signature": {"account": STRANGER, "algorithm": "multisign"}}},
        account=ALICE.address,
    ),
    "signed by one of several with a regular key": _signed_off_ledger(
        _for_several_signers(),
        {"account": _COSIGNER, "proof": {"signature": {"account": STRANGER, "algorithm": "multisign"}}},
        account=_COSIGNER,
    ),
    "claim on a channel": _signed_off_ledger(_CLAIM, _BY_ALICE | {"tx_type": "PaymentChannelAuthorize"}),
    "of another chain": _signed_payment(
        "failed",
        {"reason": "wrong_network", "network": "XAHAU"},
        request=_request("URITokenMint"),
        faults=Faults(network="XAHAU"),
    ),
    "of a type that nobody knows": _signed_payment(
        None, {}, request=_request("FutureSet"), at_once=False, flags=Flag.SIGNATURE_UNREADABLE
    ),
    "rejected": Outcome(
        _PAYMENT,
        {ACTS_AT: _open, ACTS_AT + 1: _reject},
        "rejected",
        signs=frozenset({"rejected"}),
        may=frozenset({"opened"}),
        told_by=_BOTH,
    ),
    "expired unopened": Outcome(
        _PAYMENT, {}, "expired", signs=frozenset({"expired"}), told_by=frozenset({"socket"}), at_once=False
    ),
    "expired opened, never signed": Outcome(
        _PAYMENT,
        {ACTS_AT: _open},
        "expired",
        signs=frozenset({"expired"}),
        may=frozenset({"opened"}),
        told_by=frozenset({"socket"}),
        at_once=False,
    ),
    "expired opened, then signed": _signed_payment(
        "validated",
        _PAID,
        deeds={ACTS_AT: _open, SIGNS_LATE_AT: _sign()},
        may=_ON_THE_WAY_TO_A_LEDGER | {"expired"},
        at_once=False,
    ),
    "cancelled": Outcome(_PAYMENT, {ACTS_AT: _cancel}, "cancelled", signs=frozenset({"cancelled"})),
    "failed with tec": _signed_payment(
        "failed", {"reason": "ledger_result", "result": TEC, "proof": _BY_ALICE["proof"]}, faults=Faults(ledger="tec")
    ),
    "on another network": _signed_payment(
        "failed", {"reason": "wrong_network", "network": "TESTNET"}, faults=Faults(network="TESTNET")
    ),
    "never validated": _signed_payment(
        "failed", {"reason": "never_validated", "result": None}, faults=Faults(ledger="lost"), at_once=False
    ),
    "signed, never submitted": _signed_payment(
        "failed",
        {"reason": "never_validated", "result": None},
        faults=Faults(ledger="unsubmitted"),
        may=_ON_THE_WAY,
        at_once=False,
    ),
    "amount not known": _signed_payment(
        "validated",
        _PAID | {"delivered_amount": None, "amount_unavailable": True, "proof": _PROVEN},
        faults=Faults(ledger="unavailable"),
    ),
    "attachment that cannot be carried": _signed_payment(
        "validated",
        _PAID | {"custom_meta": {"identifier": "order-7", "blob": None, "dropped": ["blob"]}},
        request=_LOSSY,
    ),
    "signed, cancelled and expired": _signed_payment(
        "validated",
        _PAID,
        deeds={ACTS_AT: _open, ACTS_AT + 1: _cancel_and_sign},
        may=_ON_THE_WAY_TO_A_LEDGER | {"cancelled"},
        faults=Faults(cancel="racing"),
    ),
    "cancelled opened, then signed": _signed_payment(
        "validated",
        _PAID,
        deeds={ACTS_AT: _open, ACTS_AT + 1: _cancel, SIGNS_LATE_AT: _sign()},
        may=_ON_THE_WAY_TO_A_LEDGER | {"cancelled", "expired"},
        faults=Faults(cancel="racing"),
        at_once=False,
    ),
    "cancelled opened, never signed": Outcome(
        _PAYMENT,
        {ACTS_AT: _open, ACTS_AT + 1: _cancel},
        "cancelled",
        signs=frozenset({"cancelled"}),
        may=frozenset({"opened", "expired"}),
        faults=Faults(cancel="racing"),
        at_once=False,
    ),
    "signed, the socket says rejected": _lied_of("lying_rejected", "rejected"),
    "signed, the socket says expired": _lied_of("lying_expired", "expired"),
    "signed, the socket names another transaction": _lied_of("lying_txid"),
    "rejected, the socket says signed": Outcome(
        _PAYMENT,
        {ACTS_AT: _open, ACTS_AT + 1: _reject},
        "rejected",
        signs=frozenset({"signed", "rejected"}),
        may=frozenset({"opened"}),
        faults=Faults(socket="lying"),
        told_by=frozenset({"webhook"}),
        may_flag=Flag.OUTCOMES_DISAGREE,
    ),
    "expired, the socket says signed": Outcome(
        _PAYMENT,
        {},
        "expired",
        signs=_SIGNED,
        faults=Faults(socket="lying"),
        at_once=False,
        may_flag=Flag.OUTCOMES_DISAGREE,
    ),
}
