"""Xumm's OAuth2 and OpenID Connect provider: what ``/auth``, ``/token`` and ``/userinfo`` decide.

A code counts once, for ten minutes, and only for the client and the redirect URI that it was asked for with (whose
query may differ). The client shows its secret or a verifier, which has to fit: Xumm's kits for browsers have no secret.

Source: https://github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider and, for what the published version does not have yet,
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
from processor.sandbox.network import NETWORKS, Network
from processor.sandbox.payload import Application

CODE_VALID_FOR: Final = timedelta(minutes=10)
KIT_SCOPE: Final = "xummpkce"
"""By which Xumm's kit for browsers asks to be told by a message to the window that opened the page."""
REJECTED: Final = {"error": "access_denied", "error_description": "The XUMM sign in request has been rejected"}
ResponseType = Literal["code", "token"]
Error = Literal["access_denied", "invalid_request"]

_AVATAR: Final = "https://xumm.app/avatar/{account}.png"
_REGISTRABLE: Final = re.compile(r"\A[a-z0-9]{2,}:/")
_SUBDOMAIN: Final = r"(?:[a-z0-9-]+\.)*[a-z0-9-]+"


class OAuth2Error(Exception):
    """What the provider refuses, and why."""

    def __init__(self, error: Error, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to sign in, which is in order."""

    application: Application
    redirect_uri: str
    response_type: ResponseType
    state: str | None = None
    nonce: str | None = None
    scope: str | None = None
    challenge: str | None = None
    network: str | None = None
    """The name of the one that the wallet has to be on."""
    signers: tuple[str, ...] = ()
    """The accounts of which one has to sign in. Empty: any."""

    @property
    def by_kit(self) -> bool:
        """Whether Xumm's kit for browsers asks."""
        return (self.scope or "").lower() == KIT_SCOPE

    @property
    def echoed(self) -> dict[str, str]:
        """What is given back as it came."""
        return {name: value for name, value in (("state", self.state), ("nonce", self.nonce)) if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    asked: Asked
    account: str
    expires_at: datetime


class Provider:
    """The provider of all applications. ``issuer`` is what its tokens name so, without a slash at the end."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        identity: Identity,
        *,
        network: Network,
        faults: FaultTable,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._applications = applications
        self.identity = identity
        self.faults = faults
        self._network = network
        self._clock = clock
        self._new_id = new_id
        self._grants: dict[str, _Grant] = {}

    def asked(self, query: Mapping[str, str]) -> Asked:
        """The request in a query. Raises `OAuth2Error` where nobody can be told but the user."""
        response_type = query.get("response_type")
        if response_type not in {"code", "token"}:
            raise OAuth2Error("invalid_request", "Grant type is invalid or missing.")
        challenge = query.get("code_challenge") if response_type == "code" else None
        if response_type == "code" and bool(challenge) != bool(query.get("code_challenge_method")):
            raise OAuth2Error("invalid_request", "Required parameters are missing in the request.")
        application, redirect_uri = self._applications.get(query.get("client_id", "")), query.get("redirect_uri", "")
        if application is None or not may_return(application, redirect_uri):
            raise OAuth2Error("access_denied", "Invalid client/redirect URL.")
        return Asked(
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

    def approve(self, asked: Asked, account: str, *, issuer: str) -> str:
        """The user signs in with ``account``. Where the browser goes then: with a code, or with the token itself.

        Raises `OAuth2Error` for an account that the request does not name.
        """
        if asked.signers and account not in asked.signers:
            raise OAuth2Error("access_denied", "The request names other accounts.")
        if asked.response_type == "token":
            tokens = {**self._tokens(asked, account, issuer), "refresh_token": ""}
            scope = {} if asked.scope is None else {"scope": asked.scope}
            return _back(asked, **tokens, **asked.echoed, **scope)
        code = self._code(asked)
        self._grants[code] = _Grant(asked=asked, account=account, expires_at=self._clock() + CODE_VALID_FOR)
        return _back(asked, authorization_code=code, code=code, **asked.echoed)

    def deny(self, asked: Asked) -> str:
        """The user declines. Where the browser goes then: without its state, which Xumm does not give back."""
        return _back(asked, **REJECTED)

    def redeem(self, form: Mapping[str, str], authorization: str | None, *, issuer: str) -> dict[str, Any]:
        """The tokens for a code, which is used up by it. Raises `OAuth2Error`."""
        form = {**_basic(authorization), **form} if "client_id" not in form and "client_secret" not in form else form
        self._check_client(form)
        code = form.get("code") or form.get("authorization_code", "")
        grant = self._check_grant(form, self._grants.get(code))
        del self._grants[code]
        scope = grant.asked.scope
        answer = self._tokens(grant.asked, grant.account, issuer)
        if "openid" in (scope or "").lower():
            answer["id_token"] = answer["access_token"]
        return {**answer, "refresh_token": "", **({} if scope is None else {"scope": scope})}

    def describe_user(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """What ``/userinfo`` says of the user of a token."""
        account = claims["sub"]
        return {
            "sub": account,
            "email": claims["email"],
            "picture": _AVATAR.format(account=account),
            "account": account,
            "name": None,
            "domain": None,
            "blocked": False,
            "source": "",
            "force_dtag": False,
            "kycApproved": False,
            "proSubscription": False,
            "networkType": claims["network_type"],
            "networkId": claims["network_id"],
            "networkEndpoint": claims["network_endpoint"],
        }

    def _tokens(self, asked: Asked, account: str, issuer: str) -> dict[str, Any]:
        return {
            "access_token": self._token(asked, account, issuer),
            "token_type": "bearer",
            "expires_in": int(VALID_FOR.total_seconds()),
        }

    def _token(self, asked: Asked, account: str, issuer: str) -> str:
        fault = self.faults.of(asked.application.key).oauth2
        told = asked.echoed | ({} if asked.scope is None else {"scope": asked.scope})
        if fault == "nonce":
            told["nonce"] = self._new_id()
        network = NETWORKS.get(asked.network or "", self._network)
        claims = self.identity.claims(asked.application, account, network, issuer=issuer) | told
        match fault:
            case "expired":
                claims["exp"] = claims["iat"] - 3600
            case "netless":
                claims["network_id"] = "undefined" if asked.response_type == "token" else "null"
        return self.identity.signed(claims)

    def _code(self, asked: Asked) -> str:
        """As long as Xumm's, which holds what it is for, encrypted."""
        content = {"client_id": asked.application.key, "redirect_url": asked.redirect_uri}
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
        if grant.asked.application.key != form["client_id"]:
            raise OAuth2Error("access_denied", "Client ID does not match the record.")
        if _strip(grant.asked.redirect_uri) != _strip(form["redirect_uri"]):
            raise OAuth2Error("access_denied", "Redirect URL does not match the record.")
        if self._clock() >= grant.expires_at:
            raise OAuth2Error("access_denied", "Authorization code expired.")
        verifier = form.get("code_verifier")
        if verifier and _encode(hashlib.sha256(verifier.encode()).digest()) != grant.asked.challenge:
            raise OAuth2Error("access_denied", "Code verifier does not match code challenge.")
        return grant


def may_return(application: Application, uri: str) -> bool:
    """Whether users may be sent back to ``uri``: one that begins with a registered URI, or fits one's wildcard.

    Source: https://github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider/blob/main/fn/redirectUriCheck.js
    """
    if not application.redirect_uris:
        return uri != ""
    registered = [_strip(each) for each in application.redirect_uris if _REGISTRABLE.search(each)]
    return any(_fits_wildcard(each, uri) if "*." in each else _strip(uri).startswith(each) for each in registered)


def discovery(base_url: str, issuer: str) -> dict[str, Any]:
    """What ``/.well-known/openid-configuration`` says."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{base_url}/auth",
        "token_endpoint": f"{base_url}/token",
        "userinfo_endpoint": f"{base_url}/userinfo",
        "jwks_uri": f"{base_url}/certs",
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["authorization_code", "implicit"],
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    }


def _back(asked: Asked, **answer: Any) -> str:
    """The redirect URI with the answer in its query, that of the implicit flow too."""
    parts = urlsplit(asked.redirect_uri)
    base, query = asked.redirect_uri.partition("#")[0], urlencode(answer)
    return f"{base}{'&' if parts.query else '?'}{query}{'#' + parts.fragment if parts.fragment else ''}"


def _strip(uri: str) -> str:
    """``uri`` as it is compared: without query, fragment, and slashes at its end."""
    return re.sub(r"/+$", "", re.sub(r"^([a-z0-9]+://[^?#]+)[?#].*$", r"\1", uri, flags=re.DOTALL))


def _fits_wildcard(registered: str, uri: str) -> bool:
    scheme, _, domains = registered.partition("://")
    pattern = _SUBDOMAIN.join(map(re.escape, domains.split("*")))
    found = re.search(r"\A([a-z0-9]+)://([^/]+)", _strip(uri))
    return found is not None and found[1] == scheme and re.fullmatch(pattern, found[2]) is not None


def _basic(authorization: str | None) -> dict[str, str]:
    """Client and secret as of RFC 6749, section 2.3.1; nothing if they are not there."""
    try:
        key, colon, secret = base64.b64decode((authorization or "").split(" ")[-1]).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"client_id": unquote(key), "client_secret": unquote(secret)} if colon else {}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
