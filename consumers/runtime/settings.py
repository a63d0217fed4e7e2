"""Settings of the consumers.

A setting comes from the first that has it: the environment (``CONSUMERS_PREFETCH=16``), the file ``.env``, the TOML
file ``consumers.toml`` or the one that ``CONSUMERS_CONFIG_FILE`` names (``prefetch = 16``), the default given here.
Durations are ``90s``, ``10m``, ``24h``, ``30d``, plain seconds or ISO 8601.
"""

import os
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BeforeValidator, Field, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from yarl import URL

from schemas.devices import PRIVATE_DOMAINS

PREFIX: Final = "CONSUMERS_"
CONFIG_VARIABLE: Final = "CONSUMERS_CONFIG_FILE"
DEFAULT_CONFIG: Final = "consumers.toml"
PUSH_CHANNELS: Final = frozenset({"log", "fcm", "apns", "webpush"})
WEB_PUSH_SERVICES: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "*.push.apple.com",
)
"""Those of Chrome, Firefox, Edge and Safari."""
AMQP_SCHEMES: Final = frozenset({"amqp", "amqps"})

_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_service = re.compile(r"(\*\.)?([a-z0-9-]+\.)+[a-z][a-z0-9-]*")
_short_duration = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def _expand(value: object) -> object:
    match = _short_duration.fullmatch(value.strip()) if isinstance(value, str) else None
    return timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else value


_Duration = Annotated[timedelta, BeforeValidator(_expand)]
_BrokerPatience = Annotated[_Duration, Field(gt=timedelta(0), le=timedelta(minutes=10))]


class SettingsError(Exception):
    """One line for each wrong setting, without its value."""


class _OwnVariables(PydanticBaseSettingsSource):
    """A ``.env`` without the variables of others, which may share the file."""

    def __init__(self, dotenv: PydanticBaseSettingsSource) -> None:
        super().__init__(dotenv.settings_cls)
        self._dotenv = dotenv

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """What the file says of one field."""
        return self._dotenv.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        ours = {*self.settings_cls.model_fields, "processor_amqp_url"}
        return {
            name: value
            for name, value in self._dotenv().items()
            if name.lower() in ours or name.lower().startswith(PREFIX.lower())
        }


