"""The rules of Xumm's OAuth2 and OpenID Connect provider: requests, codes and tokens.

A code is valid once, for ten minutes, and only for the client and the redirect URI of its request (the query of the
URI may differ). The client sends its secret or a code verifier: Xumm's kits for browsers have no secret.

Source: https://github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider and, for the parts that are not published,
the declarations of https://github.com/XRPL-Labs/XummPkce and https://github.com/XRPL-Labs/xumm-sdk-py
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import unquote, urlencode, urlsplit

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.faults import FaultTable
from processor.sandbox.identity import VALID_FOR, Identity
from processor.sandbox.network import NETWORKS, LedgerNetwork
from processor.sandbox.payload import Application

CODE_VALID_FOR: Final = timedelta(minutes=10)
KIT_SCOPE: Final = "xummpkce"
"""The scope of Xumm's kit for browsers, which is answered by a message to the window that opened the page."""
REJECTED: Final = {"error": "access_denied", "error_description": "The XUMM sign in request has been rejected"}
ResponseType = Literal["code", "token"]
Error = Literal["access_denied", "invalid_request"]

_REGISTRABLE: Final = re.compile(r"\A[a-z0-9]{2,}:/")
_SUBDOMAIN: Final = r"(?:[a-z0-9-]+\.)*[a-z0-9-]+"


