import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from processor.core.payload.entry import DeliveryRecord, Quarantined
from processor.sandbox.webhook_kinds import WebhookKind
from processor.store.store import Store
from tests.commands.shell import Shell
from tests.servers.child import free_port

KEY = "aaaaaaaa-90ab-4cde-8f01-234567890abc"
SECRET = "c0ffee00-dead-4bee-8f01-ca4a41ca4a41"
PAYLOAD = "3c1f0e9a-7b6d-4e5c-9a8b-1d2e3f405162"
BODY = json.dumps(
    {
        "meta": {"application_uuidv4": KEY, "payload_uuidv4": PAYLOAD},
        "payloadResponse": {"payload_uuidv4": PAYLOAD, "signed": False},
        "userToken": None,
    }
).encode()


def settings(home: Path) -> dict[str, str]:
    return {
        "PROCESSOR_APPLICATIONS__SHOP__API_KEY": KEY,
        "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": SECRET,
        "PROCESSOR_DATABASE_URL": f"sqlite:///{home / 'processor.db'}",
        "PROCESSOR_HTTP_PORT": str(free_port()),
        "PROCESSOR_XUMM_URL": "http://127.0.0.1:1",
        "PROCESSOR_LOG_LEVEL": "debug",
    }


def quarantine(home: Path) -> None:
    now = datetime.now(UTC)
    record = DeliveryRecord(
        received_at=now, app="shop", payload=PAYLOAD, attempt=1, verdict="quarantined", latency_us=0
    )
    with Store.open(f"sqlite:///{home / 'processor.db'}") as store:
        store.record([Quarantined(delivery=record, body=BODY, reason="not understood at the time")], now)


def settings_url(shell: Shell) -> str:
    rows = {row["setting"]: row["value"] for row in json.loads(shell("config", "--json")[1])}
    return f"http://{rows['http_host']}:{rows['http_port']}"


@pytest.fixture
def service(shell: Shell) -> Iterator["subprocess.Popen[bytes]"]:
    """A service as an operator starts it; SHELL has the same settings."""
    quarantine(shell.home)
    shell.set(**settings(shell.home))
    process = subprocess.Popen(
        [sys.executable, "-m", "processor", "run"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=shell.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    assert b"service.started" in process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_run_is_triggered_looked_at_and_stopped(shell: Shell, service: "subprocess.Popen[bytes]") -> None:
    """Webhooks get the answers due, the quarantine replays, Ctrl-C ends it cleanly, and no log line has the secret."""
    due = {kind: shell("trigger", kind)[0] for kind in get_args(WebhookKind)}
    stranger = f"{settings_url(shell)}/webhooks/{SECRET}"
    due["a path that holds the secret"] = shell("trigger", "badsig", "--url", stranger)[0]
    replayed, said, warned = shell("quarantine", "replay", "1")
    listed = json.loads(shell("deliveries", "--payload", PAYLOAD, "--json")[1])

    service.send_signal(signal.SIGINT)
    log, _ = service.communicate(timeout=30)

    assert set(due.values()) == {0}
    assert (replayed, "answered 200 accepted" in said, "only the running service" in warned) == (0, True, True)
    assert [row["verdict"] for row in listed] == ["accepted", "quarantined"]
    assert (service.returncode, SECRET.encode() in log, b"Traceback" in log) == (0, False, False)
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "service.stopped"


def test_replayed_body_leaves_quarantine_when_the_database_is_free(
    shell: Shell, service: "subprocess.Popen[bytes]"
) -> None:
    """What is replayed to a service with another database is taken off the list."""
    other = shell.home / "other"
    other.mkdir()
    quarantine(other)
    shell.set(PROCESSOR_DATABASE_URL=f"sqlite:///{other / 'processor.db'}")

    assert service.poll() is None
    assert shell("quarantine", "replay", "1")[::2] == (0, "")
    assert shell("quarantine", "list") == (0, "none\n", "")
