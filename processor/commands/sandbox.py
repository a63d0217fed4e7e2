"""``sandbox``: run a Xumm for development, or act as user and Xumm in one that runs."""

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.commands.trigger import find_target
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say_result

if TYPE_CHECKING:
    from processor.sandbox.faults import Faults

DEFAULT_URL: Final = "http://127.0.0.1:8600"
TIMEOUT_SECONDS: Final = 10
SIGN_IN: Final = '{"txjson": {"TransactionType": "SignIn"}}'
_FACTS: Final = ("app_opened", "resolved", "signed", "cancelled", "expired")

PayloadUuid = Annotated[str, typer.Argument(help="The payload.")]
SandboxUrl = Annotated[str, typer.Option(help="The URL of the sandbox.")]

commands = typer.Typer(
    invoke_without_command=True,
    help="Run a Xumm for development; or, with a command, act as user and Xumm in one that runs.",
)


@commands.callback()
def run(  # noqa: PLR0913  a command's options
    context: typer.Context,
    *,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for a free one.")] = 8600,
    app: Annotated[str, typer.Option(help="Application to stand in for; otherwise credentials are made up.")] = "",
    webhook: Annotated[str, typer.Option(help="Where webhooks go; otherwise the service as configured.")] = "",
    factor: Annotated[float, typer.Option(help="Shortens the waits between attempts: 0.01 is 100 times faster.")] = 1.0,
    fault: Annotated[list[str] | None, typer.Option(help="A fault, as for `fault`; repeatable.")] = None,
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
    owner = find_target(app, webhook) if app else None
    credentials = {"application": owner.application, "secret": owner.secret} if owner else {}
    webhook = owner.url if owner else webhook
    program.run(port=port, webhook=webhook, factor=factor, faults=faults, hosts=host or (), **credentials)


@commands.command()
def create(
    request: Annotated[str, typer.Argument(help="The body of Xumm's `POST payload`, in JSON.")] = SIGN_IN,
    *,
    url: SandboxUrl = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Create a payload, as an application does; by default a SignIn.

    Prints the payload's UUID, and the page on which a person can sign.

    Try:

      processor sandbox create

      processor sandbox create '{"txjson": {"TransactionType": "AccountSet"}, "options": {"expire": 1}}'
    """
    created = _ask(url, "POST", "/payloads", _parse(request))
    say_result(created, f"{created['uuid']}\n{created['next']['always']}", as_json=as_json)


@commands.command("open")
def open_(uuid: PayloadUuid, *, url: SandboxUrl = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Open the payload, as its user. It can then be signed even after its expiry."""
    _act(url, uuid, "open", as_json=as_json)


@commands.command()
def sign(  # noqa: PLR0913  a command's options
    uuid: PayloadUuid,
    *,
    account: Annotated[str, typer.Option(help="Who signs; by default the request's account or the usual user.")] = "",
    result: Annotated[str, typer.Option(help="The result that the node gives, such as tecPATH_DRY.")] = "tesSUCCESS",
    delivered: Annotated[str, typer.Option(help="Drops that arrive, less than asked for: a partial payment.")] = "",
    network: Annotated[str, typer.Option(help="The network that the wallet is on, such as TESTNET.")] = "",
    url: SandboxUrl = DEFAULT_URL,
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
def reject(uuid: PayloadUuid, *, url: SandboxUrl = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Decline the payload, as its user; opens it first if need be."""
    _act(url, uuid, "reject", as_json=as_json)


@commands.command()
def expire(uuid: PayloadUuid, *, url: SandboxUrl = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Let the payload expire now."""
    _act(url, uuid, "expire", as_json=as_json)


@commands.command()
def cancel(uuid: PayloadUuid, *, url: SandboxUrl = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Cancel the payload, as its application. Exits with 1 and the reason if that is no longer possible."""
    cancelled = _ask(url, "DELETE", f"/payloads/{uuid}")
    say_result(cancelled, f"{uuid} {cancelled['result']['reason']}", as_json=as_json)
    answer(yes=cancelled["result"]["cancelled"])


@commands.command()
def fault(
    switches: Annotated[list[str] | None, typer.Argument(help="SWITCH=VALUE; see below.")] = None,
    *,
    of: Annotated[str, typer.Option(help="Only for this payload's UUID or API key.")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="Switch all faults off.")] = False,
    url: SandboxUrl = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Switch faults on. Without a switch, show those that are on.

    The given switches replace all others, for every payload or for the one of `--of`:

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
    answered = _ask(url, method, path, _faults(switches).switches if switches else None)
    lines = [f"{scope}: {' '.join(f'{name}={value}' for name, value in on.items())}" for scope, on in answered.items()]
    say_result(answered, "\n".join(lines) or "no faults", as_json=as_json)


def _act(url: str, uuid: str, action: str, how: dict[str, Any] | None = None, *, as_json: bool) -> None:
    answered = _ask(url, "POST", f"/sign/{uuid}/{action}", how or {})
    facts = [name for name in _FACTS if answered["meta"][name]]
    text = " ".join([uuid, *facts, *filter(None, [answered["response"]["txid"]])])
    say_result(answered, text, as_json=as_json)


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


def _parse(request: str) -> Any:
    try:
        return json.loads(request)
    except ValueError:
        raise CommandError("the request is not JSON, such as " + SIGN_IN, ExitCode.USAGE) from None


def _ask(url: str, method: str, path: str, body: Any = None) -> Any:
    """The answer of the sandbox. Raises `CommandError`."""
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
