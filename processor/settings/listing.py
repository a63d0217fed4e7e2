"""Settings as an operator may see them: one row each, secrets masked; and a template to fill in."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from processor.settings.applications import ApplicationSettings
from processor.settings.loading import Configuration, Place, variable_of
from processor.settings.service import Settings

MASK: Final = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting in effect."""

    name: str
    """Dotted."""
    variable: str
    value: Any
    """JSON, secrets masked."""
    origin: str

    @property
    def shown(self) -> str:
        """The value in one line."""
        return self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)


def listed(configuration: Configuration) -> list[Row]:
    """Every setting in effect, in the order in which they are documented."""
    return list(_rows(configuration, configuration.settings, ()))


def template() -> str:
    """A ``processor.toml`` with every setting, its meaning and its default, all commented out."""
    lines = ["# Settings of the Xumm webhook processor. Environment and .env win over this file.", ""]
    tables: list[str] = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            tables += _table(name, type(default))
        elif isinstance(default, dict):
            tables += _dictionary(name, field.description or "", default)
        else:
            lines += [*_comment(field.description), f"# {name} = {_toml(_plain(default))}", ""]
    return "\n".join(lines + tables).rstrip() + "\n"


def _rows(configuration: Configuration, value: Any, place: Place) -> Iterator[Row]:
    if isinstance(value, BaseModel):
        children = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping):
        children = dict(value)
    else:
        origin = configuration.origin(place)
        yield Row(name=".".join(place), variable=variable_of(place), value=_plain(value), origin=origin)
        return
    for name, child in children.items():
        yield from _rows(configuration, child, (*place, name))


def _plain(value: Any) -> Any:  # noqa: PLR0911  one line for each kind of value
    """``value`` as JSON, with secrets masked."""
    match value:
        case SecretStr():
            return _masked_urls(value.get_secret_value())
        case str():
            return _masked_password(value)
        case timedelta():
            return _duration_text(value)
        case BaseModel():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case tuple() | list():
            return [_plain(each) for each in value]
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)


def _masked_urls(secret: str) -> str:
    if "://" not in secret:
        return MASK
    return ",".join(_masked_password(part.strip()) for part in secret.split(","))


def _masked_password(text: str) -> str:
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    address, question, _ = rest.partition("?")
    user, at, host = address.rpartition("@")
    shown = f"{user.partition(':')[0]}:{MASK}@{host}" if at else host
    return f"{scheme}://{shown}" + (f"?{MASK}" if question else "")


def _duration_text(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _toml(value: Any) -> str:
    return '""' if value is None else json.dumps(value, ensure_ascii=False)


def _comment(text: str | None) -> list[str]:
    return [f"# {line.strip()}" for line in (text or "").splitlines()]


def _table(name: str, model: type[BaseModel]) -> list[str]:
    lines = [f"# [{name}]"]
    for key, field in model.model_fields.items():
        lines += [*_comment(field.description), f"# {key} = {_toml(_plain(field.default))}"]
    return [*lines, ""]


def _dictionary(name: str, description: str, default: Mapping[str, Any]) -> list[str]:
    if name != "applications":
        entries = [f"# {_toml(key)} = {_toml(list(value))}" for key, value in default.items()]
        return [*_comment(description), f"# [{name}]", *entries, ""]
    lines = [*_comment(description), "# [applications.shop]"]
    for key, field in ApplicationSettings.model_fields.items():
        value = "[]" if key == "previous_secrets" else '""' if field.is_required() else _toml(_plain(field.default))
        lines += [*_comment(field.description), f"# {key} = {value}"]
    return [*lines, '# # previous_secrets = [{ secret = "...", not_after = 2030-01-01T00:00:00Z }]', ""]
