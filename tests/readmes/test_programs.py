"""The programs, settings and shell blocks of the pages run as they stand, and print what stands below them."""

import asyncio
import json
import os
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text

from consumers.runtime.composition import open_consumer as opened_consumer
from consumers.runtime.discovery import NamedConsumer, find
from consumers.runtime.settings import ConsumerSettings
from processor.dev.composition import SERVICE_PORT, open_environment
from processor.settings.loading import load
from processor.settings.service import Settings
from schemas.events import ResolveValidated, parse_event
from tests.readmes.page import PAGES, ROOT, block, blocks, name_of
from tests.servers.child import free_port

API: Final = "processor/api/README.md"
CONSUMERS: Final = "consumers/README.md"
DEPLOY: Final = "deploy/README.md"
SANDBOX: Final = "processor/sandbox/README.md"
SCHEMAS: Final = "schemas/README.md"
KEY: Final = "99999999-aaaa-aaaa-aaaa-bbbbbbbbbbbb"
SECRET: Final = "66666666-7777-7777-7777-888888888888"

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


def settings_of(folder: Path, *scripts: str, **replaced: str) -> Settings:
    """The settings that the variables of shell blocks make, with the key and secret of an application beside them."""
    script = "".join(scripts)
    for old, new in replaced.items():
        script = script.replace(old.replace("_", "-"), new)
    pairs = dict(word.split("=", 1) for word in shlex.split(script, comments=True) if "=" in word)
    shop = {"PROCESSOR_APPLICATIONS__SHOP__API_KEY": KEY, "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": SECRET}
    return load(Settings, shop | pairs, folder).settings


def example() -> dict[str, Any]:
    """The event that is shown."""
    event: dict[str, Any] = json.loads(block(SCHEMAS, "json", "specversion"))
    return event


def example_with(change: dict[str, Any]) -> ResolveValidated:
    """The event that is shown, with other data."""
    shown = example()
    event = parse_event(json.dumps(shown | {"data": shown["data"] | change}))
    assert isinstance(event, ResolveValidated)
    return event


def found_in(folder: Path, name: str, program: str, monkeypatch: pytest.MonkeyPatch) -> NamedConsumer:
    """The consumer of a program that is saved as the page says."""
    module = name.partition(":")[0]
    (folder / f"{module}.py").write_text(program)
    monkeypatch.syspath_prepend(folder)
    found = find(name)
    monkeypatch.delitem(sys.modules, module)
    return found


async def bash(script: str) -> str:
    """The output of a script that is run in the repository's root. It must succeed."""
    environment = {**os.environ, "PYTHON": sys.executable}
    process = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


