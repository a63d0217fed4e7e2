"""What an operator sets for each application."""

from datetime import timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from processor.notation import ApiSecret, ApiUrl, DeepLinks, Duration, Network
from schemas.text import Uuid


class Section(BaseModel):
    """One table of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class PreviousSecret(Section):
    """An API secret that was replaced, but may still be signed with for a while."""

    secret: ApiSecret
    not_after: AwareDatetime
    """Until when it is accepted, ISO 8601 with a time zone."""


class ApplicationSettings(Section):
    """One application of Xumm's developer console."""

    api_key: Uuid
    """The API key: a UUID, public, the same as ``application_uuidv4``."""
    api_secret: ApiSecret
    """The API secret, exactly as the console shows it."""
    previous_secrets: tuple[PreviousSecret, ...] = ()
    """Secrets that are being rotated out."""
    network: Network = "MAINNET"
    """Where transactions must land: a payment on another network never passes for a real one."""
    grace: Duration = timedelta(hours=24)
    """How long a payload that was opened in time may still be signed after it expired."""
    oauth2_url: ApiUrl = "https://oauth2.xumm.app"
    """Xumm's OAuth2 provider, which is also what its tokens name as their issuer."""
    deep_links: DeepLinks = ()
    """Where the app's users may be sent back to after signing in through the provider: each link as a whole, a
    universal link or one of the app's own scheme. None: they cannot sign in that way."""
    xapp_tokens: bool = False
    """Whether the token of an xApp says who its user is. Whoever has the API secret can make one."""
