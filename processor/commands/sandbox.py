"""``sandbox``: a Xumm for development, and the hands on one that runs."""

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.commands.trigger import target
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say, say_json

if TYPE_CHECKING:
    from processor.sandbox.faults import Faults

HERE: Final = "http://127.0.0.1:8600"
TIMEOUT_SECONDS: Final = 10
SIGN_IN: Final = '{"txjson": {"TransactionType": "SignIn"}}'
_FACTS: Final = ("app_opened", "resolved", "signed", "cancelled", "expired")

Uuid = Annotated[str, typer.Argument(help="The payload.")]
Url = Annotated[str, typer.Option(help="Where the sandbox runs.")]

commands = typer.Typer(
    invoke_without_command=True,
    help="Run a Xumm for development; or, with a command, be user and Xumm in one that runs.",
)


@commands.callback()
def run(  # noqa: PLR0913  a command's options
    context: typer.Context,
    *,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for a free one.")] = 8600,
    app: Annotated[str, typer.Option(help="Application to stand in for; otherwise credentials are made up.")] = "",
    webhook: Annotated[str, typer.Option(help="Where webhooks go; otherwise the service as configured.")] = "",
    factor: Annotated[float, typer.Option(help="Shortens the waits between attempts: 0.01 is 100 times faster.")] = 1.0,
    fault: Annotated[list[str] | None, typer.Option(help="What goes wrong, as for `fault`; repeatable.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A name to answer to besides localhost; repeatable.")] = None,
) -> None:
    """Run a Xumm for development, until Ctrl-C.

    API, phone, status sockets, webhook sender and ledgers are on one port. With a command, do something in a sandbox
    that runs already.

    Try:

      processor sandbox --app shop

      PROCESSOR_XUMM_URL=http://127.0.0.1:8600 processor run

      processor sandbox --app shop --fault webhook=lost
    """
    if context.invoked_subcommand is not None:
        return
    from processor.sandbox import __main__ as program

    faults = _faults(fault or [])
    owner = target(app, webhook) if app else None
    credentials = {"application": owner.application, "secret": owner.secret} if owner else {}
    webhook = owner.url if owner else webhook
    program.run(port=port, webhook=webhook, factor=factor, faults=faults, hosts=host or (), **credentials)


@commands.command()
def create(
    request: Annotated[str, typer.Argument(help="The body of Xumm's `POST payload`, in JSON.")] = SIGN_IN,
    *,
    url: Url = HERE,
    as_json: AsJson = False,
) -> None:
    """Ask for a signature, as an application does: a SignIn unless told otherwise.

    Prints the payload's UUID, and the page on which a person can sign.

    Try:

      processor sandbox create

      processor sandbox create '{"txjson": {"TransactionType": "AccountSet"}, "options": {"expire": 1}}'
    """
    created = _ask(url, "POST", "/payloads", _parsed(request))
    if as_json:
        say_json(created)
    else:
        say(created["uuid"])
        say(created["next"]["always"])


@commands.command("open")
def open_(uuid: Uuid, *, url: Url = HERE, as_json: AsJson = False) -> None:
    """Have the payload on screen, as its user. It can be signed after its expiry from then on."""
    _act(url, uuid, "open", as_json=as_json)


@commands.command()
def sign(  # noqa: PLR0913  a command's options
    uuid: Uuid,
    *,
    account: Annotated[str, typer.Option(help="Who signs; otherwise whom the request names, or the usual user.")] = "",
    result: Annotated[str, typer.Option(help="What the node answers, such as tecPATH_DRY.")] = "tesSUCCESS",
    delivered: Annotated[str, typer.Option(help="Drops that arrive, less than asked for: a partial payment.")] = "",
    network: Annotated[str, typer.Option(help="The network that the wallet is on, such as TESTNET.")] = "",
    url: Url = HERE,
    as_json: AsJson = False,
) -> None:
    """Sign the payload, as its user; opens it first if need be.

    Try:

      processor sandbox sign UUID --result tecUNFUNDED_PAYMENT

      processor sandbox sign UUID --network TESTNET
    """
    how = {"account": account, "result": result, "delivered": delivered, "network": network}
    _act(url, uuid, "sign", {name: value for name, value in how.items() if value}, as_json=as_json)


