"""What a request says, within bounds."""

from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.text import replace_unprintable
from schemas.validation import problems_in

Model = TypeVar("Model", bound=BaseModel)
_JSON: Final = "application/json"
_MAX_BYTES: Final = 16 * 1024
_MAX_ERRORS: Final = 10
_MAX_PLACE: Final = 100


async def said(request: web.Request, model: type[Model], bodies: Bodies) -> Model:
    """The body as ``model``. Raises `Problem`."""
    if request.content_type != _JSON:  # a browser sends any other for any page, without asking first
        raise Problem("media_type_not_supported")
    body = await bodies.read(request, _MAX_BYTES)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Problem("body_invalid", errors=_places(error)) from None


def _places(error: ValidationError) -> list[tuple[str, str]]:
    """Where and what, without the values. Names of fields may be the caller's own, so they are cut and cleaned."""
    return [(replace_unprintable(place[:_MAX_PLACE]), kind) for place, kind in problems_in(error)[:_MAX_ERRORS]]
