"""The storage of applications at Xumm: one object of each application, and named objects of each of its users.

Source: https://github.com/XRPL-Labs/XUMM-SDK/tree/main/src/types/Storage and
https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/types/JwtUserdata.ts
"""

import re
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter

from processor.sandbox.access import ApiCaller
from processor.sandbox.javascript import JsonObject

_KEY: Final = re.compile(r"[a-z0-9]{3,}", re.ASCII)
_object: Final[TypeAdapter[JsonObject]] = TypeAdapter(dict[str, Any])


class AppStorage:
    """The API of the applications' objects."""

    def __init__(self) -> None:
        self._objects: dict[str, JsonObject] = {}

    async def get(self, _request: web.Request, caller: ApiCaller) -> JsonObject:
        """The object; null if none is stored."""
        return {**_describe_owner(caller), "data": self._objects.get(caller.application.key)}

    async def set(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        """Replace the object by the one in the body."""
        data = _object.validate_json(await request.read())
        self._objects[caller.application.key] = data
        return {**_describe_owner(caller), "stored": True, "data": data}

    async def delete(self, _request: web.Request, caller: ApiCaller) -> JsonObject:
        """Delete the object."""
        self._objects.pop(caller.application.key, None)
        return {**_describe_owner(caller), "stored": True, "data": None}


class UserStorage:
    """The API of the users' objects. Raises ``ValueError`` for a name that is not allowed."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], JsonObject] = {}

    async def list(self, _request: web.Request, caller: ApiCaller) -> JsonObject:
        """The names of the user's objects."""
        keys = list(self._get_objects(caller))
        return {"operation": "LIST", "keys": keys, "count": len(keys)}

    async def get(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        """The objects that the path names, separated by commas; those not stored are left out."""
        names, stored = [_check(key) for key in request.match_info["key"].split(",")], self._get_objects(caller)
        data = {name: stored[name] for name in names if name in stored}
        return {"operation": "RETRIEVE", "data": data, "keys": list(data), "count": len(data)}

    async def set(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        """Store the object in the body under the name in the path."""
        data = _object.validate_json(await request.read())
        self._get_objects(caller)[_check(request.match_info["key"])] = data
        return {"operation": "PERSIST", "persisted": True}

    async def delete(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        """Delete the object that the path names."""
        found = self._get_objects(caller).pop(_check(request.match_info["key"]), None)
        return {"operation": "REMOVE", "persisted": found is not None}

    def _get_objects(self, caller: ApiCaller) -> JsonObject:
        return self._objects.setdefault((caller.application.key, caller.account), {})


def _describe_owner(caller: ApiCaller) -> JsonObject:
    return {"application": {"name": caller.application.name, "uuidv4": caller.application.key}}


def _check(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("only a-z and 0-9, at least three")
    return key
