"""The service as it is configured on this machine: its settings, and requests to one that runs."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from processor.observability.terminal import CommandError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from processor.settings.loading import Configuration
    from processor.settings.service import Settings
    from processor.store.store import Store

_TIMEOUT_SECONDS: Final = 15
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared only


def load_configuration() -> "Configuration[Settings]":
    """The settings and their origins. Raises `SettingsError`."""
    from processor.settings.loading import load
    from processor.settings.service import Settings

    return load(Settings, os.environ, Path.cwd())


def load_settings() -> "Settings":
    """The settings. Raises `SettingsError`."""
    return load_configuration().settings


def read_store(settings: "Settings") -> "AbstractContextManager[Store]":
    """The store, open for reading while the service runs. Raises `StoreError`."""
    from processor.store.store import Store

    return Store.open_read_only(settings.database_url)


def service_url(settings: "Settings") -> str:
    """The address of the service, seen from this machine."""
    host = _LOOPBACK.get(settings.http_host, settings.http_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"


def webhook_url(settings: "Settings", app: str) -> str:
    """The address of an application's webhooks, seen from this machine."""
    return f"{service_url(settings)}/webhooks/{app}"


def post(url: str, headers: Mapping[str, str], **content: Any) -> tuple[int, str]:
    """Post ``content``, which is ``data=`` or ``json=``, and return the status and the result or reason in the answer.

    Raises `CommandError`.
    """
    import aiohttp

    async def request() -> tuple[int, Any]:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, headers=headers, allow_redirects=False, **content) as response,
        ):
            return response.status, await response.json(content_type=None)

    try:
        status, said = asyncio.run(request())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise CommandError(f"{url}: {type(error).__name__}; is the service running?") from None
    said = said if isinstance(said, dict) else {}
    return status, str(said.get("result") or said.get("reason") or "")
