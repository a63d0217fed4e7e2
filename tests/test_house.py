"""The rules of the house that linters cannot hold. Each finder below is itself shown what it must find."""

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

import processor

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("schemas", "processor", "consumers")
AT_THE_TOP: Final = frozenset(
    {
        ".ci",
        ".dockerignore",
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "consumers",
        "deploy",
        "processor",
        "pyproject.toml",
        "requirements.lock",
        "schemas",
        "tests",
    }
)
ROOMS: Final = 20
LAYERS: Final = 10
FLAT_TESTS: Final = 6
BESIDE_THE_ROOMS: Final = frozenset({"README.md", "__init__.py", "py.typed"})
FUNCTION_LINES: Final = 40
MEDIAN_LINES: Final = 6
MOST_LINES: Final = 16
"""Of nine functions in ten."""
MODULE_LINES: Final = 300
VAGUE: Final = frozenset({"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"})
UNSTOPPABLE: Final = frozenset({"BaseException", "BaseExceptionGroup", "CancelledError"})
CLOCKS_AND_DICE: Final = frozenset({"now", "today", "urandom", "utcnow", "uuid1", "uuid4"})
BESIDE_THE_STANDARD_LIBRARY: Final = {
    "schemas": {"pydantic", "pydantic_core", "schemas", "typing_extensions"}
}  # pydantic needs the last
ONE_IDEA_IN_SEVERAL_ROOMS: Final = {"Application", "CustomMeta", "Ledger", "Payload", "RateLimits", "UserToken"}
"""The class names that stand more than once."""
Functions = ast.FunctionDef | ast.AsyncFunctionDef

_suppression = re.compile(r"#\s*(?P<kind>type:\s*ignore|noqa)\b(?P<rest>.*)")
_code_and_reason = re.compile(r"(\[[a-z-]+(, ?[a-z-]+)*\]\s*#|:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)[\s-]+\w.*")
_promise = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
_place = re.compile(r"(?<![\w.$}])/(?:work|home|root|Users)/\w")
_line_end = re.compile(r"(?<!\\)\$(?:[)|]|\Z)")
_index = re.compile(r"(?i)pypi\.org|pythonhosted\.org|npmjs\.(?:com|org)|/simpl[e]/|--(?:extra-)?index-url\s+\S")


def tracked() -> list[str]:
    """The paths under version control; skips the test where there is none, as in an unpacked archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for path in listing.stdout.split("\0") if (ROOT / path).is_file()]


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """Path and source of each module below ``folders``."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def everywhere(find: Callable[[str], Iterable[str]], *folders: str) -> list[str]:
    """What ``find`` finds in the modules below ``folders``, with the module's path."""
    return [f"{path}: {found}" for path, source in modules(*folders) for found in find(source)]


def functions(source: str) -> Iterator[Functions]:
    """Every function and method."""
    yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, Functions))


def comments(source: str) -> Iterator[str]:
    """Every comment, with its line number."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield f"{token.start[0]} {token.string}"


def silent_tests(source: str) -> Iterator[str]:
    """Tests whose docstring is not one sentence."""
    for function in functions(source):
        sentence = ast.get_docstring(function) or ""
        is_sentence = sentence.endswith(".") and "\n\n" not in sentence
        if function.name.startswith("test_") and not is_sentence:
            yield function.name


def long_functions(source: str) -> Iterator[str]:
    """Functions that do not fit on a screen."""
    for function in functions(source):
        lines = (function.end_lineno or 0) - function.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{function.name} has {lines} lines"


def long_modules(source: str) -> Iterator[str]:
    """The module, if it is longer than a person reads at once."""
    lines = len(source.splitlines())
    if lines > MODULE_LINES:
        yield f"{lines} lines"


def unexplained_suppressions(source: str) -> Iterator[str]:
    """Suppressed checks without the code of the check, or without a reason."""
    for comment in comments(source):
        match = _suppression.search(comment)
        if match and not _code_and_reason.fullmatch(match["rest"]):
            yield comment


def prints(source: str) -> Iterator[str]:
    """Calls of ``print``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{node.lineno} {ast.unparse(node)}"


def promises(source: str) -> Iterator[str]:
    """Comments that put something off."""
    yield from (comment for comment in comments(source) if _promise.search(comment))


def clocks_and_dice(source: str) -> Iterator[str]:
    """Calls whose answer is another one each time."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in CLOCKS_AND_DICE:
                yield f"{node.lineno} {ast.unparse(node)}"


def swallowed(source: str) -> Iterator[str]:
    """Handlers that catch a cancellation, among others perhaps, and have no way of raising it again."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and _caught(node.type) & UNSTOPPABLE and not _raises(node):
            yield f"{node.lineno} except {ast.unparse(node.type) if node.type else ''}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            yield from (f"{node.lineno} {ast.unparse(node)}" for each in node.args if _caught(each) & UNSTOPPABLE)


