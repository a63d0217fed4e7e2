"""The sources of settings, in order of precedence: environment, ``.env``, TOML file."""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from processor.settings.program import ProgramSettings, SettingPath, SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsSource:
    """One source of settings, read."""

    name: str
    """As operators know it: ``environment``, ``.env``, or the file's name."""
    values: Mapping[str, Any]
    variables: Mapping[str, str]
    """The variables behind ``values``; none for a TOML file."""


def read_sources(model: type[ProgramSettings], environ: Mapping[str, str], directory: Path) -> Iterator[SettingsSource]:
    """Read every source, highest precedence first. Raises `SettingsError`."""
    dotenv = directory / ".env"
    try:
        pairs = dotenv_values(dotenv, interpolate=False) if dotenv.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env: cannot be read: {type(error).__name__}") from None
    filled = {name: value for name, value in pairs.items() if value is not None}
    for name, variables in (("environment", environ), (".env", filled)):
        yield _from_variables(model, name, variables)
        for variable in model.borrowed.keys() & variables.keys():
            values = {model.borrowed[variable]: variables[variable]}
            yield SettingsSource(name=f"{name}, {variable}", values=values, variables={})
    variable = model.file_variable()
    named = environ.get(variable) or filled.get(variable)
    path = directory / (named or model.file_name())
    if named is not None or path.is_file():
        yield _from_file(model, path)


def merge_sources(sources: Sequence[SettingsSource]) -> dict[str, Any]:
    """The values of all sources; of tables, each key is taken from the first source that has it."""
    return reduce(_merge, [source.values for source in reversed(sources)], {})


def origin_of(sources: Iterable[SettingsSource], path: SettingPath) -> str:
    """The name of the source of the setting at ``path``, or ``default``."""
    for source in sources:
        values: Any = source.values
        for key in path:
            if not isinstance(values, Mapping):
                break  # set as a whole, further up
            values = next((value for name, value in values.items() if name.lower() == key.lower()), None)
        if values is not None:
            return source.name
    return "default"


class _Variables(EnvSettingsSource):
    """Nested settings from a mapping of variables. Invalid JSON stays text, which the field's validation refuses."""

    def __init__(self, model: type[ProgramSettings], variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(model)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002  the library's hook
        """The JSON in ``value`` if it begins like an array or an object and is valid."""
        if not value.lstrip().startswith(("[", "{")):
            return value
        try:
            return json.loads(value)
        except ValueError:
            return value


def _from_variables(model: type[ProgramSettings], name: str, variables: Mapping[str, str]) -> SettingsSource:
    ours = {key: value for key, value in variables.items() if key.upper().startswith(model.prefix())}
    return SettingsSource(name=name, values=_Variables(model, ours)(), variables=ours)


def _from_file(model: type[ProgramSettings], path: Path) -> SettingsSource:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is no TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {type(error).__name__}") from None
    values = {name: value for name, value in values.items() if not model.is_foreign(name)}
    return SettingsSource(name=path.name, values=values, variables={})


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]  # both are mappings here
    return merged
