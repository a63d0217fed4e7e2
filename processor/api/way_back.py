"""The browser's way back into the app: a redirect, or a page for what browsers do not follow by themselves."""

import html
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from processor.web.problem import EVERYWHERE

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Back to the app</title>
<h1>{title}</h1>
{link}<p>{otherwise} open the app yourself and sign in there once more.</p>
</html>
"""
_LINK: Final = '<p><a href="{link}">Return to the app</a></p>\n'
_FAILED: Final = "Signing in did not succeed"
PRIVATE: Final = EVERYWHERE | {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""What every answer bears whose address or text holds a secret."""


def sent_to(url: str) -> web.Response:
    """A redirect to an address of the web."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={**PRIVATE, hdrs.LOCATION: url})


def way_back(link: str, *, signed_in: bool) -> web.Response:
    """Back to the app's deep link, which is one that its operator allows, with the answer on it.

    Browsers follow a redirect to ``https``. To an app's own scheme some do not, and show nothing: so that is a page,
    which goes there at once and has a link to press. It needs no script.
    """
    if link.startswith(("https://", "http://")):
        return sent_to(link)
    title = "You are signed in" if signed_in else _FAILED
    page = _PAGE.format(title=title, link=_LINK.format(link=html.escape(link)), otherwise="If nothing happens,")
    return web.Response(
        text=page, content_type="text/html", charset="utf-8", headers={**PRIVATE, "Refresh": f"0; url={link}"}
    )


def nowhere() -> web.Response:
    """A page for a user whom nothing leads back."""
    page = _PAGE.format(title=_FAILED, link="", otherwise="Please")
    return web.Response(text=page, content_type="text/html", charset="utf-8", headers=PRIVATE)
