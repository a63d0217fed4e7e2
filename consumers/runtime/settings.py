"""The settings that every consumer has. A consumer's own stand in a subclass, which it names as its ``settings``.

A setting comes from the first that has it: the environment (``CONSUMERS_PREFETCH=16``), the file ``.env``, the TOML
file ``consumers.toml`` or the one that ``CONSUMERS_CONFIG_FILE`` names (``prefetch = 16``), the default given here.
Durations are ``90s``, ``10m``, ``24h``, ``30d``, plain seconds or ISO 8601.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeVar

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from yarl import URL

from processor.settings.loading import Configuration, load
from processor.settings.program import ProgramSettings
from processor.settings.value_types import Duration, LogLevel, check_address, split

S = TypeVar("S", bound="ConsumerSettings")
_URLS: Final = frozenset({"amqp_url", "database_url"})
_HandlerTime = Annotated[Duration, Field(le=timedelta(minutes=10))]


class ConsumerSettings(ProgramSettings):
    """What an operator can set for any consumer."""

    model_config = SettingsConfigDict(env_prefix="CONSUMERS_")
    shared: ClassVar[bool] = True
    borrowed: ClassVar[Mapping[str, str]] = {"PROCESSOR_AMQP_URL": "amqp_url"}

    amqp_url: SecretStr = SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    """Broker, or several of one cluster separated by commas. Read from ``PROCESSOR_AMQP_URL`` too."""
    database_url: SecretStr = SecretStr("sqlite:///var/consumers/{consumer}.db")
    """``sqlite:///file`` or ``postgresql://user:password@host/name``; ``{consumer}`` stands for the consumer's name."""
    prefetch: Annotated[int, Field(ge=1, le=2000)] = 64
    """Messages that the consumer holds at once."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """Attempts before a message is dead-lettered."""
    handler_timeout: _HandlerTime = timedelta(seconds=60)
    """A longer handler is stopped and its message retried."""
    drain_timeout: _HandlerTime = timedelta(seconds=20)
    """How long handlers may finish after SIGTERM."""
    inbox_retention: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=30)
    """How long the ids of handled events are kept."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """``auto`` is readable on a terminal and JSON elsewhere."""
    log_level: LogLevel = "info"
    """The least level that is logged."""

    @field_validator("amqp_url")
    @classmethod
    def _check_brokers(cls, value: SecretStr) -> SecretStr:
        urls = split(value.get_secret_value())
        for url in urls or [""]:
            check_address(("amqp", "amqps"), url)
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

    @property
    def brokers(self) -> tuple[str, ...]:
        """The broker addresses, with credentials."""
        return tuple(split(self.amqp_url.get_secret_value()))

    def database_of(self, consumer: str) -> str:
        """The database address of one consumer, with credentials."""
        url = self.database_url.get_secret_value().replace("{consumer}", consumer)
        return re.sub("^postgres(ql)?://", "postgresql+psycopg://", url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no log line may hold: passwords, as they are and as URLs spell them, and other secrets."""
        urls = [URL(url) for url in (*self.brokers, self.database_of("consumer"))]
        found = [password for url in urls for password in (url.password, url.raw_password) if password]
        own = [getattr(self, name) for name in type(self).model_fields.keys() - _URLS]
        found += [value.get_secret_value() for value in own if isinstance(value, SecretStr)]
        return tuple(dict.fromkeys(found))


def load_settings(model: type[S]) -> Configuration[S]:
    """The settings of a consumer. Raises `SettingsError`."""
    return load(model, os.environ, Path.cwd())
