from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.consumers.push.channels.apns_server import ApnsServer, apns_server
from tests.consumers.push.channels.authority import Authority
from tests.consumers.push.channels.fcm_server import FcmServer, fcm_server
from tests.consumers.push.channels.push_service import PushService, push_service


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The one authority that clients trust."""
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.path))
    return found


@pytest.fixture
async def fcm() -> AsyncIterator[FcmServer]:
    async with fcm_server() as server:
        yield server


@pytest.fixture
async def apns(authority: Authority) -> AsyncIterator[ApnsServer]:
    async with apns_server(authority) as server:
        yield server


@pytest.fixture
async def service(authority: Authority) -> AsyncIterator[PushService]:
    async with push_service(authority, "web.push.apple.com") as found:
        yield found
