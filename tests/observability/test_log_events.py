import ast
import re
from collections.abc import Iterator
from pathlib import Path

from processor.observability.catalogue import LOG_EVENTS

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
WRITTEN_BY_THE_PIPELINE = {"log_line.failed", "library.logged"}
NAME = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")


def log_calls(source: str) -> Iterator[ast.Call]:
    """Every call like ``log.info("...")``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and _is_logging(node.func):
            yield node


def logged(source: str) -> Iterator[tuple[str, str]]:
    """Name and level of each call; a name that is no literal is given as the expression it is."""
    for call in log_calls(source):
        assert isinstance(call.func, ast.Attribute)
        level = {"exception": "error", "critical": "error"}.get(call.func.attr, call.func.attr)
        yield from ((name, level) for name in _names(call.args[0]))


def _names(expression: ast.expr) -> list[str]:
    if isinstance(expression, ast.IfExp):
        return [*_names(expression.body), *_names(expression.orelse)]
    literal = isinstance(expression, ast.Constant) and isinstance(expression.value, str)
    return [expression.value if literal else ast.unparse(expression)]


def _is_logging(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
        return False
    receiver = ast.unparse(function.value)
    return receiver.endswith("get_logger()") or receiver.rpartition(".")[2].strip("_") in {
        "log",
        "logger",
        "sampled_log",
    }


def sources() -> list[str]:
    return [path.read_text() for package in ("processor", "consumers") for path in (ROOT / package).rglob("*.py")]


def test_catalogue_holds_every_name_that_is_logged() -> None:
    """An operator finds each name in the catalogue, and nothing in it that no line bears."""
    in_code = {name for source in sources() for name, _ in logged(source)}

    assert in_code == set(LOG_EVENTS) - WRITTEN_BY_THE_PIPELINE


def test_catalogue_gives_a_level_that_is_used() -> None:
    """The level that the catalogue gives is one that lines of that name have."""
    used = {found for source in sources() for found in logged(source)}

    wrong = [
        name
        for name, (level, _) in LOG_EVENTS.items()
        if name not in WRITTEN_BY_THE_PIPELINE and (name, level) not in used
    ]
    assert wrong == []


def test_names_are_dotted_and_explained() -> None:
    """A name is ``thing.happened``, and its entry is one sentence."""
    assert [name for name in LOG_EVENTS if not NAME.fullmatch(name)] == []
    assert [text for _, text in LOG_EVENTS.values() if not text.endswith(".") or "\n" in text] == []


def test_no_field_is_called_event() -> None:
    """structlog calls the name itself ``event``: a field of that name is an error when the line is written."""
    fields = {keyword.arg for source in sources() for call in log_calls(source) for keyword in call.keywords}

    assert "event" not in fields


def test_finds_names_in_source() -> None:
    """The walk sees loggers by their usual names, and a name that is computed, which no catalogue can hold."""
    source = (
        'self._log.info("a.b", x=1)\nstructlog.get_logger().exception("c.d")\n'
        'log.warning(name)\nlog.info("e.f" if x else "g.h")\nmath.log(3)\ndialog.info("x")'
    )

    assert sorted(logged(source)) == [
        ("a.b", "info"),
        ("c.d", "error"),
        ("e.f", "info"),
        ("g.h", "info"),
        ("name", "warning"),
    ]
