"""Settings of the consumers: environment ``CONSUMERS_…``, then ``.env``, then a TOML file."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, Field, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from yarl import URL

PREFIX: Final = "CONSUMERS_"
CONFIG_VARIABLE: Final = "CONSUMERS_CONFIG"
DEFAULT_CONFIG: Final = "consumers.toml"
AMQP_SCHEMES: Final = frozenset({"amqp", "amqps"})

_BrokerPatience = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(minutes=10))]


class SettingsError(Exception):
    """One line for each wrong setting, without its value."""


class Settings(BaseSettings):
    """What an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    amqp_url: SecretStr = Field(
        default=SecretStr("amqp://guest:guest@127.0.0.1:5672/"),
        validation_alias=AliasChoices("CONSUMERS_AMQP_URL", "PROCESSOR_AMQP_URL", "amqp_url"),
    )
    """Broker, or several of one cluster separated by commas. Read from ``PROCESSOR_AMQP_URL`` too."""
    database_url: SecretStr = SecretStr("sqlite:///var/consumers/{consumer}.db")
    """``sqlite:///file`` or ``postgresql+psycopg://…``; ``{consumer}`` stands for the consumer's name."""
    prefetch: Annotated[int, Field(ge=1, le=2000)] = 64
    """Messages in the consumer's hands at once."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """Tries before a message is dead-lettered."""
    handler_timeout: _BrokerPatience = timedelta(seconds=60)
    """A longer handler is stopped and its message retried. Seconds, or ISO 8601 such as ``PT1M``."""
    drain_timeout: _BrokerPatience = timedelta(seconds=20)
    """How long handlers may finish after SIGTERM."""
    inbox_retention: Annotated[timedelta, Field(ge=timedelta(days=1))] = timedelta(days=30)
    """How long handled events are remembered. ISO 8601 such as ``P30D``, or seconds."""
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    push_channel: Literal["log", "fcm"] = "log"
    """``log`` writes what would be pushed; ``fcm`` sends it through Firebase Cloud Messaging."""
    push_language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    """For devices that named none, or one that there are no texts in."""
    fcm_credentials: Path | None = None
    """Service account key file of the Firebase project. Needed for ``fcm``."""
    fcm_project: str | None = None
    """Firebase project id; by default the one in the key file."""
    fcm_url: HttpUrl = HttpUrl("https://fcm.googleapis.com")

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
        return init_settings, env_settings, dotenv_settings, toml, file_secret_settings

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
            raise ValueError("give sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/name")
        return value

    @property
    def brokers(self) -> tuple[str, ...]:
        """The broker addresses, with credentials."""
        return _split(self.amqp_url)

    def database_of(self, consumer: str) -> str:
        """The database address of one consumer, with credentials."""
        return self.database_url.get_secret_value().replace("{consumer}", consumer)


def load() -> Settings:
    """The settings in force. Raises `SettingsError` with a line for each that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_complaint(detail) for detail in error.errors())) from None
    except ValueError as error:
        raise SettingsError(f"the configuration file cannot be read: {error}") from None


def _complaint(detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else "settings"
    variable = name if name.isupper() else f"{PREFIX}{name.upper()}"
    return f"{variable}: {detail['msg'].removeprefix('Value error, ')}"


def _split(value: SecretStr) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.get_secret_value().split(",") if part.strip())
