"""What a request says, within bounds."""

import asyncio
from typing import Final, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from processor.intake import Limits
from processor.problem import Problem

Model = TypeVar("Model", bound=BaseModel)
_JSON: Final = "application/json"
_MAX_BYTES: Final = 16 * 1024
_MAX_ERRORS: Final = 10
_MAX_PLACE: Final = 100


async def said(request: web.Request, model: type[Model], limits: Limits) -> Model:
    """The body as ``model``. Raises `Problem`."""
    if request.content_type != _JSON:  # a browser sends any other for any page, without asking first
        raise Problem("media_type_not_supported")
    body = await _read(request, limits)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Problem("body_invalid", errors=_places(error)) from None


def _places(error: ValidationError) -> list[tuple[str, str]]:
    """Where and what, without the values. Names of fields may be the caller's own, so they are cut and cleaned."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[:_MAX_ERRORS]
    return [(_printable(".".join(map(str, detail["loc"]))) or "body", detail["type"]) for detail in details]


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:_MAX_PLACE])


async def _read(request: web.Request, limits: Limits) -> bytes:
    if hdrs.CONTENT_ENCODING in request.headers:
        raise Problem("content_encoding_not_supported")
    size = min(limits.body_bytes, _MAX_BYTES)
    if (request.content_length or 0) > size:
        raise Problem("body_too_large")
    try:
        async with asyncio.timeout(limits.body_timeout.total_seconds()):
            body = await request.read()
    except TimeoutError:
        raise Problem("body_timeout") from None
    except web.HTTPRequestEntityTooLarge:
        raise Problem("body_too_large") from None
    if len(body) > size:
        raise Problem("body_too_large")
    return body
