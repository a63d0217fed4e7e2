import json
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from processor.core.delivery.signature import key_of, sign
from processor.core.payload.entry import DeliveryRecord, Quarantined, Refused
from processor.dev.composition import API_KEY, API_SECRET
from processor.observability.terminal import EXIT_CODES, CommandError, ExitCode, run_command
from processor.settings.service import Settings
from processor.store.store import Store
from tests.commands.shell import Shell

KEY = "aaaaaaaa-90ab-4cde-8f01-234567890abc"
SECRET = "12345678-90ab-4cde-8f01-234567890abc"
PAYLOAD = "3c1f0e9a-7b6d-4e5c-9a8b-1d2e3f405162"
BODY = '{"custom_meta":{"instruction":"Hey ❤️ ..."}}'.encode()
SIGNATURE = "bf231782174546d1a6174d54164f02ac45da687d"
NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
SHOP = {"PROCESSOR_APPLICATIONS__SHOP__API_KEY": KEY, "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": SECRET}
SIGNED = ["--timestamp", "1700000000", "--signature", SIGNATURE]


def test_verify_says_valid(shell: Shell) -> None:
    """The golden vector is valid, with the secret from the environment, a file or the settings."""
    (shell.home / "secret").write_text(f"{SECRET}\n")
    shell.set(**SHOP)
    now = ["--now", "2023-11-14T22:13:20Z"]

    assert shell("verify", *SIGNED, *now, "--secret-file", "secret", stdin=BODY) == (0, "valid\n", "")
    assert shell("verify", *SIGNED, *now, "--app", "shop", stdin=BODY) == (0, "valid\n", "")
    shell.set(XUMM_API_SECRET=SECRET)
    assert shell("verify", *SIGNED, "--now", "1700000000", stdin=BODY) == (0, "valid\n", "")


def test_verify_says_why_not(shell: Shell) -> None:
    """A mistake is named with its remedy, in JSON too, and the exit code is 1."""
    shell.set(XUMM_API_SECRET=SECRET)

    code, out, _ = shell("verify", *SIGNED, "--now", "1700000000", stdin=BODY + b"\n")
    assert (code, out.partition(":")[0]) == (1, "body_newline")
    code, out, _ = shell("verify", *SIGNED, "--json", stdin=BODY)
    assert (code, json.loads(out)["findings"]) == (1, ["timestamp_stale"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["verify", *SIGNED], "no secret"),
        (["verify", *SIGNED, "--secret", "x", "--app", "y"], "give one of"),
        (["verify", *SIGNED, "--app", "nobody"], "no application is called 'nobody'"),
        (["verify", *SIGNED, "--secret-file", "absent"], "FileNotFoundError"),
        (["verify", *SIGNED, "--secret", "x", "--now", "soon"], "--now: must be"),
        (["run"], "no application is configured"),
        (["trigger", "signed", "--app", "nobody"], "--app: name one"),
        (["topology", "plan"], "amqp_url is not set"),
        (["schema", "--check", "--write"], "give one of"),
        (["deliveries", "--limit", "0"], "--limit"),
        (["nonsense"], "nonsense"),
    ],
)
def test_says_how_it_is_used(shell: Shell, arguments: list[str], complaint: str) -> None:
    """A wrong command line or setting exits with 2 and says so on stderr, without a traceback."""
    code, out, err = shell(*arguments)

    assert (code, out, complaint in err, "Traceback" in err) == (2, "", True, False)


def test_names_wrong_settings_on_lines_of_their_own(shell: Shell) -> None:
    """Each problem is one line on stderr, for every command that reads settings, and no secret is in them."""
    shell.set(PROCESSOR_HTTP_PORT="x", PROCESSOR_APPLICATIONS__SHOP__API_SECRET="hunter2")

    for command in ("run", "config", "deliveries"):
        code, out, err = shell(command)
        assert (code, out, len(err.splitlines()), "hunter2" in err) == (2, "", 3, False)


def test_config_masks_secrets_and_names_sources(shell: Shell) -> None:
    """Every setting is shown with where it comes from; of a URL only the password is masked."""
    (shell.home / "processor.toml").write_text("http_port = 9000\n")
    (shell.home / ".env").write_text("PROCESSOR_AMQP_URL=amqp://u:hunter2@h/%2F,amqp://u:hunter2@i\n")
    shell.set(**SHOP, PROCESSOR_DATABASE_URL="postgresql://u:hunter2@h/d?password=hunter2")

    code, out, _ = shell("config", "--json")
    rows = {row["setting"]: (row["value"], row["from"]) for row in json.loads(out)}

    assert (code, SECRET in out, "hunter2" in out) == (0, False, False)
    assert {
        "http_port": (9000, "processor.toml"),
        "amqp_url": ("amqp://u:***@h/%2F,amqp://u:***@i", ".env"),
        "database_url": ("postgresql://u:***@h/d?***", "environment"),
        "applications.shop.api_key": (KEY, "environment"),
        "applications.shop.api_secret": ("***", "environment"),
        "applications.shop.grace": ("1d", "default"),
        "log_level": ("info", "default"),
    }.items() <= rows.items()
    assert shell("config")[0] == 0


def test_config_example_is_toml_that_names_every_setting(shell: Shell) -> None:
    """The template, its comment signs removed, is a valid file with the defaults, once an application is filled in."""
    code, out, _ = shell("config", "--example")
    lines = [line.removeprefix("# ") for line in out.splitlines()]
    text = "\n".join(line for line in lines if line.startswith("[") or (" = " in line and not line.startswith("#")))
    values = tomllib.loads(
        text.replace('api_key = ""', f'api_key = "{KEY}"').replace('secret = ""', f'secret = "{SECRET}"')
    )

    assert (code, set(values)) == (0, set(Settings.model_fields))
    assert Settings(**values).model_copy(update={"applications": {}}) == Settings()


