"""What the documentation names exists, and what it shows runs."""

import asyncio
import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel, SecretStr
from sqlalchemy import text

import consumers.__main__
import processor.__main__
from consumers.runtime.composition import opened as opened_consumer
from consumers.runtime.discovery import find
from consumers.runtime.settings import Settings as ConsumerSettings
from processor.broker.topology.desired import desired
from processor.dev.house import SERVICE_PORT, opened
from processor.observability.catalogue import LOG_EVENTS
from processor.settings.applications import ApplicationSettings
from processor.settings.listing import listed
from processor.settings.loading import load
from processor.settings.sections import ApiSettings, Retention, TopologySettings, WatchingSettings
from processor.settings.service import ServiceKeySettings, Settings
from processor.web.problem import STATUS
from schemas.events import MODELS, ResolveValidated, parse_event
from tests.servers.child import free_port

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    ROOT / "deploy" / "README.md",
    ROOT / "deploy" / "examples" / "native-app" / "README.md",
]
TREES = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"var"}
COMMANDS: dict[str, Any] = {
    "processor": typer.main.get_command(processor.__main__.app),
    "consumers": typer.main.get_command(consumers.__main__.app),
}
END_OF_COMMAND = {"|", ">", "<", "&&", ";"}
CONFIG_FILES = {"PROCESSOR_CONFIG_FILE", "CONSUMERS_CONFIG_FILE"}
SECTIONS: dict[str, type[BaseModel]] = {
    "api": ApiSettings,
    "applications": ApplicationSettings,
    "retention": Retention,
    "service_keys": ServiceKeySettings,
    "topology": TopologySettings,
    "watching": WatchingSettings,
}

_fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_span = re.compile(r"`([^`\n]+)`")
_link = re.compile(r"\]\(([^)\s]+)\)")
_variable = re.compile(r"\b(?:PROCESSOR|CONSUMERS)_[A-Z][A-Z0-9_]*")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks in a language."""
    return [body for found, body in _fence.findall(page.read_text()) if found == language]


def block(language: str, containing: str) -> str:
    """The one block of the README that has these words."""
    (found,) = [each for each in blocks(README, language) if containing in each]
    return found


def spans(page: Path) -> list[str]:
    """What stands in backticks within the text."""
    return _span.findall(_fence.sub("", page.read_text()))


def rows(first_cell: re.Pattern[str]) -> list[list[str]]:
    """The rows of the README's tables whose first cell is code of this form."""
    lines = [line.strip("| ").split(" | ") for line in README.read_text().splitlines() if line.startswith("| `")]
    return [cells for cells in lines if first_cell.fullmatch(cells[0].strip("`"))]


def anchors(page: Path) -> set[str]:
    """What can follow ``#`` in a link to this page, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", _fence.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_in(script: str) -> Iterator[list[str]]:
    """The words after each ``processor`` or ``consumers`` that a script calls, its name first."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True) if "'" not in line or line.count("'") % 2 == 0 else line.split()
        for at, word in enumerate(words):
            if word in COMMANDS and words[at + 1 : at + 2] != [word]:  # else it is the container's name
                after = words[at:]
                ends = [number for number, each in enumerate(after) if each in END_OF_COMMAND]
                yield after[: ends[0]] if ends else after


def named_commands() -> list[tuple[str, list[str]]]:
    """Every command that a page names, with the page."""
    found = []
    for page in PAGES:
        scripts = [*blocks(page, "sh"), *(each for each in spans(page) if each.split(" ")[0] in {"exec", *COMMANDS})]
        found += [(page.name, command) for script in scripts for command in commands_in(script)]
    return found


def mistake_in(words: list[str]) -> str | None:
    """What the command line does not know of this."""
    command: Any = COMMANDS[words[0]]
    rest = words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in options]
    return f"no option {unknown[0]}" if unknown else None


def exists(variable: str) -> bool:
    """Whether some setting is read from this variable."""
    if variable in CONFIG_FILES:
        return True
    prefix, _, name = variable.lower().partition("_")
    field, *inner = name.split("__")
    if prefix == "consumers":
        return not inner and field in ConsumerSettings.model_fields
    return field in Settings.model_fields and (not inner or inner[-1] in SECTIONS[field].model_fields)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file of the repository, each anchor a heading."""
    broken = []
    for target in _link.findall(page.read_text()):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_exist(page: Path) -> None:
    """A path in backticks that begins with a folder of the repository is one of it."""
    paths = [span for span in spans(page) if span.partition("/")[0] in TREES and "/" in span and " " not in span]

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_commands_exist() -> None:
    """Every command is there, with the options that it is shown with."""
    mistakes = {f"{page}: {' '.join(words)}": mistake_in(words) for page, words in named_commands()}

    assert {command: mistake for command, mistake in mistakes.items() if mistake} == {}
    assert len(mistakes) > 20


def test_every_command_is_told_of() -> None:
    """Nobody has to find a command by chance."""
    told = {(words[0], *words[1:2]) for _, words in named_commands()}

    assert {(name, each) for name, group in COMMANDS.items() for each in group.commands} - told == set()


def test_targets_of_make_exist() -> None:
    """Each ``make`` that is named can be made."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {span.split(" ")[1] for span in spans(README) if span.startswith("make ")}

    assert named <= targets
    assert "run" in named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_variables_are_settings(page: Path) -> None:
    """Each PROCESSOR_ or CONSUMERS_ name is read."""
    assert [name for name in _variable.findall(page.read_text()) if not exists(name)] == []


