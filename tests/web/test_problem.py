"""Every reason for a refusal stands once, with its status and its meaning."""

from typing import Any, get_args

import pytest

from processor.web.problem import PROBLEMS, Problem, ProblemReason, problem_response


def reasons(union: Any) -> set[str]:
    """The texts of a union of literals."""
    return {each for part in get_args(union) for each in ([part] if isinstance(part, str) else reasons(part))}


def test_table_of_reasons_is_complete() -> None:
    """What the type allows to be raised, the table explains; and no more."""
    assert set(PROBLEMS) == reasons(ProblemReason)


@pytest.mark.parametrize("reason", PROBLEMS)
def test_meaning_fits_a_row_of_a_table(reason: ProblemReason) -> None:
    """One line of Markdown that breaks no table, and a status that says that something is wrong."""
    status, meaning = PROBLEMS[reason]

    assert meaning
    assert not set(meaning) & {"|", "\n"}
    assert 400 <= status == problem_response(Problem(reason)).status