class Settings(BaseSettings):
    """What an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    amqp_url: SecretStr = Field(
        default=SecretStr("amqp://guest:guest@127.0.0.1:5672/"),
        validation_alias=AliasChoices("CONSUMERS_AMQP_URL", "PROCESSOR_AMQP_URL", "amqp_url"),
    )
    """Broker, or several of one cluster separated by commas. Read from ``PROCESSOR_AMQP_URL`` too."""
    database_url: SecretStr = SecretStr("sqlite:///var/consumers/{consumer}.db")
    """``sqlite:///file`` or ``postgresql://user:password@host/name``; ``{consumer}`` stands for the consumer's name."""
    prefetch: Annotated[int, Field(ge=1, le=2000)] = 64
    """Messages in the consumer's hands at once."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """Tries before a message is dead-lettered."""
    handler_timeout: _BrokerPatience = timedelta(seconds=60)
    """A longer handler is stopped and its message retried."""
    drain_timeout: _BrokerPatience = timedelta(seconds=20)
    """How long handlers may finish after SIGTERM."""
    inbox_retention: Annotated[_Duration, Field(ge=timedelta(days=1))] = timedelta(days=30)
    """How long handled events are remembered."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """``auto`` is readable on a terminal and JSON elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""
    push_channel: str = "log"
    """``fcm`` (Firebase Cloud Messaging), ``apns`` (Apple) and ``webpush`` (browsers), several with commas; ``log``
    writes what would be pushed instead."""
    push_language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    """For devices that named none, or one that there are no texts in."""
    push_reference: bool = False
    """Whether texts end with the application's own identifier of the sign request (``custom_meta.identifier``)."""
    push_timeout: Annotated[_Duration, Field(gt=timedelta(0), le=timedelta(seconds=60))] = timedelta(seconds=10)
    """How long a provider may take to answer."""
    fcm_credentials: Path | None = None
    """Service account key file of the Firebase project. Needed for ``fcm``."""
    fcm_project: str | None = None
    """Firebase project id; by default the one in the key file."""
    fcm_url: HttpUrl = HttpUrl("https://fcm.googleapis.com")
    """FCM's API."""
    apns_key: Path | None = None
    """Apple's ``.p8`` file with the key for APNs. Needed for ``apns``, with the next three."""
    apns_key_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{10}$")] | None = None
    """The ten characters that Apple names the key by."""
    apns_team_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{10}$")] | None = None
    """The ten characters of the developer team."""
    apns_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,255}$")] | None = None
    """The app's bundle id."""
    apns_url: HttpUrl = HttpUrl("https://api.push.apple.com")
    """``https://api.sandbox.push.apple.com`` for builds that Xcode installs: each knows only its own device tokens."""
    webpush_key: Path | None = None
    """PEM file of the private key (P-256) that browsers subscribe to. Needed for ``webpush``, with the next one."""
    webpush_contact: Annotated[str, Field(pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://\S+)$")] | None = None
    """``mailto:`` or ``https:`` address at which push services reach the operator; Apple takes none on this machine."""
    webpush_services: str = ",".join(WEB_PUSH_SERVICES)
    """Hosts that subscriptions may be on, with commas; ``*.name`` for all below a name."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, ``.env``, TOML, in this order."""
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG))
        return init_settings, env_settings, _OwnVariables(dotenv_settings), toml, file_secret_settings

    @field_validator("amqp_url")
    @classmethod
    def _check_brokers(cls, value: SecretStr) -> SecretStr:
        urls = _split(value)
        if not urls or not all(URL(url).scheme in AMQP_SCHEMES and URL(url).host for url in urls):
            raise ValueError("give amqp://user:password@host:5672/vhost, or amqps://, several with commas")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: SecretStr) -> SecretStr:
        try:
            backend = make_url(value.get_secret_value()).get_backend_name()
        except ArgumentError:
            backend = ""
        if backend not in {"sqlite", "postgresql"}:
            raise ValueError("give sqlite:///path/to/file.db or postgresql://user:password@host/name")
        return value

    @field_validator("push_channel")
    @classmethod
    def _check_channels(cls, value: str) -> str:
        names = _parts(value)
        if not names or not PUSH_CHANNELS.issuperset(names):
            raise ValueError(f"give one or several of {', '.join(sorted(PUSH_CHANNELS))}, with commas")
        return value

    @field_validator("webpush_contact")
    @classmethod
    def _check_contact(cls, value: str | None) -> str | None:
        if value is not None and not _is_public(value):
            raise ValueError("name a public host: Apple refuses every message of a contact at localhost and the like")
        return value

    @field_validator("webpush_services")
    @classmethod
    def _check_services(cls, value: str) -> str:
        names = _parts(value)
        if not names or not all(_service.fullmatch(name) for name in names):
            raise ValueError("give names of hosts, or *.name, with commas")
        return value

    @property
    def push_channels(self) -> tuple[str, ...]:
        """The names of the channels that are switched on."""
        return _parts(self.push_channel)

    @property
    def push_services(self) -> tuple[str, ...]:
        """The hosts that Web Push subscriptions may be on."""
        return _parts(self.webpush_services)

    @property
    def brokers(self) -> tuple[str, ...]:
        """The broker addresses, with credentials."""
        return _split(self.amqp_url)

    def database_of(self, consumer: str) -> str:
        """The database address of one consumer, with credentials."""
        url = self.database_url.get_secret_value().replace("{consumer}", consumer)
        return re.sub("^postgres(ql)?://", "postgresql+psycopg://", url)

    @property
    def passwords(self) -> tuple[str, ...]:
        """What must not stand in any log line: each password, also as it is written within its URL."""
        urls = [URL(url) for url in (*self.brokers, self.database_of("consumer"))]
        found = [password for url in urls for password in (url.password, url.raw_password) if password]
        return tuple(dict.fromkeys(found))


def _is_public(contact: str) -> bool:
    """Whether the host of a ``mailto:`` or ``https:`` address may be one that others can reach."""
    try:
        host = URL(contact).host if contact.startswith("https:") else contact.partition("?")[0].rpartition("@")[2]
    except ValueError:
        return False
    labels = (host or "").strip("[]").lower().rstrip(".").split(".")
    return len(labels) > 1 and labels[-1] not in PRIVATE_DOMAINS - {"example"} and not labels[-1].isdecimal()


def load() -> Settings:
    """The settings in force. Raises `SettingsError` with a line for each that is wrong."""
    problems = list(_misspelt())
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [_complaint(detail) for detail in error.errors(include_input=False)]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"the configuration file cannot be read: {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _misspelt() -> Iterator[str]:
    """Variables that look like a setting and are none. Others with our prefix may be somebody else's."""
    known = [CONFIG_VARIABLE, *(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)]
    for variable in os.environ:
        near = get_close_matches(variable, known, n=1, cutoff=0.9)
        if variable.startswith(PREFIX) and near and variable not in known:
            yield f"{variable}: there is no such setting; did you mean {near[0]}?"


def _complaint(detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else "settings"
    variable = name.upper() if name.upper().startswith((PREFIX, "PROCESSOR_")) else f"{PREFIX}{name.upper()}"
    return f"{variable}: {detail['msg'].removeprefix('Value error, ')}"


def _split(value: SecretStr) -> tuple[str, ...]:
    return _parts(value.get_secret_value())


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())