def test_defaults_are_as_told(tmp_path: Path) -> None:
    """A default that the table of settings gives as code or as a number is the one in force."""
    key, secret = (digit * 8 + "-aaaa" * 3 + "-" + "b" * 12 for digit in "12")
    shop = {"PROCESSOR_APPLICATIONS__SHOP__API_KEY": key, "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": secret}
    in_force = {row.variable: row.shown for row in listed(load(shop, tmp_path))}
    names = {f"CONSUMERS_{name.upper()}": field for name, field in ConsumerSettings.model_fields.items()}
    in_force |= {name: _plain(field.default) for name, field in names.items()}
    told = [
        pair
        for cells in rows(re.compile(r"(PROCESSOR|CONSUMERS)_.*"))
        for pair in zip(_span.findall(cells[0]), re.findall(r"`[^`]+`|\b\d+\b", cells[1]), strict=False)
    ]

    wrong = {name: default for name, default in told if in_force[name] != default.strip("`")}
    assert wrong == {}
    assert len(told) > 10


def test_log_names_stand_in_the_catalogue() -> None:
    """A log name in the runbook is one that a line can bear."""
    things = {name.partition(".")[0] for name in LOG_EVENTS}
    named = {span for span in spans(README) if re.fullmatch(r"[a-z]+\.[a-z_]+", span) and span.split(".")[0] in things}

    assert named - set(LOG_EVENTS) == set()
    assert "publisher.exchange_missing" in named


def test_table_of_reasons_is_complete() -> None:
    """Every reason of a refusal is told with its status, and no other."""
    told = {cells[0].strip("`"): int(cells[1]) for cells in rows(re.compile(r"[a-z_]+")) if cells[1].isdigit()}

    assert told == {reason: status.value for reason, status in STATUS.items()}


def test_table_of_events_is_complete() -> None:
    """Every event type is told once, and no other."""
    told = [cells[0].strip("`") for cells in rows(re.compile(r"xumm\.(sign|resolve)\.\w+"))]

    assert sorted(told) == sorted(MODELS)


def test_names_on_the_broker_exist() -> None:
    """The table of queues names what `processor topology apply` makes."""
    queues = {queue.name for queue in desired().queues}
    told = {
        span for cells in rows(re.compile(r"xumm\.(log|unrouted)|.*app-state.*")) for span in _span.findall(cells[0])
    }

    assert told - queues == set()
    assert {"xumm.log", "xumm.unrouted", "app-state"} <= told


def test_settings_of_the_example_are_valid(tmp_path: Path) -> None:
    """The TOML that is shown loads."""
    shown = block("toml", "[queues]")
    (tmp_path / "processor.toml").write_text(shown)

    assert {name: list(keys) for name, keys in load({}, tmp_path).settings.queues.items()} == tomllib.loads(shown)[
        "queues"
    ]


def test_rotation_of_secrets_is_valid(tmp_path: Path) -> None:
    """The variable that is shown is taken, once real secrets stand in it."""
    script = block("sh", "PREVIOUS_SECRETS").replace("new-secret", "11111111-2222-4333-8444-555555555555")
    pairs = dict(
        line.split("=", 1) for line in shlex.split(script.replace("old-secret", "6" * 8 + "-7777" * 3 + "-" + "8" * 12))
    )
    key = {"PROCESSOR_APPLICATIONS__SHOP__API_KEY": "9" * 8 + "-aaaa" * 3 + "-" + "b" * 12}

    shop = load({**pairs, **key}, tmp_path).settings.applications["shop"]

    assert [old.not_after.year for old in shop.previous_secrets] == [2030]


DUE = {
    "id": "order-42",
    "drops": "10000000",
    "destination": "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe",
    "destination_tag": 42,
}
SQUATTED: list[dict[str, Any]] = [
    {"asked_by": "user:rMLX7yduL1cM3mPMbdfuUnyRFYbKtENgnb"},
    {"asked_by": None},
    {"delivered_amount": "1"},
    {"delivered_amount": {"currency": "USD", "issuer": "rMLX7yduL1cM3mPMbdfuUnyRFYbKtENgnb", "value": "10000000"}},
    {"delivered_amount": None},
    {"destination": "rMLX7yduL1cM3mPMbdfuUnyRFYbKtENgnb"},
    {"destination_tag": 43},
    {"destination_tag": None},
    {"custom_meta": None},
]