def test_example_event_is_whole() -> None:
    """The event that is shown is complete, and has nothing that its model lacks."""
    shown = example()
    read = parse_event(json.dumps(shown)).model_dump(mode="json", exclude_none=True)

    assert set(shown) == set(read)
    assert set(shown["data"]) == set(read["data"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_programs_compile(page: Path) -> None:
    """Python that is shown is Python, and imports modules and names that exist."""
    for program in blocks(page, "python"):
        lines = [line for line in program.splitlines() if line.startswith(("import ", "from "))]
        exec(compile("\n".join(lines), page.name, "exec"), {})  # noqa: S102  our own page
        compile(program, page.name, "exec")


@pytest.mark.parametrize("page", ["README.md", CONSUMERS])
async def test_first_consumer_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    """The file of the first screen runs as it stands, and prints the payment that is shown."""
    event = example_with({})
    settings = ConsumerSettings(database_url=f"sqlite:///{tmp_path}/{{consumer}}.db")

    found = found_in(tmp_path, "payments:Payments", block(page, "python", "class Payments"), monkeypatch)
    async with opened_consumer(found, settings) as (consumer, _):
        handler = consumer.find_handler(event)
        assert handler is not None
        await handler(event, None)

    assert (found.name, capsys.readouterr().out.split()[1:]) == ("payments", ["10000000", event.data.txid])


def test_first_consumer_has_a_queue(tmp_path: Path) -> None:
    """The variable of the first screen names the queue of the file beside it, with the same bindings."""
    settings = settings_of(tmp_path, block(CONSUMERS, "sh", "PROCESSOR_QUEUES="))

    assert settings.queues["payments"] == ("*.resolve.validated",)
    assert set(settings.queues) == {"payments", "app-state"}


@pytest.mark.parametrize("change", [{}, *SQUATTED], ids=str)
async def test_booking_consumer_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    """The file runs as it stands; the event that is shown pays the order, and one that differs in anything does not."""
    event = example_with(change)
    settings = ConsumerSettings(database_url=f"sqlite:///{tmp_path}/{{consumer}}.db")

    found = found_in(tmp_path, "orders:Orders", block(CONSUMERS, "python", "class Orders"), monkeypatch)
    assert found.consumer.tables is not None
    orders = found.consumer.tables.tables["orders"]
    async with opened_consumer(found, settings) as (consumer, _):
        handler = consumer.find_handler(event)
        assert handler is not None
        database = consumer.resources.database
        await database.write(lambda transaction: transaction.execute(orders.insert().values(DUE)))
        await database.write(lambda transaction: handler(event, transaction))
        paid = await database.read(lambda db: db.execute(text("select id, paid_by from orders")).all())

    paid_by = None if change else event.data.txid
    assert (found.name, found.consumer.queue, paid) == ("orders", "orders", [("order-42", paid_by)])


def test_queues_of_the_example_are_valid(tmp_path: Path) -> None:
    """The TOML that is shown loads."""
    shown = block(CONSUMERS, "toml", "[queues]")
    (tmp_path / "processor.toml").write_text(shown)

    queues = {name: list(keys) for name, keys in load(Settings, {}, tmp_path).settings.queues.items()}
    assert queues == tomllib.loads(shown)["queues"]


def test_rotation_of_secrets_is_valid(tmp_path: Path) -> None:
    """The variable that is shown is taken, once real secrets stand in it."""
    script = block(DEPLOY, "sh", "PREVIOUS_SECRETS")

    settings = settings_of(tmp_path, script, new_secret="11111111-2222-4333-8444-555555555555", old_secret=SECRET)

    assert [old.not_after.year for old in settings.applications["shop"].previous_secrets] == [2030]


def test_settings_of_the_native_app_are_valid(tmp_path: Path) -> None:
    """The variables that are shown are taken together."""
    first, second = block(API, "sh", "PROCESSOR_TOKEN_KEYS="), block(API, "sh", "PROCESSOR_PUBLIC_URL=")
    sealing = first.replace("$(openssl rand -base64 32)", "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=")

    settings = settings_of(tmp_path, sealing, second)

    shop = settings.applications["shop"]
    assert (len(settings.token_keys), len(shop.return_urls), len(shop.deep_links)) == (1, 2, 1)


async def test_webhook_by_hand_is_accepted(tmp_path: Path) -> None:
    """The shell block does what it says against ``make run``, as often as one likes."""
    port = free_port()
    script = block(SANDBOX, "sh", "openssl dgst -sha1").replace(f":{SERVICE_PORT}/", f":{port}/")

    async with open_environment(tmp_path, asyncio.Event(), port=port, sandbox_port=free_port()):
        answers = [await bash(script) for _ in range(2)]

    assert answers == ['{"result":"accepted"}\n'] * 2


async def test_golden_signature_is_valid() -> None:
    """The block about ``processor verify`` prints what stands below it."""
    ours = 'processor() { "$PYTHON" -m processor "$@"; }\n'

    assert await bash(ours + block(DEPLOY, "sh", "XUMM_API_SECRET")) == "valid\n"


async def test_native_app_signs_in(tmp_path: Path) -> None:
    """The blocks of the native app's backend print what stands below them, one after another against ``make run``."""
    port = free_port()
    first, second, other = (
        block(API, "sh", words).replace(f":{SERVICE_PORT}", f":{port}")
        for words in ("/v1/sign-in --header", "/v1/sign-requests --header", "/v1/oauth2/start?app=demo")
    )

    async with open_environment(tmp_path, asyncio.Event(), port=port, sandbox_port=free_port()):
        printed = await bash(first + second)
        redeemed = json.loads(await bash(other))

    signed, who, delivery, paid = printed.replace("}push", "}\npush").splitlines()
    account = json.loads(who)["account"]
    page = (ROOT / API).read_text()
    assert (signed, delivery, paid) == ("event: xumm.resolve.signed", "push", "event: xumm.resolve.validated")
    assert (redeemed["app"], redeemed["account"]) == ("demo", account)
    assert all(line in page for line in (f'"account":"{account}"', signed, f"{delivery}\n{paid}\n"))
