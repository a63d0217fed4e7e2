"""What other services may ask of this one, by HTTP or by a message on the queue that `schemas.topology` names."""

from pydantic import BaseModel, ConfigDict

from schemas.text import ApplicationName, Uuid


class WatchCommand(BaseModel):
    """Follow a payload to its end, even if no webhook ever comes. Asking again is harmless."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    app: ApplicationName
    """The application's name."""
    payload: Uuid
    """What Xumm answered when the sign request was created."""