def _caught(expression: ast.expr | None) -> set[str]:
    if expression is None:
        return {"BaseException"}
    parts = expression.elts if isinstance(expression, ast.Tuple) else [expression]
    return {ast.unparse(part).rpartition(".")[2] for part in parts}


def _raises(handler: ast.ExceptHandler) -> bool:
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and "raise_" in ast.unparse(node.func))
        for node in ast.walk(handler)
    )


def loose_patterns(source: str) -> Iterator[str]:
    """Patterns that let a line end pass behind what they match: with ``$``, or by ``match`` without an end."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        pattern = "".join(
            part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and type(part.value) is str
        )
        compiles = ast.unparse(node.func) in {"re.compile", "re.fullmatch", "re.search"}
        if node.func.attr == "match" or (compiles and _line_end.search(pattern)):
            yield f"{node.lineno} {ast.unparse(node)}"


def patches(source: str) -> Iterator[str]:
    """Calls of pytest's ``setattr`` that put something in the place of a function or class of the product.

    Constants, the search path of a package, names that do not exist, and ``sys`` may be set.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("patch.setattr"):
            target, name = (ast.unparse(argument).strip("'") for argument in node.args[:2])
            name = target.rpartition(".")[2] if isinstance(node.args[0], ast.Constant) else name
            may_be_set = name.isupper() or name.startswith("__") or target == "sys" or node.keywords
            yield from () if may_be_set else (f"{node.lineno} {ast.unparse(node)}",)


def imported(source: str) -> Iterator[str]:
    """Top-level packages that are imported from outside the standard library."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def places(text: str) -> Iterator[str]:
    """Folders of somebody's machine, and hosts of package indexes."""
    for pattern in (_place, _index):
        yield from (match[0] for match in pattern.finditer(text))


FINDS: Final[list[tuple[Callable[[str], Iterable[str]], str]]] = [
    (silent_tests, "def test_it() -> None: ..."),
    (silent_tests, 'async def test_it() -> None:\n    """not a sentence"""'),
    (silent_tests, 'def test_it() -> None:\n    """One.\n\n    And a second paragraph.\n    """'),
    (long_functions, "def f():\n" + "    pass\n" * FUNCTION_LINES),
    (long_modules, "pass\n" * (MODULE_LINES + 1)),
    (unexplained_suppressions, "x = 1  # noqa"),
    (unexplained_suppressions, "x = 1  # noqa: S105"),
    (unexplained_suppressions, "x = 1  # noqa: S105, E501  "),
    (unexplained_suppressions, "x = 1  # type: ignore"),
    (unexplained_suppressions, "x = 1  # type: ignore[arg-type]"),
    (unexplained_suppressions, "x = 1  # type: ignore  # because"),
    (prints, "print('hello')"),
    (promises, "x = 1  # TODO: mend this"),
    (clocks_and_dice, "datetime.now(UTC)"),
    (clocks_and_dice, "uuid4()"),
    (swallowed, "try: f()\nexcept:\n    pass"),
    (swallowed, "try: f()\nexcept BaseException as error:\n    log(error)"),
    (swallowed, "try: f()\nexcept (ValueError, asyncio.CancelledError):\n    return"),
    (swallowed, "with suppress(asyncio.CancelledError): f()"),
    (loose_patterns, "re.compile(r'^[a-z]+$')"),
    (loose_patterns, "re.match('a', text)"),
    (loose_patterns, "_name.match(text)"),
    (patches, 'monkeypatch.setattr("processor.xumm.api.decide_request", None)'),
    (patches, 'monkeypatch.setattr(Intake, "check", broken)'),
    (imported, "import aiohttp.web"),
    (imported, "def f():\n    from structlog import get_logger"),
    (places, "see " + "/work" + "/notes.md"),
    (places, "cd " + "/home" + "/me"),
    (places, "https://" + "pypi" + ".org/project/x"),
    (places, "--index-url" + " https://x"),
]


@pytest.mark.parametrize(("find", "wrong"), FINDS)
def test_a_finder_finds(find: Callable[[str], Iterable[str]], wrong: str) -> None:
    """A rule that nothing can break would hold nothing."""
    assert list(find(wrong)) != []


