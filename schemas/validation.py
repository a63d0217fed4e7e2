"""Validation errors without the values that they are about, which may be secrets."""

from pydantic import ValidationError


def problems_in(error: ValidationError) -> list[tuple[str, str]]:
    """The place (``meta.signed``, or ``body`` for the whole) and the type (``missing``) of each problem."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [(".".join(map(str, detail["loc"])) or "body", detail["type"]) for detail in details]


def describe_problems(error: ValidationError, at_most: int = 3) -> str:
    """The first problems in one line: ``meta.signed (missing); and 2 more``."""
    problems = [f"{place} ({kind})" for place, kind in problems_in(error)]
    more = [f"and {len(problems) - at_most} more"] if len(problems) > at_most else []
    return "; ".join(problems[:at_most] + more)
