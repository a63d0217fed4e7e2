import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from processor.observability import logs
from processor.observability.redaction import clean_fields, clean_text
from schemas.webhook import WEBHOOK

CANARY = "c0ffee00-dead-4bee-8f01-ca4a41ca4a41"


class Nasty:
    def __repr__(self) -> str:
        raise RuntimeError(CANARY)


class Talkative:
    def __repr__(self) -> str:
        return f"Talkative(api_secret='{CANARY}')"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is as it was, after each test."""
    root = logging.getLogger()
    before, level, names = root.handlers[:], root.level, list(logs._QUIET)
    levels = [logging.getLogger(name).level for name in names]
    hooks = sys.excepthook, threading.excepthook
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = before
    root.setLevel(level)
    for name, old in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(old)
    sys.excepthook, threading.excepthook = hooks


def configured(log_format: logs.LogFormat = "json", **options: Any) -> tuple[Any, io.BytesIO]:
    stream = io.BytesIO()
    logs.configure(log_format, stream=stream, **options)
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, logs._Bridge)]
    return structlog.get_logger(), stream


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_writes_one_json_object_for_each_line() -> None:
    """A line has time, level, name, what was bound, and its fields."""
    log, stream = configured()
    structlog.contextvars.bind_contextvars(app="shop")

    log.warning("delivery.refused", reason="signature_invalid", after=timedelta(seconds=2), at="a field of that name")

    line = lines(stream)[0]
    assert datetime.now(UTC) - datetime.fromisoformat(line.pop("at")) < timedelta(minutes=1)
    assert line == {
        "level": "warning",
        "event": "delivery.refused",
        "reason": "signature_invalid",
        "after": 2.0,
        "at_": "a field of that name",
        "app": "shop",
    }


def test_configures_again() -> None:
    """A later configuration holds for loggers that wrote under the earlier one: stream, form and level."""
    log, first = configured()
    log.info("service.started")

    _, second = configured(level="warning")
    log.info("service.stopping")
    log.warning("service.stopped")

    assert [line["event"] for line in lines(first) + lines(second)] == ["service.started", "service.stopped"]


def test_leaves_out_what_is_below_the_level() -> None:
    """The level holds for our lines and for the libraries'."""
    log, stream = configured(level="warning")

    log.info("delivery.accepted")
    logging.getLogger("aiohttp.client").info("chatter")
    log.error("store.failed")

    assert [line["event"] for line in lines(stream)] == ["store.failed"]


def test_carries_the_lines_of_libraries() -> None:
    """Python's own logging and warnings go through the same pipeline, even with arguments that do not fit."""
    _, stream = configured()

    logging.getLogger("aio_pika").warning("lost %s", "connection")
    logging.getLogger("odd").warning("%d", "x")
    logging.getLogger("odd").log(27, "between levels")
    logging.getLogger("aiohttp.access").error("GET /")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("beware", UserWarning, stacklevel=1)

    found = [(line["event"], line["logger"], line["level"], line["message"][:14]) for line in lines(stream)[:3]]
    assert found == [
        ("library.logged", "aio_pika", "warning", "lost connectio"),
        ("library.logged", "odd", "warning", "%d"),
        ("library.logged", "odd", "info", "between levels"),
    ]
    assert [line["logger"] for line in lines(stream)[3:]] == ["py.warnings"]


def test_libraries_that_tell_addresses_are_quiet() -> None:
    """An address of APNs holds a device token, and its client writes one line for each request."""
    _, stream = configured(level="debug")
    for name in ("httpx", "httpcore.http2", "hpack.hpack"):
        logging.getLogger(name).info("HTTP Request: POST https://api.push.apple.com/3/device/%s", CANARY)

    assert CANARY not in stream.getvalue().decode()


def _raise(error: BaseException, cause: BaseException | None = None) -> None:
    hidden = CANARY
    assert hidden
    raise error from cause


def _log_nasty_records(log: Any) -> None:
    jwt = f"eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY.replace('-', '')}.x-{CANARY}"
    log.info("canary.sung", api_secret=CANARY, **{"x-api-key": CANARY, "X-API-Secret": CANARY, "Set-Cookie": CANARY})
    log.info("canary.sung", nested={"list": [{"userToken": {"user_token": CANARY}}, ("body", {"body": CANARY})]})
    log.info("canary.sung", headers={"Authorization": f"Bearer {CANARY}"}, said=f"authorization: Bearer {CANARY}")
    log.info("canary.sung", text=f'{{"api_secret": "{CANARY}", "user_token":"{CANARY}"}} token={CANARY}')
    log.info(
        "canary.sung", url=f"amqp://user:{CANARY}@host/x", other=f"postgresql://{CANARY}@h/d", jwt_text=jwt, said=jwt
    )
    log.info("canary.sung", raw=CANARY.encode(), wrapped=SecretStr(CANARY), thing=Talkative(), fcm_token=CANARY)
    log.info(f"canary.sung token={CANARY}", **{f"token={CANARY}": 1, f"bearer {CANARY}": 2})  # noqa: G004  hostile on purpose
    log.info("canary.sung", escaped='"{\\"secret\\":\\"' + CANARY + '\\"}"', broken=Nasty())
    _log_nasty_exceptions(log)
    logging.getLogger("aiohttp").warning("request with x-api-secret: %s failed", CANARY)
    logging.getLogger("aiormq").error("cannot connect to amqp://u:%s@h", CANARY)


