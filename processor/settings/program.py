"""The base of a program's settings, and the names that follow from the prefix of its variables."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import ClassVar, Final

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from processor.core.errors import ProcessorError

NESTED_DELIMITER: Final = "__"
_MISSPELT: Final = 0.9
"""How much an unknown variable resembles a known one that it misspells, as a ratio of `difflib`."""

SettingPath = tuple[str, ...]
"""The path of a setting: ``("applications", "shop", "api_key")``."""


class SettingsError(ProcessorError):
    """Settings are missing or wrong: one line for each, with its name and the limit, never with its value."""


class ProgramSettings(BaseSettings):
    """All that an operator can set for one program. A subclass has an ``env_prefix``, such as ``PROCESSOR_``."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        env_nested_delimiter=NESTED_DELIMITER,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the library passes them by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: `processor.settings.loading.load` reads the other sources."""
        return (init_settings,)

    shared: ClassVar[bool] = False
    """Whether the variables and the file may hold settings of others. Then unknown names are refused only if they look
    like a misspelt setting."""
    borrowed: ClassVar[Mapping[str, str]] = {}
    """Variables of other programs, to the names of the settings that are read from them if not set otherwise."""

    @classmethod
    def prefix(cls) -> str:
        """The prefix of the program's variables: ``PROCESSOR_``."""
        return cls.model_config["env_prefix"]

    @classmethod
    def file_name(cls) -> str:
        """The name of the program's TOML file: ``processor.toml``."""
        return f"{cls.prefix().rstrip('_').lower()}.toml"

    @classmethod
    def file_variable(cls) -> str:
        """The variable that names another TOML file: ``PROCESSOR_CONFIG_FILE``."""
        return f"{cls.prefix()}CONFIG_FILE"

    @classmethod
    def variable_of(cls, path: SettingPath) -> str:
        """The environment variable of a setting."""
        return cls.prefix() + NESTED_DELIMITER.join(path).upper()

    @classmethod
    def is_foreign(cls, name: str) -> bool:
        """Whether an unknown name at the top may be a setting of somebody else's."""
        known = [cls.file_variable(), *(cls.variable_of((field,)) for field in cls.model_fields)]
        return cls.shared and not get_close_matches(cls.variable_of((name,)), known, n=1, cutoff=_MISSPELT)