@pytest.mark.parametrize("change", [{}, *SQUATTED], ids=str)
async def test_consumer_of_the_example_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """The file runs as it stands; the event that is shown pays the order, and one that differs in anything does not."""
    (tmp_path / "orders.py").write_text(block("python", "class Orders"))
    monkeypatch.syspath_prepend(tmp_path)
    shown = json.loads(block("json", "specversion"))
    event = parse_event(json.dumps(shown | {"data": shown["data"] | change}))
    assert isinstance(event, ResolveValidated)
    settings = ConsumerSettings(database_url=f"sqlite:///{tmp_path}/{{consumer}}.db")

    found = find("orders:Orders")
    orders = sys.modules["orders"].orders
    monkeypatch.delitem(sys.modules, "orders")
    async with opened_consumer(found, settings) as (consumer, _):
        handler = consumer.find_handler(event)
        assert handler is not None
        database = consumer.resources.database
        await database.write(lambda transaction: transaction.execute(orders.insert().values(DUE)))
        await database.write(lambda transaction: handler(event, transaction))
        paid = await database.read(lambda db: db.execute(text("select id, paid_by from orders")).all())

    paid_by = None if change else event.data.txid
    assert (found.name, found.consumer.queue, paid) == ("orders", "orders", [("order-42", paid_by)])


def test_other_programs_compile() -> None:
    """Python that is shown is Python, and imports what there is."""
    for program in blocks(README, "python"):
        lines = [line for line in program.splitlines() if line.startswith(("import ", "from "))]
        exec(compile("\n".join(lines), "README.md", "exec"), {})  # noqa: S102  our own page
        compile(program, "README.md", "exec")


async def test_webhook_by_hand_is_accepted(tmp_path: Path) -> None:
    """The shell block does what it says against `make run`, as often as one likes."""
    port = free_port()
    script = block("sh", "openssl dgst -sha1").replace(f":{SERVICE_PORT}/", f":{port}/")

    async with opened(tmp_path, asyncio.Event(), port=port, sandbox_port=free_port()):
        answers = [await _bash(script) for _ in range(2)]

    assert answers == ['{"result":"accepted"}\n'] * 2


async def test_golden_signature_is_valid() -> None:
    """The block about `processor verify` prints what stands below it."""
    ours = 'processor() { "$PYTHON" -m processor "$@"; }\n'

    assert await _bash(ours + block("sh", "XUMM_API_SECRET")) == "valid\n"


def _plain(default: object) -> str:
    return default.get_secret_value() if isinstance(default, SecretStr) else str(default)


async def _bash(script: str) -> str:
    """What a script prints, run in the repository's root. It must succeed."""
    environment = {**os.environ, "PYTHON": sys.executable}
    process = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


def test_envelope_is_one_of_ours() -> None:
    """The event that is shown is complete, and has nothing that its model lacks."""
    shown = json.loads(block("json", "specversion"))
    read = parse_event(json.dumps(shown)).model_dump(mode="json", exclude_none=True)

    assert set(shown) == set(read)
    assert set(shown["data"]) == set(read["data"])


async def test_native_app_signs_in(tmp_path: Path) -> None:
    """The blocks of the native app's backend print what stands below them, one after another against `make run`."""
    port = free_port()
    first, second, other = (
        block("sh", words).replace(f":{SERVICE_PORT}", f":{port}")
        for words in ("/v1/sign-in --header", "/v1/sign-requests --header", "/v1/oauth2/start?app=demo")
    )

    async with opened(tmp_path, asyncio.Event(), port=port, sandbox_port=free_port()):
        printed = await _bash(first + second)
        redeemed = json.loads(await _bash(other))

    signed, who, delivery, paid = printed.replace("}push", "}\npush").splitlines()
    account = json.loads(who)["account"]
    assert (signed, delivery, paid) == ("event: xumm.resolve.signed", "push", "event: xumm.resolve.validated")
    assert (redeemed["app"], redeemed["account"]) == ("demo", account)
    assert all(line in README.read_text() for line in (f'"account":"{account}"', signed, f"{delivery}\n{paid}\n"))


def test_settings_of_the_native_app_are_valid(tmp_path: Path) -> None:
    """The variables that are shown are taken together."""
    key = {"PROCESSOR_APPLICATIONS__SHOP__API_KEY": "9" * 8 + "-aaaa" * 3 + "-" + "b" * 12}
    secret = {"PROCESSOR_APPLICATIONS__SHOP__API_SECRET": "6" * 8 + "-7777" * 3 + "-" + "8" * 12}
    shown = block("sh", "PROCESSOR_TOKEN_KEYS=") + block("sh", "PROCESSOR_PUBLIC_URL=")
    script = shown.replace("$(openssl rand -base64 32)", "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=")
    pairs = dict(word.split("=", 1) for word in shlex.split(script, comments=True) if word != "export")

    settings = load({**pairs, **key, **secret}, tmp_path).settings
    shop = settings.applications["shop"]

    assert (len(settings.token_keys), len(shop.return_urls), len(shop.deep_links)) == (1, 2, 1)
