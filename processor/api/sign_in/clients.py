"""The configured applications as clients of Xumm's OAuth2 provider."""

from collections.abc import Mapping

from processor.core.access.oauth2 import Client, ClientSecret
from processor.settings.applications import ApplicationSettings
from processor.settings.service import Settings


def clients_of(settings: Settings) -> Mapping[str, Client]:
    """The applications by name, as Xumm's OAuth2 provider knows them."""
    return {name: _client(name, application) for name, application in settings.applications.items()}


def _client(name: str, settings: ApplicationSettings) -> Client:
    previous = (
        ClientSecret(text=old.secret.get_secret_value(), not_after=old.not_after) for old in settings.previous_secrets
    )
    return Client(
        app=name,
        api_key=settings.api_key,
        secrets=(ClientSecret(text=settings.api_secret.get_secret_value()), *previous),
        network=settings.network,
        provider=settings.oauth2_url,
        deep_links=frozenset(settings.deep_links),
        xapp_tokens=settings.xapp_tokens,
    )
