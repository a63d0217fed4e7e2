"""Load the settings of a program, and report every problem at once.

A problem is one line with the setting's variable, its path, its source and its limit, and never its value.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from processor.settings.program import NESTED_DELIMITER, ProgramSettings, SettingPath, SettingsError
from processor.settings.sources import SettingsSource, merge_sources, origin_of, read_sources

CONTRADICTION: Final = "contradiction"
"""Type of the validation error whose context holds ``problems``: the path of each, and its message."""
_FOREIGN: Final = re.compile(
    # Kubernetes puts the addresses of a service that is named "processor" into every pod; Windows describes its CPU.
    r"((.*_)?SERVICE_(HOST|PORT)(_.*)?=.*|(.*_)?PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?=(tcp|udp|sctp)://.*"
    r"|(.*_)?PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*"
    r"|(ARCHITECTURE|ARCHITEW6432|IDENTIFIER|LEVEL|REVISION)=.*)",
    re.DOTALL,
)
_MESSAGES: Final = {
    "missing": "is required",
    "time_delta_parsing": "must be a duration such as 90s, 10m, 24h, 7d or PT90S",
    "tuple_type": "must be a list: JSON, or separated by commas",
    "dict_type": "must be a table; in a variable that is a JSON object",
    "model_type": "must be a table; in a variable that is a JSON object",
}

M = TypeVar("M", bound=ProgramSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration(Generic[M]):
    """Settings, and the origin of each."""

    settings: M
    sources: tuple[SettingsSource, ...]
    """Highest precedence first."""

    def origin(self, path: SettingPath) -> str:
        """The name of the source of the setting at ``path``, or ``default``."""
        return origin_of(self.sources, path)


def load(model: type[M], environ: Mapping[str, str], directory: Path) -> Configuration[M]:
    """Load the settings of ``model`` from ``environ``, and from ``.env`` and its TOML file in ``directory``.

    Raises `SettingsError`.
    """
    sources = tuple(read_sources(model, environ, directory))
    problems = [problem for source in sources for problem in _unknown_variables(model, source)]
    try:
        settings = model(**merge_sources(sources))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems += [problem for detail in details for problem in _problems(model, detail, sources)]
    if problems:
        raise SettingsError("\n".join(problems))
    return Configuration(settings=settings, sources=sources)


def models_within(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that the annotation of a field names, itself or within a container."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_within(inner)


def _unknown_variables(model: type[ProgramSettings], source: SettingsSource) -> Iterator[str]:
    prefix, fields = model.prefix(), model.model_fields
    for name, value in source.variables.items():
        upper = name.upper()
        field = upper.removeprefix(prefix).partition(NESTED_DELIMITER)[0].lower()
        known = field in fields or upper == model.file_variable()
        if known or model.is_foreign(field) or _FOREIGN.fullmatch(f"{upper.removeprefix(prefix)}={value}"):
            continue
        yield f"{name} ({field}, from {source.name}): there is no such setting{_did_you_mean(field, fields)}"


def _problems(model: type[ProgramSettings], detail: ErrorDetails, sources: tuple[SettingsSource, ...]) -> Iterator[str]:
    if detail["type"] == CONTRADICTION:
        found = detail["ctx"]["problems"].items()
    else:
        path = tuple(str(part) for part in detail["loc"] if part != "[key]")
        found = [(path, _message(model, detail, path))]
    for path, message in found:
        origin = origin_of(sources, path)
        source = "" if origin == "default" else f", from {origin}"
        yield f"{model.variable_of(path)} ({'.'.join(path)}{source}): {message}"


def _message(model: type[ProgramSettings], detail: ErrorDetails, path: SettingPath) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "there is no such setting" + _did_you_mean(path[-1], _siblings(model, path))
    text = _MESSAGES.get(kind) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _siblings(model: type[BaseModel], path: SettingPath) -> Mapping[str, FieldInfo]:
    """The settings that could stand where ``path`` does."""
    fields: Mapping[str, FieldInfo] = model.model_fields
    for key in path[:-1]:
        if key in fields:
            inner = next(models_within(fields[key].annotation), None)
            fields = inner.model_fields if inner else {}
    return fields


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