class OAuth2Error(Exception):
    """A refusal of the provider: an error code of OAuth2 and a description."""

    def __init__(self, error: Error, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A valid request to sign in."""

    application: Application
    redirect_uri: str
    response_type: ResponseType
    state: str | None = None
    nonce: str | None = None
    scope: str | None = None
    challenge: str | None = None
    network: str | None = None
    """The name of the network that the wallet has to be on."""
    signers: tuple[str, ...] = ()
    """The accounts of which one has to sign in; empty for any."""

    @property
    def by_kit(self) -> bool:
        """Whether the request is from Xumm's kit for browsers."""
        return (self.scope or "").lower() == KIT_SCOPE

    @property
    def echoed(self) -> dict[str, str]:
        """The parameters that the answer repeats."""
        return {name: value for name, value in (("state", self.state), ("nonce", self.nonce)) if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    request: AuthorizationRequest
    account: str
    expires_at: datetime


class Provider:
    """The provider of all applications. An ``issuer`` is a URL without a slash at the end."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        identity: Identity,
        *,
        network: LedgerNetwork,
        faults: FaultTable,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._applications = applications
        self._identity = identity
        self._faults = faults
        self._network = network
        self._clock = clock
        self._new_id = new_id
        self._grants: dict[str, _Grant] = {}

    def parse(self, query: Mapping[str, str]) -> AuthorizationRequest:
        """The request in a query. Raises `OAuth2Error`, which the user is shown."""
        response_type = query.get("response_type")
        if response_type not in {"code", "token"}:
            raise OAuth2Error("invalid_request", "Grant type is invalid or missing.")
        challenge = query.get("code_challenge") if response_type == "code" else None
        if response_type == "code" and bool(challenge) != bool(query.get("code_challenge_method")):
            raise OAuth2Error("invalid_request", "Required parameters are missing in the request.")
        application, redirect_uri = self._applications.get(query.get("client_id", "")), query.get("redirect_uri", "")
        if application is None or not allows_redirect(application, redirect_uri):
            raise OAuth2Error("access_denied", "Invalid client/redirect URL.")
        return AuthorizationRequest(
            application=application,
            redirect_uri=redirect_uri,
            response_type="code" if response_type == "code" else "token",
            state=query.get("state"),
            nonce=query.get("nonce"),
            scope=query.get("scope"),
            challenge=challenge or None,
            network=query.get("force_network"),
            signers=tuple(filter(None, query.get("signers", "").split(","))),
        )

    def approve(self, request: AuthorizationRequest, account: str, *, issuer: str) -> str:
        """The URL for the browser once the user signed in with ``account``: with a code, or with the token itself.

        Raises `OAuth2Error` for an account that the request does not name.
        """
        if request.signers and account not in request.signers:
            raise OAuth2Error("access_denied", "The request names other accounts.")
        if request.response_type == "token":
            tokens = {**self._issue_tokens(request, account, issuer), "refresh_token": ""}
            scope = {} if request.scope is None else {"scope": request.scope}
            return _redirect(request, **tokens, **request.echoed, **scope)
        code = self._create_code(request)
        self._grants[code] = _Grant(request=request, account=account, expires_at=self._clock() + CODE_VALID_FOR)
        return _redirect(request, authorization_code=code, code=code, **request.echoed)

    def deny(self, request: AuthorizationRequest) -> str:
        """The URL for the browser once the user declined: without the state, which Xumm does not repeat then."""
        return _redirect(request, **REJECTED)

    def redeem(self, form: Mapping[str, str], authorization: str | None, *, issuer: str) -> dict[str, Any]:
        """Exchange a code for tokens, which uses the code up. Raises `OAuth2Error`."""
        if not {"client_id", "client_secret"} & form.keys():
            form = {**_parse_basic(authorization), **form}
        self._check_client(form)
        code = form.get("code") or form.get("authorization_code", "")
        grant = self._check_grant(form, self._grants.get(code))
        del self._grants[code]
        scope = grant.request.scope
        answer = self._issue_tokens(grant.request, grant.account, issuer)
        if "openid" in (scope or "").lower():
            answer["id_token"] = answer["access_token"]
        return {**answer, "refresh_token": "", **({} if scope is None else {"scope": scope})}

    def _issue_tokens(self, request: AuthorizationRequest, account: str, issuer: str) -> dict[str, Any]:
        return {
            "access_token": self._issue_token(request, account, issuer),
            "token_type": "bearer",
            "expires_in": int(VALID_FOR.total_seconds()),
        }

    def _issue_token(self, request: AuthorizationRequest, account: str, issuer: str) -> str:
        fault = self._faults.find(request.application.key).oauth2
        extra = request.echoed | ({} if request.scope is None else {"scope": request.scope})
        if fault == "nonce":
            extra["nonce"] = self._new_id()
        network = NETWORKS.get(request.network or "", self._network)
        claims = self._identity.build_claims(request.application, account, network, issuer=issuer) | extra
        match fault:
            case "expired":
                claims["exp"] = claims["iat"] - 3600
            case "netless":
                claims["network_id"] = "undefined" if request.response_type == "token" else "null"
        return self._identity.sign(claims)

    def _create_code(self, request: AuthorizationRequest) -> str:
        """A code as long as those of Xumm, which hold the request in encrypted form."""
        content = {"client_id": request.application.key, "redirect_url": request.redirect_uri}
        return _encode(json.dumps(content).encode()) + self._new_id().replace("-", "")

    def _check_client(self, form: Mapping[str, str]) -> None:
        if form.get("grant_type") != "authorization_code":
            raise OAuth2Error("invalid_request", "Grant type is invalid or missing.")
        verifier, secret = form.get("code_verifier"), form.get("client_secret")
        if not verifier and not secret:
            raise OAuth2Error("invalid_request", "Client secret and code verifier are exclusive to each other.")
        if not {"client_id", "redirect_uri"} <= form.keys() or not {"code", "authorization_code"} & form.keys():
            raise OAuth2Error("invalid_request", "Required parameters are missing in the request.")
        application = self._applications.get(form["client_id"])
        if application is None or (secret and not hmac.compare_digest(application.secret.encode(), secret.encode())):
            raise OAuth2Error("access_denied", "Invalid client credentials.")

    def _check_grant(self, form: Mapping[str, str], grant: _Grant | None) -> _Grant:
        if grant is None:
            raise OAuth2Error("access_denied", "Invalid authorization code.")
        if grant.request.application.key != form["client_id"]:
            raise OAuth2Error("access_denied", "Client ID does not match the record.")
        if _strip(grant.request.redirect_uri) != _strip(form["redirect_uri"]):
            raise OAuth2Error("access_denied", "Redirect URL does not match the record.")
        if self._clock() >= grant.expires_at:
            raise OAuth2Error("access_denied", "Authorization code expired.")
        verifier = form.get("code_verifier")
        if verifier and _encode(hashlib.sha256(verifier.encode()).digest()) != grant.request.challenge:
            raise OAuth2Error("access_denied", "Code verifier does not match code challenge.")
        return grant


def allows_redirect(application: Application, uri: str) -> bool:
    """Whether ``uri`` begins with a redirect URI of the application, or matches the wildcard in one.

    Source: https://github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider/blob/main/fn/redirectUriCheck.js
    """
    if not application.redirect_uris:
        return uri != ""
    registered = [_strip(each) for each in application.redirect_uris if _REGISTRABLE.search(each)]
    return any(_matches_wildcard(each, uri) if "*." in each else _strip(uri).startswith(each) for each in registered)


def _redirect(request: AuthorizationRequest, **answer: Any) -> str:
    """The redirect URI with ``answer`` in its query, in the implicit flow too."""
    parts = urlsplit(request.redirect_uri)
    base, query = request.redirect_uri.partition("#")[0], urlencode(answer)
    return f"{base}{'&' if parts.query else '?'}{query}{'#' + parts.fragment if parts.fragment else ''}"


def _strip(uri: str) -> str:
    """``uri`` in the form that is compared: without query, fragment, and slashes at its end."""
    return re.sub(r"/+$", "", re.sub(r"^([a-z0-9]+://[^?#]+)[?#].*$", r"\1", uri, flags=re.DOTALL))


def _matches_wildcard(registered: str, uri: str) -> bool:
    scheme, _, domains = registered.partition("://")
    pattern = _SUBDOMAIN.join(map(re.escape, domains.split("*")))
    found = re.search(r"\A([a-z0-9]+)://([^/]+)", _strip(uri))
    return found is not None and found[1] == scheme and re.fullmatch(pattern, found[2]) is not None


def _parse_basic(authorization: str | None) -> dict[str, str]:
    """Client and secret of HTTP Basic as in RFC 6749, section 2.3.1; empty if the header holds none."""
    try:
        key, colon, secret = base64.b64decode((authorization or "").split(" ")[-1]).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"client_id": unquote(key), "client_secret": unquote(secret)} if colon else {}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
