import ast
import re
from collections.abc import Iterator
from pathlib import Path

from processor.log_events import LOG_EVENTS

ROOT = Path(__file__).parent.parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
WRITTEN_BY_THE_PIPELINE = {"line.lost", "library.logged"}
NAME = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")


def logged_names(source: str) -> Iterator[str]:
    """The first argument of every call like ``log.info("...")``."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args or not _is_logging(node.func):
            continue
        name = node.args[0]
        yield name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ast.unparse(name)


def _is_logging(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
        return False
    receiver = ast.unparse(function.value)
    return receiver.endswith("get_logger()") or receiver.rpartition(".")[2].strip("_") in {"log", "logger"}


def names_in_code() -> set[str]:
    files = [path for package in ("processor", "consumers") for path in (ROOT / package).rglob("*.py")]
    return {name for path in files for name in logged_names(path.read_text())} | WRITTEN_BY_THE_PIPELINE


def test_catalogue_holds_every_name_that_is_logged() -> None:
    """An operator finds each name in the catalogue, and nothing in it that no line bears."""
    assert set(LOG_EVENTS) == names_in_code()


def test_names_are_dotted_and_explained() -> None:
    """A name is ``thing.happened``, and its entry is one sentence."""
    assert [name for name in LOG_EVENTS if not NAME.fullmatch(name)] == []
    assert [name for name, event in LOG_EVENTS.items() if not event.tells.endswith(".") or "\n" in event.tells] == []


def test_finds_names_in_source() -> None:
    """The walk sees loggers by their usual names, and a name that is computed, which no catalogue can hold."""
    source = (
        'self._log.info("a.b", x=1)\nstructlog.get_logger().error("c.d")\n'
        'log.exception(name)\nmath.log(3)\ndialog.info("x")'
    )

    assert sorted(logged_names(source)) == ["a.b", "c.d", "name"]
