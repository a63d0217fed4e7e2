"""``processor sandbox``: the hands on a sandbox that runs."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.shell import Shell

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PAYMENT = json.dumps(
    {
        "txjson": {
            "TransactionType": "Payment",
            "Destination": "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe",
            "Amount": "10000000",
        }
    }
)


class Hand:
    """Runs ``processor sandbox COMMAND`` against one that runs."""

    def __init__(self, shell: Shell, url: str) -> None:
        self._shell = shell
        self.url = url

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        return self._shell("sandbox", *arguments, "--url", self.url)

    def json(self, *arguments: str) -> Any:
        code, out, err = self(*arguments, "--json")
        assert (0, "") == (code, err)
        return json.loads(out)

    def create(self, *request: str) -> str:
        return str(self.json("create", *request)["uuid"])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where a sandbox runs that loses all webhooks."""
    process = subprocess.Popen(
        [sys.executable, "-m", "processor", "sandbox", "--port", "0", "--fault", "webhook=lost"],
        env={name: value for name, value in os.environ.items() if not name.startswith("PROCESSOR_")}
        | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(r"API +(http://[^/]+)", line):
            yield found[1]
            break
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert 0 == process.wait(10)
    process.stdout.close()


@pytest.fixture
def hand(shell: Shell, url: str) -> Hand:
    return Hand(shell, url)


def test_a_payload_goes_from_hand_to_hand(hand: Hand) -> None:
    """Created, opened and signed; each command tells what the payload has become."""
    code, out, _ = hand("create", PAYMENT)
    uuid, page = out.split()
    opened = hand("open", uuid)
    signed = hand("sign", uuid, "--result", "tecPATH_DRY")

    assert (0, f"{hand.url}/sign/{uuid}") == (code, page)
    assert re.fullmatch(UUID, uuid)
    assert (0, f"{uuid} app_opened\n", "") == opened
    assert re.fullmatch(rf"{uuid} app_opened resolved signed [0-9A-F]{{64}}\n", signed[1])


@pytest.mark.parametrize(
    ("steps", "facts"),
    [
        (["reject"], "app_opened resolved"),
        (["expire"], "expired"),
        (["open", "expire", "sign"], "app_opened resolved signed expired"),
    ],
)
def test_each_end_can_be_brought_about(hand: Hand, steps: list[str], facts: str) -> None:
    """Rejected, expired, and signed though it had expired."""
    uuid = hand.create()
    answers = [hand.json(step, uuid) for step in steps]
    meta = answers[-1]["meta"]

    assert facts == " ".join(
        name for name in ("app_opened", "resolved", "signed", "cancelled", "expired") if meta[name]
    )


def test_signing_takes_account_network_and_amount(hand: Hand) -> None:
    """As a user on another network does, who pays less than was asked for."""
    uuid = hand.create(PAYMENT)
    account = "rPDYsp6SFdCJ7WQi8qA9ydiDxaFojnUaTR"
    response = hand.json("sign", uuid, "--account", account, "--network", "TESTNET", "--delivered", "1")["response"]

    assert (account, "TESTNET") == (response["account"], response["dispatched_nodetype"])


def test_cancelling_says_whether(hand: Hand) -> None:
    """Exit code 0 the first time, 1 and the reason the second."""
    uuid = hand.create()

    assert (0, f"{uuid} OK\n", "") == hand("cancel", uuid)
    assert (1, f"{uuid} ALREADY_CANCELLED\n", "") == hand("cancel", uuid)


def test_faults_are_set_shown_and_cleared(hand: Hand) -> None:
    """Those of the start are there; for one payload, then for all, then none."""
    before = hand("fault")[1]
    uuid = hand.create()
    scoped = hand.json("fault", "socket=silent", "late_by=60", "--of", uuid)
    _, told, _ = hand("fault", "ledger=tec")
    cleared = hand("fault", "--clear")

    assert "all: webhook=lost\n" == before
    assert {"all": {"webhook": "lost"}, uuid: {"socket": "silent", "late_by": 60}} == scoped
    assert ({"all: ledger=tec", f"{uuid}: late_by=60 socket=silent"}, (0, "no faults\n", "")) == (
        set(told.splitlines()),
        cleared,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["sign", "nothing"], 1, "no such payload"),
        (["cancel", "nothing"], 1, "no such payload"),
        (["create", "{}"], 2, "txjson"),
        (["create", "{"], 2, "not JSON"),
        (["fault", "webhook"], 2, "SWITCH=VALUE"),
        (["fault", "webhook=eaten"], 2, "webhook"),
        (["fault", "api=limited", "--clear"], 2, "switches or --clear"),
    ],
)
def test_what_cannot_be_is_told(hand: Hand, arguments: list[str], code: int, complaint: str) -> None:
    """1 for what the sandbox refuses, 2 for what makes no sense; one line, no traceback."""
    ended, out, err = hand(*arguments)

    assert (code, "", True, 1) == (ended, out, complaint in err, len(err.splitlines()))


def test_a_step_that_is_not_possible_is_told(hand: Hand) -> None:
    """What never was opened cannot be signed after its expiry."""
    uuid = hand.create()
    hand("expire", uuid)

    assert (1, "", "processor: cannot open a payload that is expired\n") == hand("sign", uuid)


def test_without_a_sandbox_it_says_how_to_start_one(shell: Shell) -> None:
    """Exit code 3: it could not be done."""
    code, out, err = shell("sandbox", "create", "--url", "http://127.0.0.1:1")

    assert (3, "", True) == (code, out, "start one with `processor sandbox`" in err)


def test_a_sandbox_is_not_started_with_a_fault_that_there_is_not(shell: Shell) -> None:
    """It says so, instead of running well."""
    code, _, err = shell("sandbox", "--port", "0", "--fault", "webhook=eaten")

    assert (2, True) == (code, "webhook" in err)
