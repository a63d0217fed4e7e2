"""Send the lines of structlog and of Python's own logging through one pipeline that removes secrets.

It writes JSON lines on stdout in production, readable ones on a terminal. A command calls `configure` once; importing
this module changes nothing. A line holds ``at``, ``level``, ``event`` (a name from
`processor.observability.catalogue`), what was bound with ``structlog.contextvars`` (request id, application,
payload), and the fields of the call.
"""

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal

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
    "httpx": logging.WARNING,  # it logs addresses, and those of APNs hold device tokens
    "httpcore": logging.WARNING,
    "hpack": logging.WARNING,
}
_COLOURS: Final = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"
_LEVELS: Final = {
    "exception": "error",
    "critical": "error",
    "fatal": "error",
    "warn": "warning",
    "msg": "info",
}
_RESERVED: Final = frozenset({"at", "level", "event", "exception"})

Render = Callable[[dict[str, Any]], bytes]


def configure(
    log_format: LogFormat = "auto",
    level: str = "info",
    *,
    secrets: Iterable[str] = (),
    stream: BinaryIO | None = None,
) -> None:
    """Send every log line of this process to ``stream``, by default stdout. No line will hold one of ``secrets``.

    Another call reconfigures every logger, also those that have written already.
    """
    out = stream or sys.stdout.buffer
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    render = _console_renderer(colour=out.isatty() and "NO_COLOR" not in os.environ) if console else _render_json
    sink = _Sink(out)
    pipeline = Pipeline(render, Redactor.of(secrets), sink)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, pipeline],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,  # half a microsecond a line, and configuring again reaches every logger
    )
    _redirect_logging(level)
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash


class Pipeline:
    """Renders the fields of a line as bytes. Never raises."""

    def __init__(self, render: Render, redactor: Redactor, sink: "_Sink") -> None:
        self._render = render
        self._redactor = redactor
        self._sink = sink

    def write(self, level: str, lines: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Write several lines at once. Their fields must be clean."""
        at = datetime.now(UTC)
        rendered = [self._render({"at": at, "level": level, "event": event, **fields}) for event, fields in lines]
        self._sink.write(self._redactor.redact(b"".join(rendered)))

    def __call__(self, _logger: Any, method: str, fields: MutableMapping[str, Any]) -> bytes:
        """Render one line, as the last processor of structlog."""
        return self._redactor.redact(self._render_line(method, fields))

    def _render_line(self, method: str, fields: MutableMapping[str, Any]) -> bytes:
        line: dict[str, Any] = {"at": datetime.now(UTC), "level": _LEVELS.get(method, method), "event": None}
        try:
            line["event"] = clean_text(fields.pop("event"))
            line.update(self._clean(fields))
            return self._render(line)
        except Exception as error:  # noqa: BLE001  a line that cannot be rendered is no reason to fail
            return _render_json({**line, "event": "log_line.failed", "reason": type(error).__name__})

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


def _render_json(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _console_renderer(*, colour: bool) -> Render:
    def render(line: dict[str, Any]) -> bytes:
        level = line.pop("level")
        at = f"{line.pop('at').astimezone():%H:%M:%S.%f}"[:-3]
        event = _quote(line.pop("event"))
        exception = line.pop("exception", None)
        start = _COLOURS.get(level, "") if colour else ""
        words = [f"{at} {start}{level:<7}{_PLAIN if colour else ''} {event:<28}"]
        words += [f"{_quote(key)}={_quote(value)}" for key, value in line.items()]
        text = " ".join(words).rstrip() + "\n" + "".join(_exception_lines(exception))
        return text.encode("utf-8", "backslashreplace")

    return render


def _quote(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and value and not set(' "=') & set(value):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _exception_lines(fields: Mapping[str, Any] | None, indent: str = "  ") -> Iterable[str]:
    if fields is None:
        return
    yield f"{indent}{_quote(fields['type'])}: {_quote(fields['message'])}\n"
    yield from (f"{indent}  at {_quote(frame)}\n" for frame in fields["frames"])
    for inner in (fields.get("cause"), *fields.get("exceptions", ())):
        yield from _exception_lines(inner, f"{indent}  ")


class _Sink:
    """The stream that lines are written to. Errors of writing are ignored: the reader may have gone."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.write(line)
            self._out.flush()

    msg = debug = info = warning = error = critical = exception = fatal = log = write


class _Bridge(logging.Handler):
    """Sends the lines of Python's own logging through the pipeline."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  arguments that do not match the format
            message = str(record.msg)
        write = getattr(structlog.get_logger(), _level_of(record.levelno))
        write("library.logged", logger=record.name, message=message, exc_info=record.exc_info)


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _redirect_logging(level: str) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Bridge) or type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(capture=True)


def _log_crash(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    structlog.get_logger().error("process.crashed", exc_info=error)


def _log_thread_crash(arguments: threading.ExceptHookArgs) -> None:
    thread = arguments.thread.name if arguments.thread else None
    structlog.get_logger().error("process.crashed", thread=thread, exc_info=arguments.exc_value)