def test_schema_prints_and_checks(shell: Shell) -> None:
    """The AsyncAPI document comes out as JSON, and the documents agree with the models."""
    code, out, _ = shell("schema")

    assert (code, json.loads(out)["asyncapi"]) == (0, "3.0.0")
    assert shell("schema", "--check")[0] == 0


def record(verdict: str, **changes: Any) -> DeliveryRecord:
    fields = {"received_at": NOW, "app": "shop", "payload": PAYLOAD, "attempt": 1, "verdict": verdict}
    return DeliveryRecord(**{**fields, "latency_us": 2000, **changes})


def fill_store(home: Path) -> str:
    url = f"sqlite:///{home / 'processor.db'}"
    body = json.dumps({"userToken": {"user_token": SECRET}, "meta": "\x1b[2Jodd"}).encode()
    with Store.open(url) as store:
        store.record(
            [
                Refused(delivery=record("signature_invalid", app="\x1b[2Jx", payload=None)),
                Quarantined(delivery=record("quarantined"), body=body, reason="payloadResponse: missing"),
            ],
            NOW,
        )
    return url


def test_deliveries_lists_and_filters(shell: Shell) -> None:
    """The delivery log is shown as a table or JSON; nothing found is a no."""
    shell.set(PROCESSOR_DATABASE_URL=fill_store(shell.home))

    code, out, _ = shell("deliveries")
    assert (code, len(out.splitlines()), "\x1b" in out) == (0, 3, False)
    code, out, _ = shell("deliveries", "--verdict", "quarantined", "--payload", PAYLOAD.upper(), "--json")
    assert (code, [row["latency_ms"] for row in json.loads(out)]) == (0, [2.0])
    assert shell("deliveries", "--app", "nobody", "--json") == (1, "[]\n", "")


def test_quarantine_lists_and_shows(shell: Shell) -> None:
    """A body is shown with its token masked and without control characters, or raw when asked for."""
    shell.set(PROCESSOR_DATABASE_URL=fill_store(shell.home))

    rows = json.loads(shell("quarantine", "list", "--json")[1])
    assert [(row["number"], row["reason"]) for row in rows] == [(1, "payloadResponse: missing")]
    code, out, _ = shell("quarantine", "show", "1")
    assert (code, SECRET in out, "[redacted]" in out) == (0, False, True)
    assert shell("quarantine", "show", "2")[0] == 1


def test_quarantine_replays_nothing_that_still_makes_no_sense(shell: Shell) -> None:
    """A body that the service cannot read is not sent again."""
    shell.set(PROCESSOR_DATABASE_URL=fill_store(shell.home), **SHOP)

    code, out, err = shell("quarantine", "replay", "1")

    assert (code, out, "still cannot be parsed" in err) == (1, "", True)


def test_trigger_speaks_for_the_demo_of_dev(shell: Shell) -> None:
    """Without settings, ``trigger`` has the credentials that ``dev`` runs with."""
    code, out, err = shell("trigger", "signed", "--url", "http://127.0.0.1:1/webhooks/demo")

    assert (code, API_KEY in out, API_SECRET in out + err) == (3, True, False)


def test_says_when_something_is_out_of_reach(shell: Shell) -> None:
    """No database, no service: exit code 3."""
    shell.set(**SHOP, PROCESSOR_HTTP_PORT="1")

    assert shell("deliveries")[0] == 3
    code, _, err = shell("trigger", "signed")
    assert (code, "is the service running?" in err) == (3, True)


def start(*arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PROCESSOR_", "PYTHON"))}
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-m", "processor", *arguments],
        env=environ | {"PYTHONPATH": root},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.mark.parametrize("command", ["schema", "config", "--version"])
def test_survives_a_reader_that_leaves(tmp_path: Path, command: str) -> None:
    """``processor schema | head -1`` says nothing on stderr, be the answer long or short."""
    read, write = os.pipe()
    os.close(read)

    process = start(command, stdout=write, cwd=tmp_path)
    os.close(write)

    assert process.communicate()[1] == b""


def test_help_is_quick(tmp_path: Path) -> None:
    """Help loads none of the heavy libraries."""
    heavy = ("aiohttp", "sqlalchemy", "pydantic", "structlog", "schemas")
    code = (
        "import sys; sys.argv = ['processor', '--help']; import processor.__main__ as program\n"
        f"try: program.main()\nfinally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert (found.returncode, found.stderr.strip()) == (0, b"[]")


def test_golden_vector_is_what_the_service_signs() -> None:
    """The vector used here is the published one."""
    assert sign(key_of(SECRET), "1700000000", BODY) == SIGNATURE


def test_errors_in_a_group_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """The worst of their exit codes counts; an error that no code is given for is not caught."""
    app = typer.Typer(name="example", pretty_exceptions_enable=False)
    wrong = ExceptionGroup("tasks", [CommandError("one", ExitCode.NO), ExceptionGroup("more", [OSError("two\x1b")])])

    @app.command()
    def fail(*, bug: bool = False) -> None:
        raise ZeroDivisionError if bug else wrong

    with pytest.raises(SystemExit) as ended:
        run_command(app, lambda: {OSError: ExitCode.FAILED}, [])
    with pytest.raises(ZeroDivisionError):
        run_command(app, lambda: {OSError: ExitCode.FAILED}, ["--bug"])

    assert (ended.value.code, capsys.readouterr().err) == (3, "example: one\nexample: two\\x1b\n")


def test_every_exit_code_has_a_meaning() -> None:
    """The table that the documentation is made of leaves none out."""
    assert list(EXIT_CODES) == list(ExitCode)
