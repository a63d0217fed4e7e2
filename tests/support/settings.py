"""Settings as tests need them: one application, free ports, files in a folder of the test's own."""

from pathlib import Path
from typing import Any

from processor.settings.service import Settings
from tests.core.payloads import APPLICATION, SECRET

NOBODY = "http://127.0.0.1:9"
"""An address that refuses connections."""


def settings_for(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "applications": {"shop": {"api_key": APPLICATION, "api_secret": SECRET}},
        "database_url": f"sqlite:///{folder}/processor.db",
        "http_port": 0,
        "xumm_url": NOBODY,
        "ledger_urls": {"MAINNET": [NOBODY]},
    }
    return Settings(**values | changes)
