"""The settings of the service.

A setting comes from the first of these that has it:

1. the process environment: ``PROCESSOR_HTTP_PORT=9000``, and with ``__`` for a level deeper
   ``PROCESSOR_APPLICATIONS__SHOP__API_KEY=...``;
2. the file ``.env`` in the working directory, same names;
3. the TOML file ``processor.toml`` in the working directory, or the one that ``PROCESSOR_CONFIG_FILE`` names:
   ``http_port = 9000``, ``[applications.shop]``;
4. the default given here.

Lists are JSON or separated by commas; durations are ``90s``, ``10m``, ``24h``, ``7d``, plain seconds or ISO 8601.
`processor.settings.loading.load` reads the sources; importing this module or calling ``Settings(...)`` reads
none.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import SettingsConfigDict

from processor.core.access.service_key import Scope, ServiceKey
from processor.core.application import Application, PayloadPolicy, Secret
from processor.core.delivery.signature import key_of
from processor.core.sign_request.sealing import Keyring, SealingKey
from processor.settings.applications import ApplicationSettings
from processor.settings.loading import CONTRADICTION
from processor.settings.program import ProgramSettings, SettingPath
from processor.settings.sections import ApiSettings, RetentionSettings, Section, TopologySettings, WatchingSettings
from processor.settings.value_types import (
    ApiUrl,
    BindingKeys,
    BrokerUrls,
    Duration,
    HttpUrls,
    LogLevel,
    ManagementUrl,
    NetworkName,
    PublicUrl,
    QueueName,
    SealingSecrets,
    Sha256,
    split,
)
from schemas.text import ApplicationName
from schemas.topology import DEFAULT_QUEUES

_AMQP_PORTS: Final = {"amqp": 15672, "amqps": 15671}
NO_APPLICATION: Final = (
    "no application is configured: set PROCESSOR_APPLICATIONS__<NAME>__API_KEY and "
    "PROCESSOR_APPLICATIONS__<NAME>__API_SECRET to what Xumm's developer console shows "
    "(or [applications.<name>] in processor.toml)"
)

LEDGER_URLS: Final[dict[str, tuple[str, ...]]] = {
    "MAINNET": ("https://xrplcluster.com", "https://s1.ripple.com:51234", "https://s2.ripple.com:51234"),
    "TESTNET": ("https://s.altnet.rippletest.net:51234", "https://testnet.xrpl-labs.com"),
    "DEVNET": ("https://s.devnet.rippletest.net:51234",),
    "XAHAU": ("https://xahau.network",),
    "XAHAUTESTNET": ("https://xahau-test.net",),
}
"""Public nodes of each network, in the order in which they are asked."""


class ServiceKeySettings(Section):
    """A key by which another service identifies itself; `processor keys create` creates one."""

    sha256: Sha256
    """The key's SHA-256, in hexadecimal."""
    scopes: Annotated[tuple[Scope, ...], BeforeValidator(split), Field(min_length=1)] = ("watches",)
    """What the service may do: ``watches`` to have payloads watched, ``sign-requests:read`` to see sign requests and
    their events, ``sign-requests:write`` to create and cancel them."""
    apps: Annotated[tuple[ApplicationName, ...], BeforeValidator(split)] = ()
    """The applications that the key is for; empty for all."""


