"""What an operator sets for each application."""

from datetime import timedelta

from pydantic import AwareDatetime

from processor.settings.sections import DeepLinks, ReturnUrls, Section
from processor.settings.value_types import (
    AndroidPackage,
    ApiUrl,
    AppleApps,
    ConsoleSecret,
    Duration,
    Fingerprints,
    NetworkName,
)
from schemas.text import Uuid


class PreviousSecret(Section):
    """An API secret that was replaced, but may still be signed with for a while."""

    secret: ConsoleSecret
    not_after: AwareDatetime
    """Until when it is accepted, ISO 8601 with a time zone."""


class ApplicationSettings(Section):
    """One application of Xumm's developer console."""

    api_key: Uuid
    """The API key: a UUID, public, the same as ``application_uuidv4``."""
    api_secret: ConsoleSecret
    """The API secret, exactly as the console shows it."""
    previous_secrets: tuple[PreviousSecret, ...] = ()
    """Secrets that are being rotated out: in TOML ``[[applications.<name>.previous_secrets]]``, in a variable a list in
    JSON."""
    network: NetworkName = "MAINNET"
    """Where transactions must land: a payment on another network never passes for a real one."""
    grace: Duration = timedelta(hours=24)
    """How long a payload that was opened in time may still be signed after it expired."""
    return_urls: ReturnUrls = ()
    """Where users may be sent back to after signing: ``yourapp://signed``, ``com.example.app:/signed`` or
    ``https://app.example.com/signed``; at most 170 characters."""
    apple_app_ids: AppleApps = ()
    """Apps that may open this host's links on iOS: team id, dot, bundle id."""
    android_package: AndroidPackage = None
    """The app that may open this host's links on Android."""
    android_fingerprints: Fingerprints = ()
    """SHA-256 fingerprints of the certificates that the Android app is signed with."""
    oauth2_url: ApiUrl = "https://oauth2.xumm.app"
    """Xumm's OAuth2 provider, which is also what its tokens name as their issuer."""
    deep_links: DeepLinks = ()
    """Where the app's users may be sent back to after signing in through the provider: each link as a whole, a
    universal link or one of the app's own scheme. None: they cannot sign in that way."""
    xapp_tokens: bool = False
    """Whether the token of an xApp says who its user is. Whoever has the API secret can make one."""
