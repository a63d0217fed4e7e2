"""The answers of an XRP Ledger node to ``tx`` and ``server_info``, as far as an outcome depends on them.

Source: https://xrpl.org/docs/references/http-websocket-apis/public-api-methods/transaction-methods/tx
"""

from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue, StrictBool

from schemas.data import Tolerant
from schemas.text import Account, TransactionHash, Whole


class TransactionMeta(Tolerant):
    """The effect of a transaction. ``delivered_amount`` is raw here: nodes also send the word ``unavailable``."""

    result: Annotated[str, Field(alias="TransactionResult", pattern=r"^[a-z]{3}[A-Za-z0-9_]*$", max_length=64)]
    delivered_amount: JsonValue = None


class Transaction(Tolerant):
    """A transaction, its fields at the top level. From API version 2 on they are in ``tx_json``: the caller merges."""

    model_config = ConfigDict(populate_by_name=True)

    hash: TransactionHash
    validated: StrictBool = False
    ledger_index: Whole | None = None
    meta: TransactionMeta | None = None
    transaction_type: str | None = Field(default=None, alias="TransactionType")
    account: Account | None = Field(default=None, alias="Account")
    destination: Account | None = Field(default=None, alias="Destination")
    destination_tag: Whole | None = Field(default=None, alias="DestinationTag")
    fee: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] | None = Field(default=None, alias="Fee")
    last_ledger_sequence: Whole | None = Field(default=None, alias="LastLedgerSequence")


class ValidatedLedger(Tolerant):
    """The newest validated ledger that a node knows."""

    seq: Whole


class NodeInfo(Tolerant):
    """A node, about itself. Older nodes of the main network tell no ``network_id``."""

    network_id: Whole | None = None
    validated_ledger: ValidatedLedger | None = None
    complete_ledgers: Annotated[str, Field(max_length=10_000)] = ""
    """Ranges such as ``32570-90000000,90000002-90000007``, or ``empty``."""


class ServerInfo(Tolerant):
    """The result of ``server_info``."""

    info: NodeInfo