def _log_nasty_exceptions(log: Any) -> None:
    try:
        WEBHOOK.validate_python({"meta": CANARY, "payloadResponse": {"signed": CANARY}})
    except ValidationError as invalid:
        log.warning("canary.sung", error=invalid, exc_info=True)
    for error, cause in (
        (ValueError(f"password={CANARY}"), RuntimeError(f"Bearer {CANARY}")),
        (ExceptionGroup("several", [OSError(f"amqp://u:{CANARY}@h"), ValueError(f"token: {CANARY}")]), None),
        (RuntimeError(f"[SQL: INSERT]\n[parameters: ('{CANARY}',)]"), None),
        (ValueError(Nasty()), None),
    ):
        try:
            _raise(error, cause)
        except Exception:
            log.exception("canary.sung", api_secret=CANARY)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tells_no_secret_by_key_or_shape(log_format: logs.LogFormat) -> None:
    """A secret stays out by the key it stands under or by the shape of the text around it, known or not."""
    log, stream = configured(log_format)

    _log_nasty_records(log)

    written = stream.getvalue().decode()
    assert "log_line.failed" not in written
    assert written.count("canary.sung") == 13
    assert [line for line in written.splitlines() if CANARY in line or CANARY.replace("-", "") in line] == []


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tells_no_known_secret_anywhere(log_format: logs.LogFormat) -> None:
    """A value that configuration names stays out wherever it stands: in a word, a key, a frame, an escape."""
    quoted = 'pass"word\\with'
    log, stream = configured(log_format, secrets=[CANARY, quoted])

    log.info("canary.sung", remark=f"prefix{CANARY}suffix", **{CANARY: 1}, odd=quoted, nested={"deep": [quoted]})
    log.info(CANARY)

    written = stream.getvalue().decode()
    assert (CANARY in written, quoted in written, json.dumps(quoted)[1:-1] in written) == (False, False, False)
    assert written.count("[redacted]") == 5


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "evil", ["a\n{}", "a\r\nb", "\x1b[2J", "\x9b2J", "a\u2028b", "\u202egnp", "\ud800", "a\x00b", "\x7f"]
)
def test_writes_one_printable_line_whatever_it_is_given(log_format: logs.LogFormat, evil: str) -> None:
    """Nobody forges a line or moves the terminal's cursor, neither by name, nor key, nor value."""
    log, stream = configured(log_format)

    log.info(f"x{evil}", **{evil: evil}, nested={evil: [evil]})  # noqa: G004  hostile on purpose

    written = stream.getvalue().decode()
    assert written.endswith("\n")
    assert written[:-1].isprintable()


@given(
    fields=st.dictionaries(
        st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(st.characters())
            | st.binary()
            | st.datetimes()
            | st.timedeltas()
            | st.uuids()
            | st.decimals()
            | st.complex_numbers(),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.frozensets(st.text())
            ),
            max_leaves=8,
        ),
        max_size=5,
    )
)
@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_writes_any_value(fields: dict[str, Any]) -> None:
    """No value, nested or not, is too odd to be written as JSON."""
    log, stream = configured()

    log.info("value.written", **{f"f_{key}": value for key, value in fields.items()})

    assert [line["event"] for line in lines(stream)] == ["value.written"]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400, float("nan"), float("-inf")])
def test_writes_numbers_that_json_has_not(number: float) -> None:
    """Integers over 64 bits, and what is no number, are written too."""
    log, stream = configured()

    log.info("value.written", number=number, nested=[number])

    assert [line["event"] for line in lines(stream)] == ["value.written"]


def test_bounds_what_it_writes() -> None:
    """Endless texts, deep nests and long lists are cut."""
    loop: list[Any] = []
    loop.append(loop)

    cleaned = clean_fields(
        {"text": "x" * 100_000, "loop": loop, "many": list(range(1000)), "wide": {str(i): i for i in range(99)}}
    )

    assert len(json.dumps(cleaned)) < 10_000
    assert cleaned["wide"]["more"] == 99 - 64


@pytest.mark.parametrize(
    "text",
    [
        "https://xumm.app/sign/12345678-90ab-4cde-8f01-234567890abc",
        "SignedData.txid: value is not 64 hexadecimal digits",
        "queue push-notifications: 12 messages",
        "mail to someone@example.com: failed",
        "the body is too long: 70000 bytes",
    ],
)
def test_leaves_ordinary_text_alone(text: str) -> None:
    """What is no secret can be read."""
    assert clean_text(text) == text


def test_survives_a_reader_that_went_away() -> None:
    """A closed stdout costs the line, not the service."""
    log, stream = configured()
    stream.close()

    log.info("delivery.accepted")

    assert stream.closed


def test_shows_frames_and_causes_without_variables() -> None:
    """An exception is told with its chain, one frame each, and no source."""
    log, stream = configured()
    try:
        _raise(ValueError("outer"), KeyError("inner"))
    except ValueError:
        log.exception("step.failed")

    told = lines(stream)[0]["exception"]
    assert (told["type"], told["message"], told["cause"]["message"]) == ("ValueError", "outer", "'inner'")
    assert told["frames"][-1].endswith(" _raise")


def test_tells_a_crash_of_a_thread_as_a_line() -> None:
    """What nobody caught is logged like everything else, instead of a traceback on stderr."""
    _, stream = configured()
    thread = threading.Thread(target=lambda: _raise(ValueError(f"token={CANARY}")), name="writer")

    thread.start()
    thread.join()

    line = lines(stream)[0]
    assert (line["event"], line["thread"], line["exception"]["message"]) == (
        "process.crashed",
        "writer",
        "token=[redacted]",
    )
