"""``/v1/return``, where users come back to, and the files by which an app claims the links of this host.

A return URL proves nothing: the response says what is known of the payload, whatever the rest of the address claims.

Sources: https://developer.apple.com/documentation/xcode/supporting-associated-domains
https://developer.android.com/training/app-links/verify-android-applinks
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from processor.api.endpoint import json_response
from processor.api.rate_limits import RateLimits
from processor.api.sign_requests.responses import describe_status
from processor.core.access.service_key import digest_of
from processor.settings.applications import ApplicationSettings
from processor.store.ports import SignRequestStore
from processor.web.problem import Problem

_MAX_STATE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLinkHandlers:
    """The handlers."""

    store: SignRequestStore
    limits: RateLimits
    applications: Mapping[str, ApplicationSettings]

    async def get_return(self, request: web.Request) -> web.StreamResponse:
        """200 with the status of the payload whose return URL has this state. It works once."""
        self.limits.count_address(request)
        state = request.query.get("state", "")
        if not 0 < len(state) <= _MAX_STATE or not state.isascii():
            raise Problem("not_found")
        stored = await self.store.take_state(digest_of(state))
        if stored is None or stored.payload is None:
            raise Problem("not_found")
        (known,) = await self.store.load_states([(stored.app, stored.payload)])
        return json_response(describe_status(stored, known))

    async def get_apple_apps(self, _request: web.Request) -> web.StreamResponse:
        """200 with the iOS apps that may open this host's links."""
        details = [
            {
                "appIDs": list(each.apple_app_ids),
                "components": [
                    {"/": urlsplit(url).path or "/"} for url in each.return_urls if url.startswith("https://")
                ],
            }
            for each in self.applications.values()
            if each.apple_app_ids
        ]
        return web.json_response({"applinks": {"details": details}})

    async def get_android_apps(self, _request: web.Request) -> web.StreamResponse:
        """200 with the Android apps that may open this host's links."""
        statements = [
            {
                "relation": ["delegate_permission/common.handle_all_urls"],
                "target": {
                    "namespace": "android_app",
                    "package_name": each.android_package,
                    "sha256_cert_fingerprints": list(each.android_fingerprints),
                },
            }
            for each in self.applications.values()
            if each.android_package and each.android_fingerprints
        ]
        return web.json_response(statements)
