"""List the settings in effect, secrets masked, and write a file with every setting as a template."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from processor.observability.terminal import say_json, say_table
from processor.settings.loading import Configuration, models_within
from processor.settings.program import ProgramSettings, SettingPath

MASK: Final = "***"


def say_settings(configuration: Configuration[Any], *, as_json: bool) -> None:
    """Print every setting in effect, in the order in which they are documented, as JSON or as a table."""
    rows = list(_rows(configuration, configuration.settings, ()))
    if as_json:
        say_json(rows)
    else:
        say_table(("SETTING", "VALUE", "FROM"), [(row["setting"], _show(row["value"]), row["from"]) for row in rows])


def write_template(model: type[ProgramSettings]) -> str:
    """A TOML file with every setting, its meaning and its default, all commented out."""
    lines = [f"# {model.file_name()}: environment and .env win over this file.", ""]
    tables: list[str] = []
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            tables += _table(name, type(default))
        elif isinstance(default, dict):
            tables += _dictionary(name, field)
        else:
            lines += [*_comment(field.description), f"# {name} = {_toml(_plain(default))}", ""]
    return "\n".join(lines + tables).rstrip() + "\n"


def _rows(configuration: Configuration[Any], value: Any, path: SettingPath) -> Iterator[dict[str, Any]]:
    if isinstance(value, BaseModel):
        children = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping):
        children = dict(value)
    else:
        variable, origin = configuration.settings.variable_of(path), configuration.origin(path)
        yield {"setting": ".".join(path), "variable": variable, "value": _plain(value), "from": origin}
        return
    for name, child in children.items():
        yield from _rows(configuration, child, (*path, name))


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:  # noqa: PLR0911  one line for each kind of value
    """``value`` as JSON, with secrets masked."""
    match value:
        case SecretStr():
            return _mask_urls(value.get_secret_value())
        case str():
            return _mask_password(value)
        case timedelta():
            return _duration_text(value)
        case BaseModel():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case tuple() | list():
            return [_plain(each) for each in value]
        case None | bool() | int() | float():
            return value
        case _:
            return _mask_password(str(value))


def _mask_urls(secret: str) -> str:
    if "://" not in secret:
        return MASK
    return ",".join(_mask_password(part.strip()) for part in secret.split(","))


def _mask_password(text: str) -> str:
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


def _table(title: str, model: type[BaseModel]) -> list[str]:
    lines = [f"# [{title}]"]
    for name, field in model.model_fields.items():
        value = '""' if field.is_required() else _toml(_plain(field.default))
        lines += [*_comment(field.description), f"# {name} = {value}"]
    return [*lines, ""]


def _dictionary(name: str, field: FieldInfo) -> list[str]:
    lines = _comment(field.description)
    if field.examples:
        (model,) = models_within(field.annotation)
        return [*lines, *_table(f"{name}.{field.examples[0]}", model)]
    entries = [f"# {_toml(key)} = {_toml(list(value))}" for key, value in field.default.items()]
    return [*lines, f"# [{name}]", *entries, ""]
