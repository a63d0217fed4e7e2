"""Logging: structlog and Python's own, through one pipeline, without secrets, one line each.

JSON lines on stdout in production, readable ones on a terminal. `configure` is called once by a command; importing
this module changes nothing. A line holds ``at``, ``level``, ``event`` (a name from
`processor.observability.catalogue`), what was bound with ``structlog.contextvars`` (request id, application,
payload), and the fields of the call.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

import orjson
import structlog

from processor.observability.redaction import Redactor, clean_fields, clean_text, exception_fields

LogFormat = Literal["auto", "json", "console"]

_QUIET: Final = {
    "aiohttp.access": logging.CRITICAL + 1,  # one line per outcome is written by the service itself
    "aiohttp.server": logging.ERROR,
    "aio_pika": logging.WARNING,
    "aiormq": logging.WARNING,
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,  # it tells addresses, and those of APNs hold device tokens
    "httpcore": logging.WARNING,
    "hpack": logging.WARNING,
}
_COLOURS: Final = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"
SAMPLED_FOR: Final = timedelta(seconds=1)
_NAMES: Final = {"exception": "error", "critical": "error", "fatal": "error", "warn": "warning", "msg": "info"}
_RESERVED: Final = frozenset({"at", "level", "event", "exception"})

Render = Callable[[dict[str, Any]], bytes]


def configure(
    log_format: LogFormat = "auto",
    level: str = "info",
    *,
    secrets: Iterable[str] = (),
    stream: BinaryIO | None = None,
) -> None:
    """Send every log line of this process to ``stream`` (stdout). ``secrets`` are values that may not be in any line.

    Calling it again holds for every logger, also for those that have written already.
    """
    out = stream or sys.stdout.buffer
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    render = _console(colour=out.isatty() and "NO_COLOR" not in os.environ) if console else _json
    sink = _Sink(out)
    pipeline = _Pipeline(render, Redactor.of(secrets), sink)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, pipeline],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Factory(sink),
        cache_logger_on_first_use=False,  # half a microsecond a line, and configuring again reaches every logger
    )
    _bridge(level)
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed


class GatheredLog:
    """A logger for lines that come many at once: they are written together, at the loop's next turn.

    That takes a fifth of the time, and next to none where nobody wants them. For values that cannot hold a secret or
    anything from outside: numbers, checked uuids, names of our own. They are not cleaned, and what contextvars hold is
    not added.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[str, Callable[[], dict[str, Any]]]] = []

    def info(self, event: str, fields: Callable[[], dict[str, Any]]) -> None:
        """Log a line, as a logger would. ``fields`` is called when it is written. To be called on the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append((event, fields))

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        one_by_one = structlog.get_logger().bind()
        pipeline = structlog.get_config()["processors"][-1]
        if not isinstance(pipeline, _Pipeline):  # a test listens
            for event, fields in lines:
                one_by_one.info(event, **fields())
        elif one_by_one.is_enabled_for(logging.INFO):
            pipeline.write("info", [(event, fields()) for event, fields in lines])


class SampledLog:
    """A logger for lines that strangers can cause: of each name one a second, which says for how many it stands.

    The first is written at once. Those that follow within a second are counted; of them the last is written at its end.
    """

    def __init__(self) -> None:
        self._held: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Held]] = WeakKeyDictionary()

    def warning(self, event: str, **fields: Any) -> None:
        """Log a line, as a logger would. To be called on the event loop."""
        self._log(event, _Held("warning", fields))

    def error(self, event: str, **fields: Any) -> None:
        """Likewise."""
        self._log(event, _Held("error", fields))

    def _log(self, event: str, line: "_Held") -> None:
        loop = asyncio.get_running_loop()
        held = self._held.setdefault(loop, {})
        if event in held:
            held[event] = line._replace(times=held[event].times + 1)
            return
        held[event] = line
        loop.call_later(SAMPLED_FOR.total_seconds(), self._write_held, loop, event)
        line.write(event)

    def _write_held(self, loop: asyncio.AbstractEventLoop, event: str) -> None:
        held = self._held[loop]
        line = held.pop(event)
        if line.times:
            held[event] = line._replace(times=0)
            loop.call_later(SAMPLED_FOR.total_seconds(), self._write_held, loop, event)
            line.write(event, times=line.times)


class _Held(NamedTuple):
    """The last line of its name."""

    level: Literal["warning", "error"]
    fields: dict[str, Any]
    times: int = 0
    """How many have come since one was written."""

    def write(self, event: str, **more: Any) -> None:
        getattr(structlog.get_logger(), self.level)(event, **self.fields, **more)


sampled_log: Final = SampledLog()
"""The one of the service, since what strangers can cause is bounded in sum."""


class _Pipeline:
    """Turns the fields of one line into bytes. Never raises."""

    def __init__(self, render: Render, redactor: Redactor, sink: "_Sink") -> None:
        self._render = render
        self._redactor = redactor
        self._sink = sink

    def write(self, level: str, lines: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Many lines of clean fields at once."""
        at = datetime.now(UTC)
        rendered = [self._render({"at": at, "level": level, "event": event, **fields}) for event, fields in lines]
        self._sink.write(self._redactor.line(b"".join(rendered)))

    def __call__(self, _logger: Any, method: str, fields: MutableMapping[str, Any]) -> bytes:
        return self._redactor.line(self._rendered(method, fields))

    def _rendered(self, method: str, fields: MutableMapping[str, Any]) -> bytes:
        line: dict[str, Any] = {"at": datetime.now(UTC), "level": _NAMES.get(method, method), "event": None}
        try:
            line["event"] = clean_text(fields.pop("event"))
            line.update(self._clean(fields))
            return self._render(line)
        except Exception as error:  # noqa: BLE001  a log line is never worth an error
            return _json({**line, "event": "log_line.failed", "reason": type(error).__name__})

    @staticmethod
    def _clean(fields: MutableMapping[str, Any]) -> dict[str, Any]:
        raised = fields.pop("exc_info", None)
        fields.pop("stack_info", None)
        cleaned = clean_fields(fields)
        if not cleaned.keys().isdisjoint(_RESERVED):
            cleaned = {f"{name}_" if name in _RESERVED else name: value for name, value in cleaned.items()}
        error = _error_of(raised)
        if error is not None:
            cleaned["exception"] = exception_fields(error)
        return cleaned


