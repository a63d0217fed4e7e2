"""The settings of an application."""

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
    """An API secret that was replaced, but with which Xumm may still sign for a while."""

    secret: ConsoleSecret
    not_after: AwareDatetime
    """The time until which it is accepted, ISO 8601 with a time zone."""


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
    """The network of the application's transactions: one on another network counts as failed."""
    grace: Duration = timedelta(hours=24)
    """How long a payload that was opened before it expired may still be signed afterwards."""
    return_urls: ReturnUrls = ()
    """The URLs that users may return to after signing: ``yourapp://signed``, ``com.example.app:/signed`` or
    ``https://app.example.com/signed``; at most 170 characters."""
    apple_app_ids: AppleApps = ()
    """Apps that may open this host's links on iOS: team id, dot, bundle id."""
    android_package: AndroidPackage = None
    """The app that may open this host's links on Android."""
    android_fingerprints: Fingerprints = ()
    """SHA-256 fingerprints of the certificates that the Android app is signed with."""
    oauth2_url: ApiUrl = "https://oauth2.xumm.app"
    """Xumm's OAuth2 provider, which is also the issuer in its tokens."""
    deep_links: DeepLinks = ()
    """The links that the app's users may return to after signing in through the provider, each in full: a universal
    link or one of the app's own scheme. Without any, users cannot sign in through the provider."""
    xapp_tokens: bool = False
    """Whether the token of an xApp identifies its user. Anyone with the API secret can create such a token."""
