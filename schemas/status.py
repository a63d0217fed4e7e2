"""The text messages of a payload's WebSocket, ``wss://xumm.app/sign/<payload uuid>``.

New keys and messages come over time, so a message is read by the keys it has; one with none of these is unknown, which
is worth a log line and nothing else.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/websocket
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StrictBool

from schemas.text import Attached, NothingIsNone, TransactionHash, Uuid


class Status(BaseModel):
    """One message. Every field is optional; those that are set say what it is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message: str | None = None
    """``Welcome <uuid>`` on connecting; another text, then a close, if the payload does not exist (yet)."""
    expires_in_seconds: Annotated[int | None, NothingIsNone] = None
    """Negative: expired that long ago. Sent on connecting and every 15 s."""
    opened: StrictBool | None = None
    """Comes with every look of the wallet, also after the expiry."""
    devapp_fetched: StrictBool | None = None
    """Somebody fetched the payload by API: no news."""
    pre_signed: StrictBool | None = None
    dispatched: StrictBool | None = None
    expired: StrictBool | None = None
    """It cannot be opened any more; one that was opened can still be answered."""
    signed: StrictBool | None = None
    """Set on the message that resolves the payload."""
    payload_uuidv4: Uuid | None = None
    txid: Annotated[TransactionHash | None, NothingIsNone] = None
    custom_meta: Attached = None
