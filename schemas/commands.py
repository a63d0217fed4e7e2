"""What other services may ask of this one, by HTTP or by a message on the queue that `schemas.topology` names."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.text import ApplicationName, Uuid


class WatchCommand(BaseModel):
    """Follow a payload to its end, even if no webhook ever comes. Asking again is harmless."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    app: ApplicationName
    """The application's name."""
    payload: Uuid
    """What Xumm answered when the sign request was created."""


class RedeemCommand(BaseModel):
    """Swap the code that came to the app's deep link for a session."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    code: Annotated[str, Field(max_length=2048, repr=False)]
    """As it came, once."""
    code_verifier: Annotated[str, Field(max_length=128, repr=False)]
    """What the app made its ``code_challenge`` of."""
