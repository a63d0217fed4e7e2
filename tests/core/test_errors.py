"""The tree of errors, held against the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import processor
from processor.core import errors

ROOT = Path(processor.__file__).parent
OUTSIDE = {"sandbox"}  # it stands for Xumm


def classes() -> Iterator[tuple[str, set[str]]]:
    """Each public class of the processor, and the names of its bases."""
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] not in OUTSIDE:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name, {ast.unparse(base).rpartition(".")[2] for base in node.bases}


def raised() -> set[str]:
    """Every public class that is an error, directly or by its bases."""
    found, known = {"Exception", "ValueError", "OSError", "LookupError", "RuntimeError"}, list(classes())
    while more := {name for name, bases in known if bases & found} - found:
        found |= more
    return found & {name for name, _ in known}


def drawn() -> set[str]:
    """Every class in the tree."""
    branches = re.findall(r"── ((?:[A-Z]\w+(?:, )?)+)", errors.__doc__ or "")
    return {name for branch in branches for name in branch.split(", ")} | {"ProcessorError"}


def test_tree_shows_every_error() -> None:
    """The tree has each error of the processor, and no other."""
    assert raised() == drawn()


def test_tree_names_modules_that_exist() -> None:
    """Where the tree names a module, the module defines the error."""
    for name, path in re.findall(r"── (\w+) .*: ([\w/]+\.py)", errors.__doc__ or ""):
        assert f"class {name}(" in (ROOT / path).read_text()
