"""``processor payloads``."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processor.core.payload.entry import Reported
from processor.core.payload.state import Fact
from processor.core.reports.report import Report
from processor.store import payloads, tasks
from processor.store.store import Store
from tests.commands.shell import Shell
from tests.core.payloads import APPLICATION, NOW, OTHER_TXID, PAYLOAD, POLICY, abandoned, request, snapshot, webhook
from tests.store.samples import rooms

SECRET = "12345678-90ab-4cde-8f01-234567890abc"


@pytest.fixture
def url(shell: Shell) -> str:
    url = f"sqlite:///{shell.home}/s.db"
    shell.set(
        PROCESSOR_DATABASE_URL=url,
        PROCESSOR_APPLICATIONS__SHOP__API_KEY=APPLICATION,
        PROCESSOR_APPLICATIONS__SHOP__API_SECRET=SECRET,
    )
    return url


def record(url: str, *reports: Report) -> None:
    with Store.open(url) as store:
        for report in reports:
            store.record([Reported(report=report, policy=POLICY)], NOW)


def known(url: str, app: str = "shop") -> tuple[Any, list[str]]:
    """The payload's state, and the kinds of the tasks that are due."""
    with Store.open_read_only(url) as store:
        state = store.run(payloads.find, app, PAYLOAD)
    with Store.open(url) as store:
        kinds = [
            task.kind
            for task in store.run(tasks.claim, datetime.now(UTC), rooms(100), "test", timedelta(microseconds=1)).tasks
        ]
    return state, kinds


DISAGREEING = (snapshot(), snapshot(txid=OTHER_TXID))


def test_flagged_lists_what_waits(shell: Shell, url: str) -> None:
    """Application, payload, since when and why; as JSON for machines."""
    record(url, request("created"))
    none = shell("payloads", "flagged")
    record(url, *DISAGREEING)
    code, told, _ = shell("payloads", "flagged", "--json")
    other = shell("payloads", "flagged", "--app", "other")

    assert none[:2] == (1, "none\n")
    assert code == 0
    assert json.loads(told) == [
        {
            "app": "shop",
            "payload": PAYLOAD,
            "since": NOW.isoformat(timespec="seconds"),
            "flags": "TRANSACTIONS_DISAGREE",
            "resolved": None,
        }
    ]
    assert other[0] == 1


@pytest.mark.parametrize(
    ("reports", "flags"), [(DISAGREEING, "TRANSACTIONS_DISAGREE"), ((webhook(), abandoned()), "ABANDONED")]
)
def test_release_lets_it_go_on(shell: Shell, url: str, reports: tuple[Report, ...], flags: str) -> None:
    """The flag is off, one lookup is due at once, and the log says who did it and why."""
    record(url, *reports)
    _, before = known(url)
    code, told, lines = shell("payloads", "release", PAYLOAD.upper(), "--reason", "support case")
    state, kinds = known(url)
    line = json.loads(lines)

    assert (code, told) == (0, f"released from {flags}; it will be looked up\n")
    assert (state.flags, kinds.count("fetch")) == (0, before.count("fetch") + 1)
    assert (line["event"], line["app"], line["payload"], line["flags"], line["reason"]) == (
        "payload.released",
        "shop",
        PAYLOAD,
        flags,
        "support case",
    )
    assert line["by"]
    record(url, snapshot(tx_type="SignIn", submit=False, txid=None))
    state, _ = known(url)

    assert (state.resolved is not None, state.flags) == (True, 0)


def test_release_of_a_late_outcome(shell: Shell, url: str) -> None:
    """What was published stays; nothing is looked up."""
    record(url, snapshot("rejected"), webhook(signed=True))
    code, told, _ = shell("payloads", "release", PAYLOAD, "--reason", "seen")
    state, _ = known(url)

    assert (code, told.partition("; ")[2]) == (0, "it stays resolved as rejected\n")
    assert (state.flags, state.resolved, bool(state.facts & Fact.REJECTED)) == (0, "rejected", True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((PAYLOAD, "--reason", "x"), 1, "is not flagged"),
        (("00000000-0000-4000-8000-000000000000", "--reason", "x"), 1, "is known"),
        ((PAYLOAD, "--app", "other", "--reason", "x"), 1, "of other"),
        ((PAYLOAD, "--reason", " "), 2, "--reason"),
        ((PAYLOAD,), 2, "--reason"),
    ],
)
def test_release_refuses(shell: Shell, url: str, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Each refusal has its code, and says why."""
    record(url, request("created"))
    found, _, complaint = shell("payloads", "release", *arguments)

    assert (found, said in complaint) == (code, True), complaint


def test_release_beside_a_running_service(shell: Shell, url: str, tmp_path: Path) -> None:
    """With SQLite only one process writes: the command says which has the file, and changes nothing."""
    record(url, *DISAGREEING)
    with Store.open(url) as service:
        code, _, complaint = shell("payloads", "release", PAYLOAD, "--reason", "x")
        state = service.run(payloads.find, "shop", PAYLOAD)

    assert (code, "in use" in complaint, state is not None and state.flags != 0) == (3, True, True)
