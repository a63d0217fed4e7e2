"""The text messages of a payload's WebSocket, ``wss://xumm.app/sign/<payload uuid>``.

Xumm adds keys and messages over time, so a message is read by the keys that it has. A message with none of these keys
is unknown, and only logged.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/websocket
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StrictBool

from schemas.text import Attached, NothingIsNone, TransactionHash, Uuid


class Status(BaseModel):
    """One message. Every field is optional; those that are set tell its kind."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message: str | None = None
    """``Welcome <uuid>`` on connecting; another text, then a close, if there is no such payload (yet)."""
    expires_in_seconds: Annotated[int | None, NothingIsNone] = None
    """Negative: expired that long ago. Sent on connecting and every 15 s."""
    opened: StrictBool | None = None
    """Sent each time the wallet opens the payload, also after the expiry."""
    devapp_fetched: StrictBool | None = None
    """The payload was fetched by API: no news."""
    pre_signed: StrictBool | None = None
    dispatched: StrictBool | None = None
    expired: StrictBool | None = None
    """The payload can no longer be opened; if it was opened, it can still be answered."""
    signed: StrictBool | None = None
    """Set on the message that resolves the payload."""
    payload_uuidv4: Uuid | None = None
    txid: Annotated[TransactionHash | None, NothingIsNone] = None
    custom_meta: Attached = None
