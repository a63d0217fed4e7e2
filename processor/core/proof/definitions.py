"""The numbers of transaction types and fields, which differ from chain to chain.

Xahau was forked from the XRP Ledger and assigned numbers of its own, so that some numbers mean different things on the
two chains. An unknown chain is read with the definitions that both have in common.

Source: https://xrpl.org/docs/references/protocol/binary-format and the definitions that ``xahau-py`` carries
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from processor.core.proof.networks import CHAINS
from processor.core.proof.serialized import FieldId


class FieldShape(NamedTuple):
    """A field that a transaction can have."""

    id: FieldId
    kind: str
    """The name of its type, such as ``AccountID``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """The transaction types and fields of one chain."""

    types: Mapping[str, int]
    """The number of each transaction type."""
    fields: Mapping[str, FieldShape]

    @property
    def ids(self) -> frozenset[FieldId]:
        """The ids of all fields."""
        return frozenset(shape.id for shape in self.fields.values())


def definitions_of(network: str | None) -> Definitions:
    """The definitions of a network, by Xumm's name of it.

    None stands for the XRP Ledger: a transaction of a network with a number above 1024 names it.
    """
    match "XRPL" if network is None else CHAINS.get(network):
        case "XRPL":
            return _xrpl()
        case "XAHAU":
            return _xahau()
        case _:
            return _common()


@cache
def all_fields() -> Mapping[str, FieldShape]:
    """The fields of all chains by name."""
    return {**_xahau().fields, **_xrpl().fields}


@cache
def all_types() -> frozenset[str]:
    """The transaction types of all chains."""
    return frozenset(_xrpl().types) | frozenset(_xahau().types)


@cache
def _xrpl() -> Definitions:
    from xrpl.core.binarycodec.definitions.definitions import load_definitions  # half a second with the first use

    known = load_definitions()
    return Definitions(
        types={name: number for name, number in known["TRANSACTION_TYPES"].items() if number >= 0},
        fields={
            name: FieldShape(FieldId(known["TYPES"][field["type"]], field["nth"]), field["type"])
            for name, field in known["FIELDS"].items()
            if field["isSerialized"] and field["nth"] > 0
        },
    )


@cache
def _xahau() -> Definitions:
    xrpl = _xrpl()
    kinds = {shape.kind: shape.id.type for shape in xrpl.fields.values()}
    own = {
        name: FieldShape(FieldId(kinds[kind], number), kind)
        for kind, numbers in _XAHAU_FIELDS.items()
        for name, number in numbers.items()
    }
    return Definitions(
        types={name: number for name, number in xrpl.types.items() if number in _SHARED_TYPES} | _XAHAU_TYPES,
        fields={name: xrpl.fields[name] for name in _SHARED_FIELDS.split()} | own,
    )


@cache
def _common() -> Definitions:
    xrpl, xahau = _xrpl(), _xahau()
    return Definitions(
        types=dict(xrpl.types.items() & xahau.types.items()), fields=dict(xrpl.fields.items() & xahau.fields.items())
    )


_SHARED_TYPES: Final = frozenset({*range(31), 100, 101, 102})
"""Numbers that mean the same on both chains."""
_XAHAU_TYPES: Final = {
    "SetHook": 22,
    "URITokenMint": 45,
    "URITokenBurn": 46,
    "URITokenBuy": 47,
    "URITokenCreateSellOffer": 48,
    "URITokenCancelSellOffer": 49,
    "Cron": 92,
    "CronSet": 93,
    "SetRemarks": 94,
    "Remit": 95,
    "GenesisMint": 96,
    "Import": 97,
    "ClaimReward": 98,
    "Invoke": 99,
    "EmitFailure": 103,
    "UNLReport": 104,
}
_SHARED_FIELDS: Final = """
TickSize TransactionType SignerWeight TransferFee Version NetworkID Flags SourceTag Sequence Expiration TransferRate
WalletSize DestinationTag QualityIn QualityOut OfferSequence FirstLedgerSequence LastLedgerSequence OperationLimit
SetFlag ClearFlag SignerQuorum CancelAfter FinishAfter SettleDelay TicketCount TicketSequence NFTokenTaxon EmailHash
WalletLocator AccountTxnID NFTokenID InvoiceID Channel CheckID NFTokenBuyOffer NFTokenSellOffer Amount Balance
LimitAmount TakerPays TakerGets Fee SendMax DeliverMin NFTokenBrokerFee PublicKey MessageKey SigningPubKey
TxnSignature URI Signature Domain CreateCode MemoType MemoData MemoFormat Fulfillment Condition MasterSignature
Account Owner Destination Issuer Authorize Unauthorize RegularKey NFTokenMinter NFTokenOffers Paths Memo SignerEntry
Signer Signers SignerEntries Memos EmitDetails EmitBurden EmitParentTxnID EmitNonce EmitHookHash EmitCallback Digest
"""
"""Fields of transactions that mean the same on both chains."""
_XAHAU_FIELDS: Final[dict[str, dict[str, int]]] = {
    "UInt16": {"HookApiVersion": 20},
    "UInt32": {"EmitGeneration": 46},
    "Hash256": {
        "HookOn": 20, "HookHash": 31, "HookNamespace": 32, "OfferID": 34, "EscrowID": 35, "URITokenID": 36,
    },
    "Blob": {"HookParameterName": 24, "HookParameterValue": 25, "Blob": 26},
    "AccountID": {"HookAccount": 16, "Inform": 99},
    "Vector256": {"URITokenIDs": 99},
    "STObject": {
        "Hook": 14, "HookParameter": 23, "HookGrant": 24, "AmountEntry": 91, "MintURIToken": 92, "ImportVLKey": 94,
        "ActiveValidator": 95, "GenesisMint": 96,
    },
    "STArray": {
        "Hooks": 11, "HookParameters": 19, "HookGrants": 20, "Amounts": 92, "ImportVLKeys": 94, "ActiveValidators": 95,
        "GenesisMints": 96,
    },
}  # fmt: skip
"""Fields of transactions that the XRP Ledger does not have, or has under another number."""
