"""Read the pages of the repository: headings, links, code, tables and the commands that they name."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

import consumers.__main__
import processor.__main__

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("processor", "consumers", "schemas", "deploy", "tests")
FRONT: Final = ROOT / "README.md"
PAGES: Final = [
    FRONT,
    ROOT / "CHANGELOG.md",
    *(page for tree in TREES for page in sorted((ROOT / tree).rglob("README.md")) if "node_modules" not in page.parts),
]
COMMANDS: Final[dict[str, Any]] = {
    "processor": typer.main.get_command(processor.__main__.app),
    "consumers": typer.main.get_command(consumers.__main__.app),
}
END_OF_COMMAND: Final = {"|", ">", "<", "&&", ";", "&"}

_fence = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_span = re.compile(r"`([^`\n]+)`")
_link = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    """The path of a page from the root."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks in ``language``."""
    return [body for _, found, body in _fence.findall(page.read_text()) if found == language]


def block(page: str, language: str, containing: str) -> str:
    """The only block of the page at path ``page`` that contains these words."""
    (found,) = [each for each in blocks(ROOT / page, language) if containing in each]
    return found


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _fence.sub("", page.read_text())


def spans(text: str) -> list[str]:
    """The contents of all backticks in a text without fenced blocks."""
    return _span.findall(text)


def links(text: str) -> list[str]:
    """The targets of all links in a text."""
    return _link.findall(text)


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of each row of the only table whose first heading is ``heading``."""
    (table,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[ :|-]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [cells(line) for line in table.splitlines()]


def cells(row: str) -> list[str]:
    """The cells of one row of a table."""
    return [cell.strip() for cell in row.strip().strip("|").split(" | ")]


def anchors(page: Path) -> set[str]:
    """The anchors that a link to this page can name, as GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_commands() -> list[tuple[str, list[str]]]:
    """Every ``processor`` or ``consumers`` command in any page, split into words, with the page's path."""
    found = []
    for page in PAGES:
        named = [span for span in spans(prose(page)) if span.split(" ")[0] in {"exec", *COMMANDS}]
        found += [
            (name_of(page), command) for script in [*blocks(page, "sh"), *named] for command in _commands_in(script)
        ]
    return found


def _commands_in(script: str) -> Iterator[list[str]]:
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True) if "'" not in line or line.count("'") % 2 == 0 else line.split()
        for at, word in enumerate(words):
            if word in COMMANDS and words[at + 1 : at + 2] != [word]:  # else it is the name of a container
                after = words[at:]
                ends = [number for number, each in enumerate(after) if each in END_OF_COMMAND]
                yield after[: ends[0]] if ends else after
