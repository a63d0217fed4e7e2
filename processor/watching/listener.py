"""One payload's socket, from the handshake to its end: its messages become reports, which the lifecycle judges.

No message proves an outcome, and no message can do harm: an invalid message is logged and dropped.
"""

from asyncio import Task
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import structlog

from processor.core.application import Application
from processor.core.errors import NormalizeError, StoreError, Unavailable
from processor.core.payload.entry import Reported
from processor.core.payload.state import PayloadState
from processor.core.payload.status_socket import ABSENT_LIMIT, failures_after, is_idle, is_late, is_news, is_over
from processor.core.reports.report import Report, lookup_due
from processor.core.reports.status import is_present, status_report, unknown_keys
from processor.core.timing import Timing
from processor.store.ports import Recorder
from processor.xumm.sockets import SocketClosed, StatusSocket

MAX_LOGGED_KEYS: Final = 100
"""How many unknown keys are logged: a server that invents them must fill neither the memory nor the log."""

log = structlog.get_logger()


class Sockets(Protocol):
    """Opens sockets."""

    async def open(self, payload: str) -> StatusSocket:
        """The open socket of a payload. Raises `Unavailable`."""


@dataclass(slots=True, eq=False, kw_only=True)
class HeldWatch:
    """One watch, as the process that holds it knows it. It is kept small, since there are thousands."""

    application: Application
    state: PayloadState
    """The state without its evidence, which watching does not need."""
    gap: bool
    """No socket was open for a while: a lookup is due when the next one opens."""
    unseen_since: datetime | None = None
    """When the payload became known; None once a socket has shown that it exists."""
    over: bool = False
    failures: int = 0
    """Connections in a row that failed or did not last."""
    absences: int = 0
    """Connections in a row that said that the payload does not exist."""
    present: bool = False
    """This connection has shown that the payload exists."""
    logged_invalid: bool = False
    """This connection sent an invalid message, which is logged."""
    recording: bool = False
    """A report is being recorded; the task must not be cancelled before the commit."""
    socket: StatusSocket | None = None
    opened_at: float = 0.0
    heard_at: float = 0.0
    task: "Task[None] | None" = None

    @property
    def key(self) -> tuple[str, str]:
        """Payload and application name."""
        return self.state.payload, self.state.app


class Listener:
    """Follows sockets, and keeps their history in the `HeldWatch`."""

    def __init__(
        self,
        sockets: Sockets,
        recorder: Recorder,
        *,
        timing: Timing,
    ) -> None:
        self._sockets = sockets
        self._recorder = recorder
        self._clock = timing.clock
        self._time = timing.time
        self._logged_keys: set[str] = set()

    async def connect(self, watched: HeldWatch) -> StatusSocket | None:
        """The open socket; None if it cannot be opened now."""
        try:
            return await self._sockets.open(watched.state.payload)
        except Unavailable as error:
            watched.failures += 1
            watched.gap = True
            log.debug("watch.unreachable", payload=watched.state.payload, failures=watched.failures, error=str(error))
            return None

    async def listen(self, watched: HeldWatch, socket: StatusSocket) -> None:
        """Handle messages until the socket is closed or the watch is over."""
        watched.present = watched.logged_invalid = spoke = False
        watched.socket = socket
        watched.opened_at = watched.heard_at = self._time()
        try:
            while not watched.over:
                text = await socket.receive()
                watched.heard_at = self._time()
                spoke = True
                await self._handle(watched, text)
        except SocketClosed as closed:
            if closed.abused:
                self._log_invalid(watched, str(closed))
            await self._note_loss(watched, spoke=spoke)
        except StoreError as error:
            log.error("watch.store_failed", app=watched.state.app, payload=watched.state.payload, error=str(error))
            self._note_failure(watched)
        finally:
            watched.socket = None
            await socket.close()

    async def _handle(self, watched: HeldWatch, text: str | bytes) -> None:
        if not watched.present and is_present(text):
            watched.present, watched.absences = True, 0
            if watched.gap or self._is_late(watched):
                await self._request_lookup(watched, "gap")
            watched.gap, watched.unseen_since = False, None
        if is_idle(watched.state, text):
            return
        self._log_unknown_keys(watched, text)
        try:
            report = status_report(watched.application, watched.state.payload, text, self._clock())
        except NormalizeError as error:
            self._log_invalid(watched, str(error))
            return
        if report is not None and is_news(watched.state, report):
            await self._record(watched, report)

    def _is_late(self, watched: HeldWatch) -> bool:
        return watched.unseen_since is not None and is_late(watched.unseen_since, self._clock())

    async def _note_loss(self, watched: HeldWatch, *, spoke: bool) -> None:
        """Note that the socket is closed. After `ABSENT_LIMIT` answers that the payload does not exist, ask Xumm's
        API.
        """
        self._note_failure(watched)
        if not spoke or watched.present:
            return
        watched.absences += 1
        if watched.absences == ABSENT_LIMIT:
            log.warning("watch.payload_missing", app=watched.state.app, payload=watched.state.payload)
            try:
                await self._request_lookup(watched, "absent")
            except StoreError as error:
                watched.absences = 0
                log.error("watch.store_failed", app=watched.state.app, payload=watched.state.payload, error=str(error))

    def _note_failure(self, watched: HeldWatch) -> None:
        lived = timedelta(seconds=self._time() - watched.opened_at)
        watched.failures = failures_after(watched.failures, lived)
        watched.gap = True

    async def _request_lookup(self, watched: HeldWatch, because: Literal["gap", "absent"]) -> None:
        await self._record(watched, lookup_due(watched.application, watched.state.payload, because, self._clock()))

    async def _record(self, watched: HeldWatch, report: Report) -> None:
        policy = watched.application.policy
        watched.recording = True
        try:
            recorded = await self._recorder.record(Reported(report=report, policy=policy))
        finally:
            watched.recording = False
        transition = recorded.transition
        assert transition is not None  # noqa: S101  the store answers a report with its transition
        watched.state = transition.state._replace(custom_meta=None, snapshot=None, ledger=None)
        watched.over = watched.over or is_over(watched.state, policy, self._clock())

    def _log_invalid(self, watched: HeldWatch, error: str) -> None:
        """Once for each connection."""
        if not watched.logged_invalid:
            watched.logged_invalid = True
            log.error("watch.invalid", app=watched.state.app, payload=watched.state.payload, error=error)

    def _log_unknown_keys(self, watched: HeldWatch, text: str | bytes) -> None:
        for key in unknown_keys(text):
            if key not in self._logged_keys and len(self._logged_keys) < MAX_LOGGED_KEYS:
                self._logged_keys.add(key)
                log.info("watch.unknown_key", app=watched.state.app, payload=watched.state.payload, key=key)
