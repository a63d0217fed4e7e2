"""Every mixture of sources that get through, times every outcome: one running service, one table, one promise."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final, NamedTuple

from processor.core.payload.state import ENDED, PayloadState
from processor.sandbox.faults import Faults
from tests.scenarios.outcomes import ACTS_AT, EXPIRY_MINUTES, OUTCOMES, SIGNS_LATE_AT, Outcome
from tests.scenarios.promise import unkept
from tests.scenarios.system import System, opened, until

Json = dict[str, Any]

SHARES: Final = 4
SOURCES: Final = ("webhook", "socket", "fetch")
APPS: Final = {
    f"{'-'.join(ways) or 'none'}_{share}": frozenset(ways)
    for count in range(len(SOURCES) + 1)
    for ways in combinations(SOURCES, count)
    for share in range(SHARES)
}
"""Application to the sources that get through; a fetch that does not is answered 500 until long after the expiry.

Several share the outcomes of each mixture, since each has a rate limit of its own.
"""
EXPIRES_AT: Final = EXPIRY_MINUTES * 60.0
API_RETURNS_AT: Final = 300.0
OVER_AT: Final = 1200.0


class Case(NamedTuple):
    """One payload of one application."""

    app: str
    name: str

    def __str__(self) -> str:
        return f"[{self.app}] {self.name}"

    @property
    def outcome(self) -> Outcome:
        return OUTCOMES[self.name]

    @property
    def told(self) -> bool:
        """Whether a source beside the API tells how it ended."""
        return bool(APPS[self.app] & self.outcome.told_by)


CASES: Final = [Case(app, name) for app in APPS for name in list(OUTCOMES)[int(app[-1]) :: SHARES]]


def faults_of(app: str) -> Faults:
    """What is wrong for an application, once the service has looked at its payloads for the first time."""
    ways = APPS[app]
    return Faults(
        webhook=None if "webhook" in ways else "lost",
        socket=None if "socket" in ways else "refused",
        api=None if "fetch" in ways else "failing",
    )


class Table:
    """All cases in one process."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.uuids: dict[Case, str] = {}

    async def create(self) -> None:
        """Make and register all payloads. Sockets are broken from the start, where they are to be."""
        for app, ways in APPS.items():
            if "socket" not in ways:
                self.system.sandbox.faults.set(Faults(socket="refused"), self.system.apps[app].key)
        for case in CASES:
            payload = await self.system.create(case.app, case.outcome.request, faults=case.outcome.faults)
            self.uuids[case] = payload.uuid
        await until(self._is_watched, what="each payload has its socket")

    def spoil(self) -> None:
        """From now on only what `APPS` says gets through."""
        for app in APPS:
            self.system.sandbox.faults.set(faults_of(app), self.system.apps[app].key)

    def mend(self) -> None:
        """Let the API answer again."""
        for app in APPS:
            self.system.sandbox.faults.set(replace(faults_of(app), api=None), self.system.apps[app].key)

    async def until(self, moment: float, *, step: float = 5.0) -> None:
        """Let time pass up to ``moment``."""
        await self.system.advance(moment - self.system.clock.seconds, step=step)
        await self.system.published()

    async def act(self, moment: float) -> None:
        """Let the users do what they do at ``moment``, and what a source tells of it be known, without any poll."""
        await self.until(moment)
        acting = [case for case in CASES if moment in case.outcome.deeds]
        for case in acting:
            case.outcome.deeds[moment](self.system.sandbox, self.uuids[case])
        ended = [case for case in acting if case.told and self._has_ended(case)]

        async def known() -> bool:
            return all([(await self.state(case)).facts & ENDED for case in ended])

        await until(known, what="whatever a webhook or a socket tells is known at once")

    async def state(self, case: Case) -> PayloadState:
        return await self.system.state(self.uuids[case])

    def events(self, case: Case) -> list[Json]:
        return self.system.of(self.uuids[case])

    def resolved(self, case: Case) -> list[Json]:
        return [event for event in self.events(case) if event["type"].startswith("xumm.resolve.")]

    def _has_ended(self, case: Case) -> bool:
        return self.system.sandbox.payloads.get(self.uuids[case]).resolved_at is not None

    async def _is_watched(self) -> bool:
        watching = self.system.sandbox.statuses.count
        heard = [case for case in CASES if case.outcome.is_lied_of or "socket" in APPS[case.app]]
        silent = [case for case in heard if not watching(self.uuids[case])]
        return all([(await self.state(case)).facts for case in silent])


def wrong(case: Case, events: list[Json], state: PayloadState) -> Iterator[str]:
    """What is not as promised, the source included that it was learned from."""
    yield from unkept(case.outcome, events, state)
    late = SIGNS_LATE_AT in case.outcome.deeds or case.outcome.is_lied_of
    if state.end_notice is None or ((state.end_notice.source != "api") != case.told and not late):
        yield f"learned by {state.end_notice}"


async def test_every_mixture_of_sources_ends_every_payload_once(tmp_path: Path) -> None:
    """Whatever gets through, each payload has one outcome, the right one, with the right data, and no flag."""
    async with opened(tmp_path, list(APPS), driven_budget=True) as system:
        table = Table(system)
        await table.create()
        await table.until(ACTS_AT - 1)
        unseen = [str(case) for case in CASES if (await table.state(case)).snapshot is None]
        table.spoil()
        await table.act(ACTS_AT)
        await table.act(ACTS_AT + 1)
        await table.until(EXPIRES_AT - 5, step=2)
        prompt = [case for case in CASES if case.told and case.outcome.at_once and "fetch" in APPS[case.app]]
        late = [str(case) for case in prompt if not table.resolved(case)]
        await table.act(SIGNS_LATE_AT)
        await table.until(API_RETURNS_AT)
        early = [str(case) for case in CASES if "fetch" not in APPS[case.app] and table.resolved(case)]
        table.mend()
        await table.until(OVER_AT, step=15)
        states = {case: await table.state(case) for case in CASES}
        found = [f"{case}: {problem}" for case in CASES for problem in wrong(case, table.events(case), states[case])]

    assert [] == unseen
    assert [] == late
    assert [] == early
    assert [] == found