def _error_of(raised: Any) -> BaseException | None:
    if raised is None or raised is False:
        return None
    if isinstance(raised, BaseException):
        return raised
    if isinstance(raised, tuple):
        return raised[1] if len(raised) > 1 and isinstance(raised[1], BaseException) else None
    return sys.exc_info()[1]


def _json(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _console(*, colour: bool) -> Render:
    def render(line: dict[str, Any]) -> bytes:
        level = line.pop("level")
        at = f"{line.pop('at').astimezone():%H:%M:%S.%f}"[:-3]
        event = _word(line.pop("event"))
        exception = line.pop("exception", None)
        start = _COLOURS.get(level, "") if colour else ""
        words = [f"{at} {start}{level:<7}{_PLAIN if colour else ''} {event:<28}"]
        words += [f"{_word(key)}={_word(value)}" for key, value in line.items()]
        text = " ".join(words).rstrip() + "\n" + "".join(_exception_lines(exception))
        return text.encode("utf-8", "backslashreplace")

    return render


def _word(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and value and not set(' "=') & set(value):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _exception_lines(fields: Mapping[str, Any] | None, indent: str = "  ") -> Iterable[str]:
    if fields is None:
        return
    yield f"{indent}{_word(fields['type'])}: {_word(fields['message'])}\n"
    yield from (f"{indent}  at {_word(frame)}\n" for frame in fields["frames"])
    for inner in (fields.get("cause"), *fields.get("exceptions", ())):
        yield from _exception_lines(inner, f"{indent}  ")


class _Sink:
    """The end of the pipe. A reader that went away is no reason to stop working."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.write(line)
            self._out.flush()

    msg = debug = info = warning = error = critical = exception = fatal = log = write


class _Factory:
    def __init__(self, sink: _Sink) -> None:
        self._sink = sink

    def __call__(self, *_args: Any) -> _Sink:
        return self._sink


class _Bridge(logging.Handler):
    """Python's own logging, into the same pipeline."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  arguments that do not fit their format
            message = str(record.msg)
        write = getattr(structlog.get_logger(), _level_of(record.levelno))
        write("library.logged", logger=record.name, message=message, exc_info=record.exc_info)


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _bridge(level: str) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Bridge) or type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(capture=True)


def _crashed(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    structlog.get_logger().error("process.crashed", exc_info=error)


def _thread_crashed(arguments: threading.ExceptHookArgs) -> None:
    thread = arguments.thread.name if arguments.thread else None
    structlog.get_logger().error("process.crashed", thread=thread, exc_info=arguments.exc_value)