@pytest.mark.parametrize(
    "right",
    [
        "x = 1  # noqa: S105  the name of a variable",
        "x = 1  # noqa: S105, E501 - an address",
        "x = 1  # type: ignore[arg-type, call-arg]  # the tests' own keywords",
    ],
)
def test_an_explained_suppression_passes(right: str) -> None:
    """Whoever names the check and says why may suppress it."""
    assert [] == list(unexplained_suppressions(right))


def test_every_test_says_what_it_proves() -> None:
    """Each test has a docstring of one sentence."""
    assert [] == everywhere(silent_tests, "tests")


def test_functions_are_short() -> None:
    """No function of the product is longer than a screen."""
    assert [] == everywhere(long_functions, *PACKAGES)


def test_most_functions_are_shorter() -> None:
    """A function is a few lines, and hardly any needs more than a look."""
    lengths = [
        (function.end_lineno or 0) - function.lineno + 1
        for _, source in modules(*PACKAGES)
        for function in functions(source)
    ]

    assert statistics.median(lengths) <= MEDIAN_LINES
    assert statistics.quantiles(lengths, n=10)[-1] <= MOST_LINES


def test_modules_are_short() -> None:
    """No module of the product is longer than a person reads at once."""
    assert [] == everywhere(long_modules, *PACKAGES)


def test_suppressed_checks_are_explained() -> None:
    """Each suppression in the product names the check and says why."""
    assert [] == everywhere(unexplained_suppressions, *PACKAGES)


def test_nothing_is_printed() -> None:
    """The product logs or answers a command; it never prints in passing."""
    assert [] == everywhere(prints, *PACKAGES)


def test_nothing_is_put_off() -> None:
    """No comment promises what the code does not do."""
    assert [] == everywhere(promises, *PACKAGES, "tests")


def test_cancelling_is_never_swallowed() -> None:
    """Whoever catches a cancellation can raise it again: a task that was told to stop stops."""
    assert [] == everywhere(swallowed, *PACKAGES)


def test_patterns_match_to_the_end() -> None:
    """No pattern takes a line end for nothing."""
    assert [] == everywhere(loose_patterns, *PACKAGES)


def test_the_core_has_neither_clock_nor_dice() -> None:
    """Time and chance come to the core as arguments."""
    assert [] == everywhere(clocks_and_dice, "processor/core")


def test_the_product_is_never_patched() -> None:
    """No test puts something in the place of a function or class of the product."""
    assert [] == everywhere(patches, "tests")


def test_class_names_stand_once() -> None:
    """A class name stands once in the product, unless it is the same idea everywhere."""
    count = Counter(
        node.name
        for _, source in modules(*PACKAGES)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    )

    assert ONE_IDEA_IN_SEVERAL_ROOMS == {name for name, times in count.items() if times > 1}


def test_the_service_has_few_rooms() -> None:
    """A stranger finds a room by the listing of the service's folder."""
    rooms = {Path(path).parts[1] for path in tracked() if path.startswith("processor/")} - BESIDE_THE_ROOMS

    assert len(rooms) <= ROOMS


def test_layers_are_few() -> None:
    """Which room may import which is told in a few lines."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == ["processor"]]

    assert len(layers) <= LAYERS


def test_few_tests_lie_flat() -> None:
    """The tests mirror the rooms: hardly any is of none."""
    assert len(list((ROOT / "tests").glob("test_*.py"))) <= FLAT_TESTS


@pytest.mark.parametrize("package", BESIDE_THE_STANDARD_LIBRARY)
def test_the_contract_needs_little(package: str) -> None:
    """Whoever takes the schemas along needs pydantic and nothing else."""
    allowed = BESIDE_THE_STANDARD_LIBRARY[package]

    assert allowed == allowed | {name for _, source in modules(package) for name in imported(source)}


def test_modules_have_names_of_their_own() -> None:
    """No module or folder is named for anything and everything."""
    assert [] == [path for path in tracked() if not VAGUE.isdisjoint(Path(path).with_suffix("").parts)]


def test_the_top_of_the_repository_is_kept() -> None:
    """What a visitor sees first is there on purpose."""
    assert set() == {Path(path).parts[0] for path in tracked()} - AT_THE_TOP


def test_no_file_names_a_place_that_others_do_not_have() -> None:
    """Nothing tracked mentions a folder of one machine or the host of a package index."""
    texts = {path: (ROOT / path).read_bytes().decode(errors="replace") for path in tracked()}

    assert [] == [f"{path}: {found}" for path, text in texts.items() for found in places(text)]


def test_version_is_told_once_and_in_the_changelog() -> None:
    """The package says the version that it is built with, and operators can read what is in it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## \[(\S+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert version == processor.__version__
    assert version in headings
