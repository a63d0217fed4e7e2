"""A shell for tests: commands in a directory of their own, with no settings but those given."""

import io
import os
import sys
from pathlib import Path

import pytest

from processor.__main__ import main


class Shell:
    """Runs commands within this process, as their entry point would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], home: Path) -> None:
        self._monkeypatch, self._capture, self.home = monkeypatch, capture, home
        for name in [name for name in os.environ if name.startswith(("PROCESSOR_", "XUMM_"))]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(home)

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Exit code, stdout and stderr of ``processor ARGUMENTS``."""
        self._monkeypatch.setattr(sys, "argv", ["processor", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        told = self._capture.readouterr()
        return int(ended.value.code or 0), told.out, told.err