@commands.command()
def reject(uuid: Uuid, *, url: Url = HERE, as_json: AsJson = False) -> None:
    """Decline the payload, as its user; opens it first if need be."""
    _act(url, uuid, "reject", as_json=as_json)


@commands.command()
def expire(uuid: Uuid, *, url: Url = HERE, as_json: AsJson = False) -> None:
    """Let the payload's time be over now."""
    _act(url, uuid, "expire", as_json=as_json)


@commands.command()
def cancel(uuid: Uuid, *, url: Url = HERE, as_json: AsJson = False) -> None:
    """Withdraw the payload, as its application. Exits with 1 if it cannot be any more, and says why."""
    cancelled = _ask(url, "DELETE", f"/payloads/{uuid}")
    if as_json:
        say_json(cancelled)
    else:
        say(f"{uuid} {cancelled['result']['reason']}")
    answer(yes=cancelled["result"]["cancelled"])


@commands.command()
def fault(
    switches: Annotated[list[str] | None, typer.Argument(help="SWITCH=VALUE; see below.")] = None,
    *,
    of: Annotated[str, typer.Option(help="A payload's UUID or an API key, for that one only.")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="Let nothing be wrong any more.")] = False,
    url: Url = HERE,
    as_json: AsJson = False,
) -> None:
    """Let something go wrong. Without a switch, show what does.

    The switches given are all that is wrong from then on, for all or for whom `--of` names:

      webhook=lost|doubled|late|reordered   late_by=SECONDS

      socket=silent|flapping|lying|lying_rejected|lying_expired|lying_txid|garbage|huge|refused

      api=limited|failing|hanging|garbage   dispatch_late_by=SECONDS   cancel=racing

      network=TESTNET|DEVNET|XAHAU|...      ledger=tec|lost|unsubmitted|unavailable|down

    Try:

      processor sandbox fault webhook=late late_by=60 api=limited

      processor sandbox fault ledger=tec --of UUID

      processor sandbox fault --clear
    """
    if clear and switches:
        raise CommandError("give switches or --clear", ExitCode.USAGE)
    method = "DELETE" if clear else "PUT" if switches else "GET"
    path = f"/faults/{of}" if of and method != "GET" else "/faults"
    told = _ask(url, method, path, _faults(switches).switches if switches else None)
    if as_json:
        say_json(told)
    else:
        lines = [f"{scope}: {' '.join(f'{name}={value}' for name, value in on.items())}" for scope, on in told.items()]
        say("\n".join(lines) or "nothing is wrong")


def _act(url: str, uuid: str, action: str, how: dict[str, Any] | None = None, *, as_json: bool) -> None:
    told = _ask(url, "POST", f"/sign/{uuid}/{action}", how or {})
    if as_json:
        say_json(told)
        return
    facts = [name for name in _FACTS if told["meta"][name]]
    say(" ".join([uuid, *facts, *filter(None, [told["response"]["txid"]])]))


def _faults(switches: list[str]) -> "Faults":
    from pydantic import ValidationError

    from processor.sandbox.faults import parse_switches

    try:
        return parse_switches(switches)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise CommandError(
            f"{wrong['loc'][0]}: {wrong['msg']}; see `processor sandbox fault --help`", ExitCode.USAGE
        ) from None
    except ValueError as error:
        raise CommandError(f"{error}; see `processor sandbox fault --help`", ExitCode.USAGE) from None


def _parsed(request: str) -> Any:
    try:
        return json.loads(request)
    except ValueError:
        raise CommandError("the request is not JSON, such as " + SIGN_IN, ExitCode.USAGE) from None


def _ask(url: str, method: str, path: str, body: Any = None) -> Any:
    """What the sandbox answers. Raises `CommandError`."""
    import aiohttp

    async def ask() -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url.rstrip("/") + path, json=body) as response,
        ):
            return response.status, await response.text()

    try:
        status, text = asyncio.run(ask())
        if status == HTTPStatus.OK:
            return json.loads(text)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        said = f"no sandbox answers at {url} ({type(error).__name__}); start one with `processor sandbox`"
        raise CommandError(said) from None
    raise CommandError(text, ExitCode.USAGE if status == HTTPStatus.BAD_REQUEST else ExitCode.NO)
