"""The base of a program's settings, and the names that follow from the prefix of its variables."""

from typing import Final

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from processor.core.errors import ProcessorError

NESTED_DELIMITER: Final = "__"

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
