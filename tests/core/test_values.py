"""The values that the core takes and gives."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import processor.core
from processor.core.publishing.debts import Debt


def values() -> Iterator[type]:
    """Every dataclass that a module of the core defines."""
    for found in pkgutil.walk_packages(processor.core.__path__, "processor.core."):
        module = importlib.import_module(found.name)
        yield from (
            each
            for each in vars(module).values()
            if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == found.name
        )


FIELDLESS_OR_POSITIONAL = {"Rest", "Fetch", "Check", "Wait", "Resolve", "Stop"}
"""Steps, which are written as in a table."""


@pytest.mark.parametrize("value", [each for each in values() if each is not Debt], ids=lambda each: each.__name__)
def test_values_never_change(value: type) -> None:
    """Whoever holds one may keep it; it has no attributes but its fields, and these are named where it is made."""
    params = value.__dataclass_params__  # type: ignore[attr-defined]  # dataclasses have it

    assert params.frozen
    assert "__slots__" in vars(value)
    if value.__name__ not in FIELDLESS_OR_POSITIONAL:
        assert all(field.kw_only for field in dataclasses.fields(value))


def test_a_debt_has_no_attributes_but_its_fields() -> None:
    """It is the one value that changes; a misspelt field is an error there, too."""
    with pytest.raises(AttributeError):
        Debt(None, 1).sinse = None  # type: ignore[attr-defined]  # misspelt on purpose
