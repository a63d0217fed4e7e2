"""Users, faults and restarts in any order: in the end each payload has its one outcome, and it is the true one."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from processor.core.payload.state import NO_FLAG, Flag, names_of
from processor.sandbox.faults import CancelFault, Faults, SocketFault, parse_faults
from processor.sandbox.payload import IllegalActionError, Payload
from tests.scenarios.promise import problems
from tests.scenarios.system import GRACE, System, opened

APP: Final = "shop"
MOST_PAYLOADS: Final = 4
EXPIRY_MINUTES: Final = 2
LONG_ENOUGH: Final = 3600.0
"""Seconds behind the last fault after which everything must be settled: a lookup is put off for 10 minutes at most."""
Result = TypeVar("Result")

requests = st.sampled_from(
    [
        {"txjson": {"TransactionType": "SignIn"}, "options": {"expire": EXPIRY_MINUTES}},
        {
            "txjson": {
                "TransactionType": "Payment",
                "Destination": "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe",
                "Amount": "10",
            },
            "options": {"expire": EXPIRY_MINUTES},
        },
        {"txjson": {"TransactionType": "AccountSet"}, "options": {"expire": EXPIRY_MINUTES, "submit": False}},
    ]
)
numbers = st.integers(min_value=0, max_value=MOST_PAYLOADS - 1)
transport_faults = st.builds(
    Faults,
    webhook=st.sampled_from([None, "lost", "doubled", "late", "reordered"]),
    late_by=st.sampled_from([None, 5.0, 900.0]),
    socket=st.sampled_from([None, "silent", "flapping", "garbage", "huge", "refused"]),
    api=st.sampled_from([None, "limited", "failing", "garbage"]),
)
signing_faults = st.builds(
    Faults,
    dispatch_late_by=st.sampled_from([None, 100.0]),
    ledger=st.sampled_from([None, None, "tec", "lost", "unsubmitted"]),
    network=st.sampled_from([None, None, None, "TESTNET"]),
)
lies = st.sampled_from([*[None] * 12, "lying", "lying_rejected", "lying_expired", "lying_txid"])


class Wallets(RuleBasedStateMachine):
    """A service with its Xumm. `lied` are the payloads whose socket says what is not true."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="scenarios-"))
        self.runner = asyncio.Runner()
        self.uuids: list[str] = []
        self.lied: set[str] = set()
        self.signed_with: dict[str, Faults] = {}

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    @initialize(first=requests, second=requests)
    def open_system(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self.run(self._open())
        for request in (first, second):
            self.create(request=request, lie=None)

    async def _open(self) -> None:
        ready: asyncio.Future[System] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.living = asyncio.create_task(self._live(ready))
        await asyncio.wait([self.living, ready], return_when=asyncio.FIRST_COMPLETED)
        if self.living.done():
            await self.living
        self.system = ready.result()

    async def _live(self, ready: "asyncio.Future[System]") -> None:
        async with opened(self.folder, [APP], driven_budget=True) as system:
            ready.set_result(system)
            await self.over.wait()

    # What users and applications do.

    @precondition(lambda self: len(self.uuids) < MOST_PAYLOADS and self.system.is_running)
    @rule(request=requests, lie=lies)
    def create(self, *, request: dict[str, Any], lie: SocketFault | None) -> None:
        payload = self.run(self.system.create(APP, request, faults=Faults(socket=lie)))
        self.uuids.append(payload.uuid)
        if lie is not None:
            self.lied.add(payload.uuid)

    @rule(number=numbers)
    def open(self, number: int) -> None:
        self._act(number, self.system.sandbox.open)

    @rule(number=numbers, faults=signing_faults)
    def sign(self, number: int, faults: Faults) -> None:
        self._act(number, lambda uuid: self._sign(uuid, faults))

    def _sign(self, uuid: str, faults: Faults) -> None:
        self._spoil_one(uuid, faults)
        self.system.sandbox.sign(uuid)
        self.signed_with[uuid] = faults

    @rule(number=numbers)
    def reject(self, number: int) -> None:
        self._act(number, self.system.sandbox.reject)

    @rule(number=numbers)
    def expire(self, number: int) -> None:
        self._act(number, self.system.sandbox.expire)

    @rule(number=numbers, race=st.sampled_from([None, "racing"]))
    def cancel(self, number: int, race: CancelFault | None) -> None:
        self._act(number, lambda uuid: self._cancel(uuid, race))

    def _cancel(self, uuid: str, race: CancelFault | None) -> None:
        self._spoil_one(uuid, Faults(cancel=race))
        self.system.sandbox.cancel(uuid)

    def _spoil_one(self, uuid: str, faults: Faults) -> None:
        before = parse_faults(self.system.sandbox.faults.as_json().get(uuid, {}))
        self.system.sandbox.faults.set(faults.merge(before), uuid)

    def _act(self, number: int, deed: Any) -> None:
        """Do it if the payload can still have it done: nobody signs later than the service was told to reckon with."""
        if number >= len(self.uuids):
            return
        self.run(self._do(self.uuids[number], deed))

    async def _do(self, uuid: str, deed: Any) -> None:
        if self.system.clock() < self.system.sandbox.payloads.get(uuid).expires_at + GRACE:
            with suppress(IllegalActionError):
                deed(uuid)
        if self.system.is_running:
            await self.system.settled()

    # What goes wrong.

    @rule(faults=transport_faults)
    def spoil(self, faults: Faults) -> None:
        self.system.sandbox.faults.set(faults)

    @rule()
    def mend(self) -> None:
        self.system.sandbox.faults.set(Faults())

    @precondition(lambda self: self.system.is_running)
    @rule(abruptly=st.booleans())
    def stop(self, *, abruptly: bool) -> None:
        self.run(self.system.stop(abruptly=abruptly))

    @precondition(lambda self: not self.system.is_running)
    @rule()
    def start(self) -> None:
        self.run(self._start())

    async def _start(self) -> None:
        await self.system.start()
        await self.system.settled()

    @rule(seconds=st.sampled_from([1.0, 16.0, 60.0, 150.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.run(self.system.advance(seconds, step=30))

    # What holds in the end.

    def teardown(self) -> None:
        try:
            if hasattr(self, "system"):
                self.run(self._close())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _close(self) -> None:
        found = await self._wrong()
        self.over.set()
        await self.living
        assert [] == found

    async def _wrong(self) -> list[str]:
        if not self.system.is_running:
            await self.system.start()
        self.system.sandbox.faults.set(Faults())
        await self.system.advance(LONG_ENOUGH, step=60)
        await self.system.published()
        return [f"{uuid}: {problem}" for uuid in self.uuids for problem in await self._wrong_with(uuid)]

    async def _wrong_with(self, uuid: str) -> list[str]:
        events = self.system.of(uuid)
        state = await self.system.state(uuid)
        payload = self.system.sandbox.payloads.get(uuid)
        ends = [_told(event) for event in events if event["type"].startswith("xumm.resolve.")]
        wanted = [self._truth(payload)]
        found = list(problems(events))
        if ends != wanted:
            found.append(f"told {ends} of what is {wanted}, at {self.system.clock()}, knowing {state}")
        if state.flags & ~(Flag.OUTCOMES_DISAGREE if uuid in self.lied else NO_FLAG):
            found.append(f"flagged {names_of(state.flags)}")
        return found

    def _truth(self, payload: Payload) -> tuple[str, str | None]:
        """Name and reason of the resolve event that there must be."""
        if payload.situation != "signed":
            return payload.situation.removeprefix("opened_"), None
        faults = self.signed_with[payload.uuid]
        if not payload.request.submits:
            return "signed", None
        if faults.network is not None:
            return "failed", "wrong_network"
        if faults.ledger is not None:
            return "failed", {"tec": "ledger_result"}.get(faults.ledger, "never_validated")
        return "validated", None


def _told(event: dict[str, Any]) -> tuple[str, str | None]:
    return event["type"].removeprefix("xumm.resolve."), event["data"].get("reason")


TestWallets = Wallets.TestCase
TestWallets.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
