"""The pages: each link, path, command and setting that they name exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from processor.broker.topology.desired import desired
from processor.observability.catalogue import LOG_EVENTS
from tests.readmes.page import (
    COMMANDS,
    FRONT,
    PAGES,
    ROOT,
    TREES,
    anchors,
    blocks,
    links,
    name_of,
    named_commands,
    prose,
    rows,
    spans,
)
from tests.readmes.tables import consumer_settings, settings

FRONT_LINES: Final = 200
FRONT_BYTES: Final = 14 * 1024
SCREEN: Final = 40
"""Lines of a first screen."""
FIRST_PAGES: Final = ("consumers/README.md", "processor/api/README.md", "deploy/README.md")
"""How do I receive events, how do I sign a user in, how do I run it for real."""
PROMISES: Final = 8
ANSWERS: Final = (
    "the signature of a webhook",
    "the replay window",
    "the outcome of a payload",
    "the proof of a signature",
    "Xumm's budget",
    "retry",
    "the outbox",
    "dead letters",
    "add an event",
    "add a source",
    "add a consumer",
    "settings",
)
READ_EARLIER: Final = {"PROCESSOR_CONFIG_FILE", "CONSUMERS_CONFIG_FILE"}
"""Variables that are read before the settings."""
CHOSEN_NAME: Final = re.compile(r"(?<=__)[A-Z0-9]+(?=__)")

_variable = re.compile(r"\b(?:PROCESSOR|CONSUMERS)_[A-Z][A-Z0-9_]*")
every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def mistake_in(words: list[str]) -> str | None:
    """The first word of a command line that the program does not know."""
    command: Any = COMMANDS[words[0]]
    rest = words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in options]
    return f"no option {unknown[0]}" if unknown else None


def definitions(path: Path) -> Iterator[str]:
    """Names that a module, or the modules of a folder, define at their top level."""
    for module in [path] if path.is_file() else path.rglob("*.py"):
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (target.id for target in targets if isinstance(target, ast.Name))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file of the repository, each anchor a heading."""
    broken = []
    for target in links(page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        known = path.startswith("http") or (file.exists() and (not anchor or anchor in anchors(file)))
        broken += [] if known else [target]

    assert broken == []


@every_page
def test_paths_exist(page: Path) -> None:
    """A path in backticks that begins with a folder of the repository is one of it."""
    paths = [span for span in spans(prose(page)) if span.partition("/")[0] in TREES and "/" in span and " " not in span]

    assert [path for path in paths if not (ROOT / path).exists()] == []


@every_page
def test_variables_are_settings(page: Path) -> None:
    """Each PROCESSOR_ or CONSUMERS_ name is read."""
    known = {CHOSEN_NAME.sub("NAME", row[0].strip("`")) for row in (*settings(), *consumer_settings())}
    groups = {name.partition("__")[0] for name in known}
    named = {CHOSEN_NAME.sub("NAME", name) for name in _variable.findall(page.read_text())}

    assert named - known - groups - READ_EARLIER == set()


def test_commands_exist() -> None:
    """Every command is there, with the options that it is shown with."""
    mistakes = {f"{page}: {' '.join(words)}": mistake_in(words) for page, words in named_commands()}

    assert {command: mistake for command, mistake in mistakes.items() if mistake} == {}
    assert len(mistakes) > 20


def test_targets_of_make_exist() -> None:
    """Each ``make`` that is named can be made, and each target is named."""
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for page in PAGES for shown in blocks(page, "sh") for line in shown.splitlines()]
    named = [*lines, *(span for page in PAGES for span in spans(prose(page)))]

    assert {words.split()[1] for words in named if words.startswith("make ")} | {"help", "install"} == targets


def test_log_names_stand_in_the_catalogue() -> None:
    """A log name in a page is one that a line can bear."""
    things = {name.partition(".")[0] for name in LOG_EVENTS}
    pages = [page for page in PAGES if page.name == "README.md" and "examples" not in page.parts]
    named = {span for page in pages for span in spans(prose(page)) if re.fullmatch(r"[a-z_]+\.[a-z_]+", span)}

    assert {name for name in named if name.split(".")[0] in things} <= set(LOG_EVENTS)
    assert "publisher.exchange_missing" in named


def test_names_on_the_broker_exist() -> None:
    """The table of queues names queues that ``processor topology apply`` makes."""
    made = {queue.name for queue in desired().queues}
    told = {name for row in rows((ROOT / "schemas/README.md").read_text(), "queue | holds") for name in spans(row[0])}

    assert {name for name in told if not re.match(r"<queue>|\.", name)} <= made


def test_front_page_is_short() -> None:
    """A visitor reads the front page in one go."""
    text = FRONT.read_bytes()

    assert len(text.splitlines()) <= FRONT_LINES
    assert len(text) <= FRONT_BYTES


def test_each_promise_names_its_tests() -> None:
    """The promises are numbered, and each links to tests."""
    promises = rows(FRONT.read_text(), "promise | tests")

    assert [cells[0][:4] for cells in promises] == [f"**{number}." for number in range(1, PROMISES + 1)]
    assert [cells for cells in promises if not all(link.startswith("tests/") for link in links(cells[1]) or [""])] == []


@pytest.mark.parametrize("page", FIRST_PAGES)
def test_first_questions_are_answered_on_a_first_screen(page: str) -> None:
    """The front page's first screen leads to the page, whose first screen shows what to type."""
    front = FRONT.read_text().splitlines()[:SCREEN]
    screen = (ROOT / page).read_text().splitlines()[:SCREEN]

    assert page in links("\n".join(front))
    assert "```sh" in screen


def test_map_answers_where_things_are() -> None:
    """Each of the twelve answers names modules or folders of the product, and names that these define."""
    page = ROOT / "processor" / "README.md"
    answers = dict(rows(page.read_text(), "where is ... | here"))

    assert tuple(answers) == ANSWERS
    for question, answer in answers.items():
        paths = [
            (ROOT / text, (page.parent / link).resolve()) for text, link in re.findall(r"\[(.+?)\]\((.+?)\)", answer)
        ]
        assert paths, question
        assert [text for text, target in paths if text.resolve() != target or not text.exists()] == [], question
        assert set(spans(answer)) <= {name for path, _ in paths for name in definitions(path)}, question