class Settings(ProgramSettings):
    """What an operator can set for the service."""

    model_config = SettingsConfigDict(env_prefix="PROCESSOR_")

    applications: dict[ApplicationName, ApplicationSettings] = Field(default={}, examples=["shop"])
    """The applications whose webhooks are accepted, by a name of your choice, which URLs and routing keys contain."""
    service_keys: dict[ApplicationName, ServiceKeySettings] = Field(default={})
    """The keys of other services, by a name of your choice. Without any, no other service may call this one."""
    http_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 in a container."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    public_url: PublicUrl = None
    """The URL at which browsers reach this service. Needed for signing in through Xumm's OAuth2 provider, whose console
    must have ``<public_url>/v1/oauth2/callback`` among the redirect URIs."""
    identity_keys_ttl: Duration = timedelta(hours=1)
    """How long the keys of Xumm's OAuth2 provider are used before they are fetched again."""
    body_timeout: Duration = timedelta(seconds=5)
    """How long a webhook's body may take to arrive."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=2**24)] = 65536
    """The greatest size of a webhook's body."""
    store_timeout: Annotated[Duration, Field(le=timedelta(seconds=12))] = timedelta(seconds=10)
    """How long a webhook or another request waits for the database before it is answered 503. Xumm waits 15 s for the
    answer to a webhook."""
    max_bodies_bytes: Annotated[int, Field(ge=2**16, le=2**32)] = 2**24
    """The greatest size of all bodies together that are still being received."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 2000
    """Connections of clients at once; beyond, the one that has waited for its client the longest is closed."""
    shutdown_timeout: Duration = timedelta(seconds=25)
    """How long open requests may take after SIGTERM; keep it below the platform's own limit."""
    database_url: Annotated[str, Field(pattern=r"^(?:sqlite|postgresql)(?:\+[a-z0-9_]+)?://", repr=False)] = (
        "sqlite:///var/processor.db"
    )
    """sqlite:///relative/path, sqlite:////absolute/path, or postgresql://user:password@host/name."""
    amqp_url: BrokerUrls = None
    """amqp(s)://user:password@host:5672/vhost; several nodes of one cluster separated by commas. Unset: events reach
    only consumers within this process, which is for trying it out."""
    amqp_management_url: ManagementUrl = None
    """RabbitMQ's management API, for policies and queue counts. Unset: derived from amqp_url."""
    queues: Annotated[dict[QueueName, BindingKeys], Field(min_length=1)] = DEFAULT_QUEUES
    """Queue name to the topic bindings of ``<app>.<family>.<name>``. Setting any replaces the defaults."""
    topology: TopologySettings = TopologySettings()
    """The limits of RabbitMQ's objects."""
    xumm_url: ApiUrl = "https://xumm.app"
    """Xumm's API."""
    watching: WatchingSettings = WatchingSettings()
    """Watching payloads over their sockets."""
    ledger_urls: dict[NetworkName, HttpUrls] = LEDGER_URLS
    """Network to the JSON-RPC addresses of its nodes, best first. The nodes that you set for a network replace its
    default."""
    token_keys: SealingSecrets = ()
    """Keys for user tokens at rest, each 32 random bytes in base64. The first one seals, each of them opens. Without
    any, user tokens are neither kept nor used for pushing sign requests."""
    api: ApiSettings = ApiSettings()
    """The HTTP interface for apps and services."""
    outbox_high_water: Annotated[int, Field(ge=1)] = 1_000_000
    """Unpublished events at which webhooks are answered 503, so that Xumm tries again later."""
    retention: RetentionSettings = RetentionSettings()
    """How long the store keeps finished work."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON lines elsewhere."""
    log_level: LogLevel = "info"
    """The least level that is logged."""

    @field_validator("ledger_urls")
    @classmethod
    def _add_defaults(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return LEDGER_URLS | value

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        problems = dict(_contradictions(self))
        if problems:
            text = "; ".join(f"{'.'.join(place)}: {problem}" for place, problem in problems.items())
            raise PydanticCustomError(CONTRADICTION, "{text}", {"text": text, "problems": problems})
        return self

    @property
    def amqp_urls(self) -> tuple[str, ...]:
        """The broker's nodes, each a URL with its password. Empty for the embedded publisher."""
        return tuple(split(self.amqp_url.get_secret_value())) if self.amqp_url else ()

    @property
    def management_url(self) -> SecretStr | None:
        """RabbitMQ's management API, with user and password; None without a broker."""
        if self.amqp_management_url or not self.amqp_urls:
            return self.amqp_management_url
        parts = urlsplit(self.amqp_urls[0])
        user = parts.netloc.rpartition("@")[0] or "guest:guest"
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        scheme = "https" if parts.scheme == "amqps" else "http"
        return SecretStr(urlunsplit((scheme, f"{user}@{host}:{_AMQP_PORTS[parts.scheme]}", "", "", "")))


def _contradictions(settings: Settings) -> Iterator[tuple[SettingPath, str]]:
    for name, key in settings.service_keys.items():
        for app in set(key.apps) - set(settings.applications):
            yield ("service_keys", name, "apps"), f"there is no application {app}"
    if settings.max_bodies_bytes < settings.max_body_bytes:
        yield ("max_bodies_bytes",), "must be no less than max_body_bytes"
    owners: dict[str, str] = {}
    for name, application in settings.applications.items():
        place = ("applications", name)
        if application.network not in settings.ledger_urls:
            yield (*place, "network"), f"ledger_urls has no nodes of {application.network}"
        if application.api_key == application.api_secret.get_secret_value().lower():
            yield (*place, "api_secret"), "must not be the API key, which is public"
        if application.deep_links and settings.public_url is None:
            yield (*place, "deep_links"), "nobody can sign in while public_url is not set"
        if (other := owners.setdefault(application.api_key, name)) != name:
            yield (*place, "api_key"), f"must differ from that of applications.{other}"


def applications_of(settings: Settings) -> Mapping[str, Application]:
    """The applications by name, their secrets as HMAC keys: the current one first."""
    return {name: _application(name, application) for name, application in settings.applications.items()}


def service_keys_of(settings: Settings) -> tuple[ServiceKey, ...]:
    """The keys of other services."""
    keys = settings.service_keys.items()
    return tuple(ServiceKey.of(name, key.sha256, scopes=key.scopes, apps=key.apps) for name, key in keys)


def keyring_of(settings: Settings) -> Keyring | None:
    """The keys for user tokens at rest, the active one first, or None."""
    keys = [SealingKey.of(b64decode(key.get_secret_value())) for key in settings.token_keys]
    return Keyring(keys) if keys else None


def _application(name: str, settings: ApplicationSettings) -> Application:
    current = Secret(key=key_of(settings.api_secret.get_secret_value()))
    previous = (
        Secret(key=key_of(old.secret.get_secret_value()), not_after=old.not_after) for old in settings.previous_secrets
    )
    return Application(
        name=name,
        uuid=settings.api_key,
        secrets=(current, *previous),
        policy=PayloadPolicy(network=settings.network, grace=settings.grace),
    )


def secrets_of(settings: Settings) -> list[str]:
    """The values that no log line may hold: API secrets, also as HMAC keys, sealing keys, passwords of URLs."""
    found: list[str] = []
    for application in settings.applications.values():
        secrets = [application.api_secret, *(old.secret for old in application.previous_secrets)]
        found += [secret.get_secret_value() for secret in secrets]
    found += [key_of(secret).decode() for secret in found]
    found += [key.get_secret_value() for key in settings.token_keys]
    management = settings.management_url.get_secret_value() if settings.management_url else ""
    for url in (settings.database_url, management, *settings.amqp_urls):
        password = urlsplit(url).password or ""
        found += [password, unquote(password)]
    return list(dict.fromkeys(secret for secret in found if secret))
