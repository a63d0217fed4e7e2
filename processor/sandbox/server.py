"""The sandbox as a server: API, wallet, status sockets, ledgers and OAuth2 provider on one port of 127.0.0.1.

It also sends the webhooks.

>>> async with Sandbox([application]) as sandbox:
...     payload = sandbox.create({"txjson": {"TransactionType": "SignIn"}})
...     sandbox.sign(payload.uuid)
"""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from aiohttp import web

from processor.sandbox.control_api import control_routes
from processor.sandbox.ledger import ledger_routes
from processor.sandbox.oauth2_routes import provider_routes
from processor.sandbox.origins import check_host
from processor.sandbox.rest import PREFIX, RestApi
from processor.sandbox.sign_pages import sign_page_routes
from processor.sandbox.simulation import Simulation

_CLOSE_WITHIN: Final = 0.2
"""Seconds that a call may still take when the sandbox closes: some calls are never answered by design."""


class Sandbox(Simulation):
    """A simulated Xumm that serves HTTP and sends webhooks while it is open."""

    @property
    def api_url(self) -> str:
        """The URL of the API for applications, without a slash at the end."""
        return self.base_url + PREFIX

    @property
    def ledger_url(self) -> str:
        """The JSON-RPC URL of the ledger. ``/`` and the name of a network, appended, address that network's ledger."""
        return f"{self.base_url}/ledger"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.sender)
            runner = web.AppRunner(
                self._web(), access_log=None, handler_cancellation=True, shutdown_timeout=_CLOSE_WITHIN
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
            self.port = runner.addresses[0][1]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def _web(self) -> web.Application:
        app = web.Application(middlewares=[check_host(*self._names())])
        app.add_routes(RestApi(self).routes())
        app.add_routes(sign_page_routes(self))
        app.add_routes(ledger_routes(self.ledger, self.ledgers, self.faults))
        app.add_routes(control_routes(self))
        app.add_routes(provider_routes(self))
        app.on_shutdown.append(self.statuses.close)
        return app

    def _names(self) -> tuple[str, ...]:
        own = (self.settings.host, urlsplit(self.base_url).hostname or "")
        return tuple(name.lower() for name in (*self.settings.hosts, *own) if name)
