"""Return URLs: the addresses that Xumm may send a user back to.

A return URL is accepted if it equals, character by character, one that the operator registered. Nothing is normalized:
the same address in another spelling is another URL. A one-time ``state`` and tags that Xumm replaces are added to it.
A return is a hint and never a proof: the user is shown what is known, whatever the URL claims. Xumm opens the URL only
after a signature, never after a rejection.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/payload-return-url
"""

import re
from collections.abc import Collection
from typing import Final, Literal

from schemas.base64url import encode

MAX_URL: Final = 250
"""Characters that Xumm accepts, with ``state`` and tags."""
MAX_LINK: Final = 512
STATE_BYTES: Final = 32
"""Random bytes in a ``state``, which is written in base64url."""
TAGS: Final = {"id": "{id}", "cid": "{cid}", "txid": "{txid}"}
"""Parameter to the tag that Xumm replaces by a value."""
ReturnTarget = Literal["app", "web"]
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{1,63}")
_FOREIGN: Final = frozenset(
    {"javascript", "data", "vbscript", "file", "blob", "about", "http", "ftp", "ws", "wss", "intent", "content", "tel"}
    | {"mailto", "sms", "market", "itms-apps", "view-source", "xumm", "xaman", "chrome", "jar", "filesystem"}
)
"""Schemes that do not belong to an application."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:/@!$&'()*+,;=%-]+")
_LINK: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*):"
    r"(?://(?P<host>[A-Za-z0-9._-]+)(?::\d{1,5})?(?:[/?][A-Za-z0-9._~/?=&%+:,;-]*)?"
    r"|/[A-Za-z0-9._~-][A-Za-z0-9._~/?=&%+:,;-]*)",
    re.ASCII,
)
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1"})
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+")


def fault_of(url: str) -> str | None:
    """The reason why an operator cannot register ``url`` as a return URL; None if there is none.

    ``https://host/…``, ``yourapp://…``, or, with one slash, ``com.example.app:/…`` (RFC 8252, section 7.1).
    """
    if not url or len(url) > _MAX_REGISTERED or not _PLAIN.fullmatch(url):
        return f"must be a plain address of at most {_MAX_REGISTERED} ASCII characters, without query or fragment"
    scheme, slash, rest = url.partition(":/")
    place = rest.removeprefix("/")
    if not slash or not _SCHEME.fullmatch(scheme) or not place or place.startswith("/"):
        return "must begin with a scheme in small letters and :// or :/, and name a place"
    if scheme in _FOREIGN:
        return f"must not be {scheme}: use a scheme of your own, or https"
    if "@" in place or "\\" in place:
        return "must not name a user"
    if scheme == "https" and not (rest.startswith("/") and _is_host(place)):
        return "must name a host in small letters, such as https://app.example.com/signed"
    return None


def link_fault_of(link: str) -> str | None:
    """The reason why an operator cannot register ``link`` as a deep link for sign-ins; None if there is none.

    Unlike a return URL, a link may have a query, and may name the local host, for desktop apps.
    """
    found = _LINK.fullmatch(link)
    if found is None or len(link) > MAX_LINK or found["scheme"] in _FOREIGN - {"http"}:
        return "must be a link such as https://host/path, yourapp://in or com.example.app:/in, without user or fragment"
    if found["scheme"] in {"https", "http"} and found["host"] is None:
        return "must name a host"
    if found["scheme"] == "http" and found["host"] not in _LOCAL_HOSTS:
        return "must be https: the code for a session travels with it"
    return None


def is_registered(url: str, registered: Collection[str]) -> bool:
    """Whether ``url`` is exactly one of ``registered``, and a valid return URL."""
    return url in registered and fault_of(url) is None


def build_url(url: str, state: str) -> str:
    """A registered ``url`` with ``state`` and the tags, as Xumm gets it."""
    query = "&".join(f"{name}={value}" for name, value in {"state": state, **TAGS}.items())
    return f"{url}?{query}"


_MAX_REGISTERED: Final = MAX_URL - len(build_url("", encode(bytes(STATE_BYTES))))


def _is_host(rest: str) -> bool:
    """Whether ``rest`` begins with a host name and nothing else, such as a port."""
    return _HOST.fullmatch(rest.partition("/")[0]) is not None
