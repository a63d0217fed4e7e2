"""Where settings come from: environment, ``.env``, TOML file, defaults; and what is wrong with them, all at once."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource

from processor.core.errors import SettingsError
from processor.settings.service import CONTRADICTION, ENVIRONMENT_PREFIX, NESTED_DELIMITER, Settings

CONFIG_FILE_VARIABLE: Final = "PROCESSOR_CONFIG_FILE"
DEFAULT_CONFIG_FILE: Final = "processor.toml"
NO_APPLICATION: Final = (
    "no application is configured: set PROCESSOR_APPLICATIONS__<NAME>__API_KEY and "
    "PROCESSOR_APPLICATIONS__<NAME>__API_SECRET to what Xumm's developer console shows "
    "(or [applications.<name>] in processor.toml)"
)
_NOT_OURS: Final = re.compile(
    # Kubernetes puts the addresses of a service that is named "processor" into every pod; Windows describes its CPU.
    r"PROCESSOR_((.*_)?SERVICE_(HOST|PORT)(_.*)?=.*|(.*_)?PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?=(tcp|udp|sctp)://.*"
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

Place = tuple[str, ...]
"""The place of a setting: ``("applications", "shop", "api_key")``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that settings are read from."""

    name: str
    """As operators know it: ``environment``, ``.env``, or the file's name."""
    values: Mapping[str, Any]
    variables: Mapping[str, str] | None = None
    """The variables behind ``values``; None for a file of another shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings, and where each that is no default comes from."""

    settings: Settings
    sources: tuple[Source, ...]
    """Highest precedence first."""

    def origin(self, path: Place) -> str:
        """The name of the source that ``path`` comes from, ``default`` if from none."""
        return _origin(self.sources, path)


class _Variables(EnvSettingsSource):
    """Nested settings from variables of any mapping. What is no JSON stays text: the field says what is wrong."""

    def __init__(self, settings: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002  the library's hook
        """The JSON in ``value`` if it looks like some and is."""
        if not value.lstrip().startswith(("[", "{")):
            return value
        try:
            return json.loads(value)
        except ValueError:
            return value


def load(environ: Mapping[str, str], directory: Path) -> Configuration:
    """Read every source. Raises `SettingsError` with one line for each thing that is wrong, and no secret in it."""
    sources = _sources(environ, directory)
    problems = [problem for source in sources for problem in _unknown_variables(source)]
    try:
        settings = Settings(**_merged(sources))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems += [problem for detail in details for problem in _problems(detail, sources)]
    if problems:
        raise SettingsError("\n".join(problems))
    return Configuration(settings=settings, sources=sources)


def variable_of(path: Place) -> str:
    """The environment's name for a setting."""
    return ENVIRONMENT_PREFIX + NESTED_DELIMITER.join(path).upper()


def _sources(environ: Mapping[str, str], directory: Path) -> tuple[Source, ...]:
    dotenv = directory / ".env"
    try:
        pairs = dotenv_values(dotenv, interpolate=False) if dotenv.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env: cannot be read: {type(error).__name__}") from None
    from_environment = _from_variables("environment", environ)
    from_dotenv = _from_variables(".env", {name: value for name, value in pairs.items() if value is not None})
    named = environ.get(CONFIG_FILE_VARIABLE) or pairs.get(CONFIG_FILE_VARIABLE)
    return (from_environment, from_dotenv, *_from_file(named, directory))


def _from_variables(name: str, variables: Mapping[str, str]) -> Source:
    ours = {key: value for key, value in variables.items() if key.upper().startswith(ENVIRONMENT_PREFIX)}
    return Source(name=name, values=_Variables(Settings, ours)(), variables=ours)


def _from_file(named: str | None, directory: Path) -> Iterator[Source]:
    path = directory / (named or DEFAULT_CONFIG_FILE)
    if named is None and not path.is_file():
        return
    try:
        yield Source(name=path.name, values=tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is no TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {type(error).__name__}") from None


def _merged(sources: tuple[Source, ...]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        merged = _merge(merged, source.values)
    return merged


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]  # both are mappings here
    return merged


def _origin(sources: tuple[Source, ...], path: Place) -> str:
    for source in sources:
        values: Any = source.values
        for key in path:
            if not isinstance(values, Mapping):
                break  # set as a whole, further up
            values = _ignoring_case(values, key)
        if values is not None:
            return source.name
    return "default"


def _ignoring_case(values: Mapping[str, Any], key: str) -> Any:
    return next((value for name, value in values.items() if name.lower() == key.lower()), None)


def _unknown_variables(source: Source) -> Iterator[str]:
    for name, value in (source.variables or {}).items():
        upper = name.upper()
        field = upper.removeprefix(ENVIRONMENT_PREFIX).partition(NESTED_DELIMITER)[0].lower()
        if field in Settings.model_fields or upper == CONFIG_FILE_VARIABLE or _NOT_OURS.fullmatch(f"{upper}={value}"):
            continue
        meant = _did_you_mean(field, Settings.model_fields)
        yield f"{name} ({field}, from {source.name}): there is no such setting{meant}"


def _problems(detail: ErrorDetails, sources: tuple[Source, ...]) -> Iterator[str]:
    if detail["type"] == CONTRADICTION:
        for place, message in detail["ctx"]["problems"].items():
            yield _line(place, _origin(sources, place), message)
        return
    place = tuple(str(part) for part in detail["loc"] if part != "[key]")
    yield _line(place, _origin(sources, place), _message(detail, place))


def _line(place: Place, origin: str, message: str) -> str:
    source = "" if origin == "default" else f", from {origin}"
    return f"{variable_of(place)} ({'.'.join(place)}{source}): {message}"


def _message(detail: ErrorDetails, place: Place) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "there is no such setting" + _did_you_mean(place[-1], _siblings(place))
    text = _MESSAGES.get(kind) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _siblings(place: Place) -> Mapping[str, FieldInfo]:
    """The settings that could stand where ``place`` does."""
    fields: Mapping[str, FieldInfo] = Settings.model_fields
    for key in place[:-1]:
        if key in fields:
            fields = _fields_within(fields[key].annotation)
    return fields


def _fields_within(annotation: Any) -> Mapping[str, FieldInfo]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields
    return next((found for inner in get_args(annotation) if (found := _fields_within(inner))), {})


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
