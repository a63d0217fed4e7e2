"""One payload's socket, from the handshake to its end: what it says becomes reports, which the lifecycle judges.

Nothing in a message settles anything, and no message can do harm: what makes no sense is told in the log and forgotten.
"""

from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import structlog

from processor.core.application import Application
from processor.core.errors import NormalizeError, StoreError, Unavailable
from processor.core.payload.entry import Reported
from processor.core.payload.state import PayloadState, names_of
from processor.core.payload.watching import (
    ABSENT_LIMIT,
    failures_after,
    is_idle,
    is_late,
    is_news,
    is_over,
    is_present,
    strange_keys,
)
from processor.core.reports.normalize import status_report
from processor.core.reports.report import LookupDue, Report
from processor.core.timing import Timing
from processor.store.ports import Recorder
from processor.xumm.sockets import SocketClosed, StatusSocket

MAX_STRANGE: Final = 100
"""How many unknown keys are told of: a server that makes them up must not fill the memory, nor the log."""

log = structlog.get_logger()


class Sockets(Protocol):
    """Where sockets come from."""

    async def open(self, payload: str) -> StatusSocket:
        """The open socket of a payload. Raises `Unavailable`."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class Watched:
    """One watch, as the process that holds it knows it. Kept small: there are thousands."""

    application: Application
    state: PayloadState
    """As far as watching depends on it: without evidence."""
    gap: bool
    """Nobody listened for a while: worth a look once the socket is there again."""
    unheard_since: datetime | None = None
    """When it became known, until its first socket has shown that it exists."""
    over: bool = False
    failures: int = 0
    """Connections in a row that failed or did not last."""
    absences: int = 0
    """Connections in a row that said that there is no such payload."""
    present: bool = False
    """This connection has shown that the payload exists."""
    complained: bool = False
    """This connection sent nonsense, and the log has it."""
    recording: bool = False
    """It waits for a commit, and must see what comes of it."""
    socket: StatusSocket | None = None
    opened_at: float = 0.0
    heard_at: float = 0.0
    task: "Task[None] | None" = None

    @property
    def key(self) -> tuple[str, str]:
        """Payload and application name."""
        return self.state.payload, self.state.app


class Listener:
    """Follows one socket after the other, and notes in the `Watched` how that went."""

    def __init__(
        self,
        sockets: Sockets,
        recorder: Recorder,
        *,
        timing: Timing,
        on_task: Callable[[], None],
    ) -> None:
        """``on_task`` is called when a message made a lookup due."""
        self._sockets = sockets
        self._recorder = recorder
        self._clock = timing.clock
        self._time = timing.time
        self._on_task = on_task
        self._told: set[str] = set()

    async def connect(self, watched: Watched) -> StatusSocket | None:
        """The open socket; None if there is none to be had now."""
        try:
            return await self._sockets.open(watched.state.payload)
        except Unavailable as error:
            watched.failures += 1
            watched.gap = True
            log.debug("watch.unreachable", payload=watched.state.payload, failures=watched.failures, error=str(error))
            return None

    async def listen(self, watched: Watched, socket: StatusSocket) -> None:
        """Take what comes, until the socket is closed or nothing is left to watch."""
        watched.present = watched.complained = spoke = False
        watched.socket = socket
        watched.opened_at = watched.heard_at = self._time()
        try:
            while not watched.over:
                text = await socket.receive()
                watched.heard_at = self._time()
                spoke = True
                await self._take(watched, text)
        except SocketClosed as closed:
            if closed.abused:
                self._complain(watched, str(closed))
            await self._lost(watched, spoke=spoke)
        except StoreError as error:
            log.error("watch.store_failed", app=watched.state.app, payload=watched.state.payload, error=str(error))
            self._failed(watched)
        finally:
            watched.socket = None
            await socket.close()

    async def _take(self, watched: Watched, text: str | bytes) -> None:
        if not watched.present and is_present(text):
            watched.present, watched.absences = True, 0
            if watched.gap or self._is_late(watched):
                await self._look(watched, "gap")
            watched.gap, watched.unheard_since = False, None
        if is_idle(watched.state, text):
            return
        self._tell_strange(watched, text)
        try:
            report = status_report(watched.application, watched.state.payload, text, self._clock())
        except NormalizeError as error:
            self._complain(watched, str(error))
            return
        if report is not None and is_news(watched.state, report):
            await self._record(watched, report)

    def _is_late(self, watched: Watched) -> bool:
        return watched.unheard_since is not None and is_late(watched.unheard_since, self._clock())

    async def _lost(self, watched: Watched, *, spoke: bool) -> None:
        """The socket is gone. One that says again and again that there is no such payload leaves it to Xumm's API."""
        self._failed(watched)
        if not spoke or watched.present:
            return
        watched.absences += 1
        if watched.absences == ABSENT_LIMIT:
            log.warning("watch.payload_missing", app=watched.state.app, payload=watched.state.payload)
            try:
                await self._look(watched, "absent")
            except StoreError as error:
                watched.absences = 0
                log.error("watch.store_failed", app=watched.state.app, payload=watched.state.payload, error=str(error))

    def _failed(self, watched: Watched) -> None:
        lived = timedelta(seconds=self._time() - watched.opened_at)
        watched.failures = failures_after(watched.failures, lived)
        watched.gap = True

    async def _look(self, watched: Watched, because: Literal["gap", "absent"]) -> None:
        state = watched.state
        await self._record(
            watched,
            LookupDue(
                app=state.app, application=state.application, payload=state.payload, at=self._clock(), because=because
            ),
        )

    async def _record(self, watched: Watched, report: Report) -> None:
        policy = watched.application.policy
        watched.recording = True
        try:
            recorded = await self._recorder.record(Reported(report=report, policy=policy))
        finally:
            watched.recording = False
        transition = recorded.transition
        assert transition is not None  # noqa: S101  the store answers a report with its transition
        app, payload = report.app, report.payload
        watched.state = transition.state._replace(custom_meta=None, snapshot=None, ledger=None)
        watched.over = watched.over or is_over(watched.state, policy, self._clock())
        if transition.raised:
            log.error("payload.flagged", app=app, payload=payload, flags=names_of(transition.raised))
        if transition.announcements:
            events = [message.message.type for message in recorded.messages]
            log.info("payload.advanced", app=app, payload=payload, events=events)
        if transition.tasks:
            self._on_task()

    def _complain(self, watched: Watched, error: str) -> None:
        """Once for each connection."""
        if not watched.complained:
            watched.complained = True
            log.error("watch.invalid", app=watched.state.app, payload=watched.state.payload, error=error)

    def _tell_strange(self, watched: Watched, text: str | bytes) -> None:
        for key in strange_keys(text):
            if key not in self._told and len(self._told) < MAX_STRANGE:
                self._told.add(key)
                log.info("watch.unknown_key", app=watched.state.app, payload=watched.state.payload, key=key)
