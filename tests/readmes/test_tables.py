"""The tables of the pages that are generated from the code, and the one that writes them."""

from pathlib import Path

import pytest

from tests.readmes.page import PAGES, cells, name_of
from tests.readmes.tables import TABLES, regenerate, tables_in


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_are_as_the_code_says(page: Path) -> None:
    """Each generated table is equal to the code's; ``make docs`` writes those that are not."""
    text = page.read_text()

    assert text == regenerate(text)


def test_each_table_stands_once() -> None:
    """Settings, reasons, log events, commands, events, operations and exit codes each stand in one page."""
    found = [name for page in PAGES for name in tables_in(page.read_text())]

    assert sorted(found) == sorted(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_whole(name: str) -> None:
    """Every row of a table has a name of its own, and words in its last cell."""
    (text,) = [page.read_text() for page in PAGES if name in tables_in(page.read_text())]
    _, _, begun = text.partition(f"<!-- generated: {name} -->\n")
    table = [cells(line) for line in begun.partition("<!-- /generated -->")[0].splitlines()[2:]]

    assert len({row[0] for row in table}) == len(table) > 0
    assert [row[0] for row in table if not row[-1].strip(" |")] == []
