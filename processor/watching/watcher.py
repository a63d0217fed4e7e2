"""Sockets in: one for each open payload, so that an outcome is learned even if no webhook ever arrives.

The store holds the watches, each leased to one process. One sweep serves all watches of the process: it opens sockets,
a bounded number at a time, drops silent ones, renews leases and ends watches. A socket costs one task while it is open,
and none while it waits for its next attempt.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog

from processor.core.application import Application
from processor.core.errors import StoreError
from processor.core.fair_queues import FairQueues, free_places
from processor.core.payload.entry import Commit
from processor.core.payload.status_socket import SILENCE, Watch, WatchKey, is_over, retry_delay
from processor.core.reports.report import RequestReport
from processor.core.timing import Timing
from processor.settings.sections import WatchingSettings
from processor.store.ports import Recorder, WatchStore
from processor.watching.listener import HeldWatch, Listener, Sockets

RENEW_SECONDS: Final = 45.0
"""How often a lease is renewed and the state of its payload is read: well within the lease."""
COUNT_SECONDS: Final = 60.0
TICK: Final = 0.5
"""Seconds between two rounds, in which watches are claimed, renewed and ended."""
BATCH: Final = 500
"""Most watches in one statement."""
_ENDS: Final = ("xumm.resolve.", "xumm.sign.signed", "xumm.sign.rejected")

log = structlog.get_logger()


class Watcher:
    """Watches the payloads that the store names, while `run` runs. `observe` may be called at any time."""

    def __init__(  # noqa: PLR0913  its neighbours
        self,
        store: WatchStore,
        recorder: Recorder,
        sockets: Sockets,
        applications: Mapping[str, Application],
        *,
        timing: Timing,
        limits: WatchingSettings,
        tick: float = TICK,
    ) -> None:
        """The limit of handshakes at a time keeps a restart with thousands of watches from flooding Xumm."""
        self._store = store
        self._applications = applications
        self._listener = Listener(sockets, recorder, timing=timing)
        self._clock, self._time, self._chance = timing.clock, timing.time, timing.chance
        self._limits = limits
        self._tick = tick
        self._wake = asyncio.Event()
        self._round_due = True
        self._next_round = 0.0
        self._watches: dict[WatchKey, HeldWatch] = {}
        self._waiting = FairQueues[str, HeldWatch](applications, self._limits.handshakes)
        self._renewals: deque[tuple[float, HeldWatch]] = deque()
        self._ended: set[WatchKey] = set()
        self._opening: set[HeldWatch] = set()
        self._doubtful = False
        self._counted_at = timing.time()
        self._counts: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many payloads are watched, and how many sockets are open, being opened, or waiting."""
        return {
            "watched": len(self._watches),
            "open": sum(watched.socket is not None for watched in self._watches.values()),
            "opening": len(self._opening),
            "waiting": sum(watched.task is None for watched in self._watches.values()),
        }

    def wake(self) -> None:
        """Begin the next round now."""
        self._round_due = True
        self._wake.set()

    def observe(self, commit: Commit) -> None:
        """Open the socket of a sign request that was made here; close the socket of a payload that ended.

        This is on the path of webhooks, and cheap. The commits of other instances are seen when leases are renewed.
        """
        reports = [entry.report for entry, _ in commit.recorded if entry.delivery is None]
        if any(isinstance(report, RequestReport) for report in reports):
            self.wake()
        for each in commit.messages if self._watches else ():
            message = each.message
            watched = self._watches.get((message.payload, message.app))
            if watched is not None and message.type.startswith(_ENDS):
                self._end(watched)

    async def run(self) -> None:
        """Watch until cancelled; then close every socket and release the watches."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._wake.clear()
                    await self._sweep(group)
                    await self._pause()
        finally:
            await self._try(self._store.release())

    async def _sweep(self, group: asyncio.TaskGroup) -> None:
        """Open sockets whenever there is room; what the store is asked for waits for the next round."""
        if self._round_due:
            self._round_due = False
            self._next_round = asyncio.get_running_loop().time() + self._tick
            self._drop_silent()
            await self._renew()
            await self._forget()
            await self._claim()
            self._log_counts()
        self._launch(group)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout_at(self._next_round):
                await self._wake.wait()
        except TimeoutError:
            self._round_due = True

    def _drop_silent(self) -> None:
        """Drop sockets that were silent for too long. The reader of a dropped socket is told at once."""
        latest = self._time() - SILENCE.total_seconds()
        for watched in self._watches.values():
            if watched.socket is not None and watched.heard_at <= latest:
                watched.socket.abort()

    async def _renew(self) -> None:
        """Renew the leases that are due, and see what other instances recorded of their payloads."""
        now = self._time()
        while self._renewals and self._renewals[0][0] <= now:
            batch = [watched for watched in self._due_renewals(now) if self._is_held(watched)]
            if not batch:
                continue
            held = await self._try(self._store.renew([watched.key for watched in batch]))
            self._renewals.extend((now + RENEW_SECONDS, watched) for watched in batch)
            if held is not None:
                self._update(batch, {(watch.state.payload, watch.state.app): watch for watch in held})

    def _due_renewals(self, now: float) -> Iterable[HeldWatch]:
        for _ in range(BATCH):
            if not self._renewals or self._renewals[0][0] > now:
                return
            yield self._renewals.popleft()[1]

    def _update(self, batch: Sequence[HeldWatch], held: Mapping[WatchKey, Watch]) -> None:
        now = self._clock()
        for watched in batch:
            watch = held.get(watched.key)
            if watch is None:  # another instance holds it, or it has ended
                self._drop(watched)
                continue
            watched.state = watch.state
            if is_over(watch.state, watched.application.policy, now):
                self._end(watched)

    async def _forget(self) -> None:
        while self._ended:
            keys = list(self._ended)[:BATCH]
            if await self._try(self._store.end(keys), otherwise=False) is False:
                return
            self._ended.difference_update(keys)

    async def _claim(self) -> None:
        """Claim as many watches of each application as its share has room for."""
        most = max(1, BATCH // max(len(self._applications), 1))
        wanted = {app: min(room, most) for app, room in self._rooms().items() if room}
        if self._doubtful:  # a claim that failed may have been committed after all
            held = {*self._watches, *self._ended}
            self._doubtful = await self._try(self._store.release(held), otherwise=False) is False
        claimed = await self._try(self._store.claim(wanted)) if wanted else ()
        self._doubtful |= claimed is None
        found = Counter(watch.state.app for watch in claimed or ())
        for watch in claimed or ():
            self._begin(watch)
        if any(found[app] == room for app, room in wanted.items()):
            self.wake()

    def _rooms(self) -> dict[str, int]:
        held = Counter(app for _, app in self._watches)
        return free_places(self._limits.max_watches, {app: held[app] for app in self._applications})

    def _begin(self, watch: Watch) -> None:
        state = watch.state
        application = self._applications[state.app]
        if application.uuid != state.application_uuid:
            return  # the lease prevents another claim at once; the lookups log that it is orphaned
        watched = HeldWatch(application=application, state=state, gap=watch.resumed, unseen_since=watch.since)
        self._watches[watched.key] = watched
        self._ended.discard(watched.key)
        if is_over(state, application.policy, self._clock()):
            self._end(watched)
            return
        self._renewals.append((self._time() + RENEW_SECONDS, watched))
        self._put_off(watched, timedelta(0))

    def _launch(self, group: asyncio.TaskGroup) -> None:
        """Open the sockets that are due, of each application within its share of handshakes."""
        now = self._time()
        while watched := self._waiting.take((each.state.app for each in self._opening), now):
            if self._is_held(watched):
                self._opening.add(watched)
                watched.task = group.create_task(self._follow(watched), name="watch")

    async def _follow(self, watched: HeldWatch) -> None:
        """One connection, from the handshake to its end."""
        try:
            try:
                socket = await self._listener.connect(watched)
            finally:
                self._opening.discard(watched)
                self._wake.set()
            if socket is not None:
                await self._listener.listen(watched, socket)
        except Exception:
            watched.failures += 1
            watched.gap = True
            log.exception("watch.crashed", app=watched.state.app, payload=watched.state.payload)
        watched.task = None
        if watched.over:
            self._end(watched)
        elif self._is_held(watched):
            self._put_off(watched, retry_delay(watched.failures, self._chance()))

    def _put_off(self, watched: HeldWatch, delay: timedelta) -> None:
        self._waiting.put(watched.state.app, watched, self._time() + delay.total_seconds())

    def _is_held(self, watched: HeldWatch) -> bool:
        return self._watches.get(watched.key) is watched

    def _end(self, watched: HeldWatch) -> None:
        if self._is_held(watched):
            self._ended.add(watched.key)
        self._drop(watched)

    def _drop(self, watched: HeldWatch) -> None:
        watched.over = True
        if self._is_held(watched):
            del self._watches[watched.key]
        self._opening.discard(watched)
        if watched.task is not None and not watched.recording:
            watched.task.cancel()

    def _log_counts(self) -> None:
        if self._time() - self._counted_at < COUNT_SECONDS:
            return
        self._counted_at, before, self._counts = self._time(), self._counts, self.counts
        if self._counts != before:
            log.info("watches.counted", **self._counts)
        if full := [app for app, room in self._rooms().items() if not room]:
            log.warning("watches.full", apps=full, limit=self._limits.max_watches, hint="more are looked up at expiry")

    async def _try(self, work: Any, otherwise: Any = None) -> Any:
        """The result of ``work``; ``otherwise`` if the store fails: a later round tries again."""
        try:
            return await work
        except StoreError as error:
            log.error("watches.unavailable", error=str(error))
            return otherwise
