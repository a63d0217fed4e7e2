"""The tables of the pages that are generated from the code: ``make docs`` writes them, a test compares them.

A table stands between ``<!-- generated: NAME -->`` and ``<!-- /generated -->``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from consumers.push.settings import PushSettings
from processor.api.operations import OPERATIONS
from processor.observability.catalogue import LOG_EVENTS
from processor.observability.terminal import EXIT_CODES
from processor.settings.service import Settings
from processor.web.problem import PROBLEMS
from schemas.events import MODELS
from tests.readmes.page import COMMANDS

Row = tuple[str, ...]
EXAMPLES: Final = {"applications": "SHOP", "service_keys": "BACKEND"}
"""Names that an operator chooses, as they stand in the pages."""
CALLERS: Final = {
    "session": "session",
    "xummToken": "Xumm's token",
    "serviceKey": "service key",
    "exchangeSecret": "exchange secret",
}
LONGEST_DEFAULT: Final = 60
"""Longer defaults are left to ``processor config --example``."""

_generated = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def settings() -> Iterator[Row]:
    """The settings of the service: variable, default, meaning."""
    yield from _settings("PROCESSOR_", Settings.model_fields)


def consumer_settings() -> Iterator[Row]:
    """The settings of the consumers: variable, default, meaning."""
    yield from _settings("CONSUMERS_", PushSettings.model_fields)


def reasons() -> Iterator[Row]:
    """Every reason of a refusal: reason, status, meaning."""
    yield from ((f"`{reason}`", str(status), meaning) for reason, (status, meaning) in sorted(PROBLEMS.items()))


def log_events() -> Iterator[Row]:
    """Every name of a log line: name, level, meaning."""
    yield from ((f"`{name}`", level, meaning) for name, (level, meaning) in sorted(LOG_EVENTS.items()))


def events() -> Iterator[Row]:
    """Every event type, and when it is published."""
    yield from ((f"`{name}`", _one_line(model.__doc__ or "")) for name, model in MODELS.items())


def operations() -> Iterator[Row]:
    """Every call of the HTTP interface: method and path, summary, and who may call."""
    for operation in OPERATIONS:
        callers = ", ".join(CALLERS[caller] for caller in operation.callers) or "anybody"
        yield f"`{operation.method.upper()} {operation.path}`", operation.summary, callers


def exit_codes() -> Iterator[Row]:
    """The exit codes of both programs: code and meaning."""
    yield from ((str(code.value), _one_line(meaning)) for code, meaning in EXIT_CODES.items())


def processor_commands() -> Iterator[Row]:
    """Each command of the service and its first sentence."""
    yield from _commands("processor", COMMANDS["processor"])


def consumer_commands() -> Iterator[Row]:
    """Each command of the consumers and its first sentence."""
    yield from _commands("consumers", COMMANDS["consumers"])


class Table(NamedTuple):
    """One generated table."""

    headings: Row
    rows: Callable[[], Iterable[Row]]


TABLES: Final = {
    "settings": Table(("variable", "default", "meaning"), settings),
    "consumer-settings": Table(("variable", "default", "meaning"), consumer_settings),
    "reasons": Table(("reason", "status", "meaning"), reasons),
    "log-events": Table(("event", "level", "meaning"), log_events),
    "events": Table(("type", "published when"), events),
    "operations": Table(("call", "does", "callers"), operations),
    "exit-codes": Table(("code", "meaning"), exit_codes),
    "commands": Table(("command", "does"), processor_commands),
    "consumer-commands": Table(("command", "does"), consumer_commands),
}


def regenerate(text: str) -> str:
    """The text of a page with each of its generated tables as the code has it now."""
    return _generated.sub(lambda match: f"{match[1]}{_table(TABLES[match[2]])}{match[3]}", text)


def tables_in(text: str) -> list[str]:
    """The names of the generated tables of a page."""
    return [name for _, name, _ in _generated.findall(text)]


def _table(table: Table) -> str:
    lines = [table.headings, ("---",) * len(table.headings), *table.rows()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _settings(prefix: str, fields: dict[str, FieldInfo]) -> Iterator[Row]:
    for name, field in fields.items():
        variable = f"{prefix}{name.upper()}"
        section = _section_of(field.annotation)
        if section is None:
            yield f"`{variable}`", _default(field), _one_line(field.description or "")
        else:
            within = f"{variable}__{EXAMPLES[name]}__" if name in EXAMPLES else f"{variable}__"
            yield from _settings(within, section.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a group of settings: the annotation itself, or the values of a dictionary."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    values = get_args(annotation)[1:] if getattr(annotation, "__origin__", None) is dict else ()
    return next(filter(None, map(_section_of, values)), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default in (None, ()):
        return "none"
    text = _text_of(field.default)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "several"


def _text_of(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case SecretStr():
            return value.get_secret_value()
        case timedelta():
            return _duration(value)
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    sizes = (("d", 86400), ("h", 3600), ("m", 60))
    return next(
        (f"{seconds / size:g}{unit}" for unit, size in sizes if seconds and seconds % size == 0), f"{seconds:g}s"
    )


def _commands(name: str, command: Any) -> Iterator[Row]:
    inner_commands = getattr(command, "commands", {})
    if not inner_commands or command.invoke_without_command:
        yield f"`{name}`", _one_line(command.get_short_help_str(limit=200))
    for inner, each in inner_commands.items():
        yield from _commands(f"{name} {inner}", each)


def _one_line(text: str) -> str:
    """A docstring as one cell of a table."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())
