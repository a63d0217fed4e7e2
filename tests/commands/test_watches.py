import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processor.core.access.service_key import digest_of
from processor.store.store import Store
from tests.commands.shell import Shell
from tests.commands.test_running import settings
from tests.store.samples import ledger, payload, snapshot, status, webhook

SAID = ("key", "setting")


def made_key(shell: Shell) -> tuple[str, str, str]:
    """A new key, the variable and the value that make the service know it."""
    code, out, _ = shell("keys", "create", "backend")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (code, tuple(lines)) == (0, SAID)
    variable, _, digest = lines["setting"].partition("=")
    return lines["key"], variable, digest


def test_key_is_made_with_its_setting(shell: Shell) -> None:
    """The setting holds the hash of the key that is shown, each key is another, and it is read as it stands."""
    (key, variable, digest), (other, _, _) = made_key(shell), made_key(shell)
    shell.set(**{variable: digest})

    assert (digest_of(key).hex(), variable) == (digest, "PROCESSOR_SERVICE_KEYS__BACKEND__SHA256")
    assert key != other
    rows = {row["setting"]: row["value"] for row in json.loads(shell("config", "--json")[1])}
    assert rows["service_keys.backend.sha256"] == digest
    assert json.loads(shell("keys", "create", "x", "--json")[1]).keys() == {"name", "key", "sha256"}
    assert shell("keys", "create", "Not A Name")[0] == 2


def test_watches_and_outcomes_are_shown(shell: Shell) -> None:
    """Beside the running service, as tables and as JSON."""
    url, now = f"sqlite:///{shell.home / 'processor.db'}", datetime.now(UTC)
    with Store.open(url) as store:
        store.record([status(1, "opened", expires_at=now), webhook(2, at=now), snapshot(2, at=now), ledger(2)], now)
    shell.set(PROCESSOR_DATABASE_URL=url)

    (row,) = json.loads(shell("watches", "list", "--json")[1])
    assert (row["payload"], row["facts"], row["holder"]) == (payload(1), "OPENED", None)
    assert payload(1) in shell("watches", "list")[1]
    found = json.loads(shell("outcomes", "--json")[1])
    assert (found["total"], found["webhooks_missed"]) == (1, 0)
    assert [(share["source"], share["count"]) for share in found["sources"]] == [("webhook", 1)]
    assert "1 outcomes; of 0 webhooks that were due, 0 never came" in shell("outcomes", "--since", "7d")[1]
    assert shell("outcomes", "--since", "ever")[0] == 2


def test_nothing_is_watched(shell: Shell) -> None:
    """An empty answer is a no, and words that there is none."""
    url = f"sqlite:///{shell.home / 'processor.db'}"
    Store.open(url).close()
    shell.set(PROCESSOR_DATABASE_URL=url)

    assert shell("watches", "list") == (1, "none\n", "")


@pytest.mark.parametrize("known", [True, False])
def test_watch_is_added(shell: Shell, *, known: bool) -> None:
    """The command asks the running service with a key, which must be one that it knows."""
    key, variable, digest = made_key(shell)
    shell.set(**settings(shell.home), **({variable: digest} if known else {}))
    assert shell("watches", "add", "shop", payload(1))[0] == 2
    process = subprocess.Popen(
        [sys.executable, "-m", "processor", "run"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=shell.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    while b"service.started" not in (line := process.stdout.readline()):
        assert line
    shell.set(XUMM_SERVICE_KEY=key)

    code, out, _ = shell("watches", "add", "shop", payload(1))
    process.kill()
    process.wait()
    process.stdout.close()

    assert (code, out.split()[-2:]) == ((0, ["202", "accepted"]) if known else (1, ["401", "key_invalid"]))
