"""The example of a native app: its types hold, and its calls work against the service with the sandbox as Xumm."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processor.core.sign_request.return_url import fault_of
from processor.sandbox.payload_json import _fill
from tests.api.stand import RETURN, Stand, standing
from tests.bench.subjects import ROOT, installing, node_obstacle
from tests.native_app.contract import APP, CONTRACT, contract
from tests.sandbox.world import ALICE

HERE = Path(__file__).parent
PATIENCE = 60
WRONG = 'import { Client } from "./client";\nexport const wrong: Promise<string> = new Client("", "").signIn();\n'
FOR_NODE = ("--noEmit", "false", "--module", "commonjs", "--verbatimModuleSyntax", "false", "--outDir")


def test_contract_is_that_of_the_service() -> None:
    """The types of the app are made of the interface's own description."""
    assert contract() == CONTRACT.read_text(), "run: python -m tests.native_app.contract"


def test_versions_are_those_that_are_checked() -> None:
    """What the app builds with, and what its types are checked against, is the same, and exact."""
    app = json.loads((APP / "package.json").read_text())
    named = app["dependencies"] | app["devDependencies"]
    checked = json.loads((HERE / "package.json").read_text())["devDependencies"]

    assert checked == {name: version for name, version in named.items() if name in checked}
    assert all(version[0].isdigit() for version in named.values())


def test_no_secret_has_a_place_in_the_app() -> None:
    """Neither the API secret nor a service key: an app can be decompiled."""
    text = "\n".join(path.read_text() for path in (*APP.glob("*.*"), *APP.glob("src/*")) if path.suffix != ".md")

    assert [word for word in ("api_secret", "API_SECRET=", "x-api-secret", "xwp_") if word in text] == []


def test_links_are_declared_where_systems_look() -> None:
    """The scheme, and the host whose links the service vouches for, are ones that the service takes."""
    app = json.loads((APP / "app.json").read_text())["expo"]
    (domain,) = app["ios"]["associatedDomains"]
    (intent,) = app["android"]["intentFilters"]
    (data,) = intent["data"]

    assert (domain, intent["autoVerify"]) == (f"applinks:{data['host']}", True)
    assert (fault_of(f"{app['scheme']}://signed"), fault_of(f"https://{data['host']}{data['pathPrefix']}")) == (
        None,
        None,
    )


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A copy of the app, with what the compiler needs."""
    obstacle = node_obstacle(installed())
    if obstacle is not None:
        pytest.skip(f"the native app is not checked: {obstacle}")
    copy = tmp_path / "app"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(installed() / "node_modules")
    return copy


def installed() -> Path:
    """Where the packages of the lock are, or will be: outside of ``tests``, whose modules are all ours."""
    lock = (HERE / "package-lock.json").read_bytes()
    place = ROOT / ".pytest_cache" / "d" / f"native-app-{hashlib.sha256(lock).hexdigest()[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    with installing(place):
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy2(HERE / name, place / name)
    return place


def compiled(app: Path, *options: str) -> tuple[int, str]:
    """The compiler's exit code, and what it says."""
    command = ["node", str(app / "node_modules" / "typescript" / "bin" / "tsc"), "-p", str(app), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=app)
    return done.returncode, done.stdout


@pytest.mark.timeout(300)  # the first use installs
def test_types_hold(app: Path) -> None:
    """The app checks as its own settings say, and a file that takes an answer for another does not."""
    assert compiled(app) == (0, "")
    (app / "src" / "wrong.ts").write_text(WRONG)
    code, said = compiled(app)

    assert (code != 0, "wrong.ts(2,14): error TS2322" in said) == (True, True)


@pytest.mark.timeout(300)
async def test_walk(app: Path, tmp_path: Path) -> None:
    """Sign in, ask, follow to the end over a broken connection and the background, and return by state."""
    modules = tmp_path / "modules"
    assert compiled(app, *FOR_NODE, str(modules)) == (0, "")
    async with standing(tmp_path) as stand:
        told = await walked(modules / "src", stand)
    steps = dict(told)
    connected = [value for name, value in told if name == "connected"]
    events = [value for name, value in told if name == "event"]
    first = next(place for place, (name, _) in enumerate(events, start=1) if name.startswith("xumm.resolve."))
    sign_in, payment = events[:first], events[first:]

    assert (steps["early"], steps["me"]["account"], steps["me"]["proven_by"]) == ("not_signed", ALICE, "session")
    assert sign_in[0] == ["xumm.sign.created", "0000000001"]
    assert sign_in[-1][0] == "xumm.resolve.signed"
    assert payment[-1][0] == "xumm.resolve.validated"
    assert [[f"{number:010}" for number in range(1, len(each) + 1)] for each in (sign_in, payment)] == [
        [sequence for _, sequence in each] for each in (sign_in, payment)
    ]
    assert connected[:2] == [None, connected[1]]
    assert int(connected[1]) > 0
    assert len(connected) == 4
    assert (steps["same"], steps["foreign"], steps["twice"]) == (True, None, None)
    assert (steps["returned"]["id"], steps["status"]["outcome"]) == (steps["status"]["id"], "validated")
    assert steps["status"]["account"] == ALICE
    assert (steps["cancelled"]["reason"], len(steps["listed"])) == ("OK", 2)
    assert (steps["refused"], steps["unreachable"]) == ("template_invalid", "Unreachable")


async def walked(modules: Path, stand: Stand) -> list[tuple[str, Any]]:
    """Each step that the app tells, while somebody signs whatever it opens in the wallet."""

    def link_of(url: str) -> str:
        uuid = url.rpartition("/")[2]
        stand.sandbox.sign(uuid, account=ALICE)
        payload = stand.sandbox.payloads.get(uuid)
        return _fill(payload.request.return_url_app, payload) or ""

    command = ("node", str(HERE / "walk.js"), str(modules), stand.processor.url, RETURN)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            return await _heard(process, link_of)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _heard(process: asyncio.subprocess.Process, link_of: Callable[[str], str]) -> list[tuple[str, Any]]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    steps = []
    async for line in process.stdout:
        step = json.loads(line)
        steps.append((step["told"], step["value"]))
        if step["told"] == "opened" and (link := link_of(step["value"])):
            process.stdin.write(f"{link}\n".encode())
    assert await process.wait() == 0, (await process.stderr.read()).decode()
    return steps
