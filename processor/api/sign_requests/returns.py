"""Where users come back to: what is known of the payload, never what the address claims; and whose links these are.

Sources: https://developer.apple.com/documentation/xcode/supporting-associated-domains
https://developer.android.com/training/app-links/verify-android-applinks
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from processor.api.endpoint import Gate, Handler, answered
from processor.api.sign_requests.handlers import status_of
from processor.core.access.service_key import digest_of
from processor.core.payload.state import PayloadState
from processor.core.sign_request.request import StoredRequest
from processor.settings.applications import ApplicationSettings
from processor.web.problem import Problem

PATH: Final = "/v1/return"
APPLE_PATH: Final = "/.well-known/apple-app-site-association"
ANDROID_PATH: Final = "/.well-known/assetlinks.json"
_MAX_STATE: Final = 100


class RequestStore(Protocol):
    """Where sign requests are kept. All of it raises `StoreError`."""

    async def take_state(self, digest: bytes) -> StoredRequest | None:
        """Use the state of a return URL, which works once."""
        ...

    async def states(self, payloads: Sequence[tuple[str, str]]) -> Sequence[PayloadState | None]:
        """What is known of payloads, each named by application and uuid."""
        ...


class ReturnDesk:
    """The handlers."""

    def __init__(self, store: RequestStore, gate: Gate, applications: Mapping[str, ApplicationSettings]) -> None:
        self._store = store
        self._gate = gate
        self._apple = _apple(applications)
        self._android = _android(applications)

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """The methods of each path."""
        return {
            PATH: {hdrs.METH_GET: self.returned},
            APPLE_PATH: {hdrs.METH_GET: self.apple},
            ANDROID_PATH: {hdrs.METH_GET: self.android},
        }

    async def returned(self, request: web.Request) -> web.StreamResponse:
        """What is known of the payload whose return URL has this state. It works once; all other parameters are air."""
        self._gate.admit_address(request)
        state = request.query.get("state", "")
        if not 0 < len(state) <= _MAX_STATE or not state.isascii():
            raise Problem("not_found")
        found = await self._store.take_state(digest_of(state))
        if found is None or found.payload is None:
            raise Problem("not_found")
        (known,) = await self._store.states([(found.app, found.payload)])
        return answered(status_of(found, known))

    async def apple(self, _request: web.Request) -> web.StreamResponse:
        """Which apps may open this host's links on iOS."""
        return web.json_response(self._apple)

    async def android(self, _request: web.Request) -> web.StreamResponse:
        """Which apps may open this host's links on Android."""
        return web.json_response(self._android)


def _apple(applications: Mapping[str, ApplicationSettings]) -> dict[str, object]:
    details = [
        {
            "appIDs": list(each.apple_app_ids),
            "components": [{"/": urlsplit(url).path or "/"} for url in each.return_urls if url.startswith("https://")],
        }
        for each in applications.values()
        if each.apple_app_ids
    ]
    return {"applinks": {"details": details}}


def _android(applications: Mapping[str, ApplicationSettings]) -> list[dict[str, object]]:
    return [
        {
            "relation": ["delegate_permission/common.handle_all_urls"],
            "target": {
                "namespace": "android_app",
                "package_name": each.android_package,
                "sha256_cert_fingerprints": list(each.android_fingerprints),
            },
        }
        for each in applications.values()
        if each.android_package and each.android_fingerprints
    ]
