"""Push devices: their names in paths, and the commands to the push consumer.

A path names a device by its token. A browser, which has a subscription instead of a token, is named by the SHA-256 of
its endpoint in base64url. A token of that form is refused, so a path never names two devices.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from processor.core.application import Application
from processor.core.errors import ProcessorError
from processor.core.payload.ids import command_id, device_reference
from schemas.api import DeviceRegistration
from schemas.base64url import decode, encode
from schemas.commands import (
    AnyDeviceCommand,
    DeviceRegistered,
    DeviceRegisteredData,
    DeviceRemoved,
    DeviceRemovedData,
)
from schemas.devices import Channel, Keys, Platform, digest_of_token

PATH_PATTERN: Final = r"^[A-Za-z0-9_:.~-]{8,2048}$"
"""The name of a device of any channel in a path."""
_PATHS: Final[Mapping[Channel, re.Pattern[str]]] = {
    "fcm": re.compile(r"[A-Za-z0-9_:.~-]{8,2048}"),
    "apns": re.compile(r"(?:[0-9a-fA-F]{2}){16,100}"),
    "webpush": re.compile(r"[A-Za-z0-9_-]{43}"),
}
_PLATFORMS: Final[Mapping[Channel, Platform]] = {"fcm": "android", "apns": "ios", "webpush": "web"}


class BadDevice(ProcessorError):
    """A device cannot be pushed to. The message names the field and the reason, never the value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOwner:
    """The owner of a device, and the time of the command."""

    application: Application
    account: str
    at: datetime
    user: str | None = None
    """The opaque reference that events carry, where the caller's proof names it."""


def registration(owner: DeviceOwner, named: str, request: DeviceRegistration) -> AnyDeviceCommand:
    """The command that registers the device ``named`` in the path. Raises `BadDevice`."""
    if not _PATHS[request.channel].fullmatch(named) or (request.channel != "webpush" and _is_digest(named)):
        raise BadDevice("token", "malformed")
    token, keys = named, None
    if request.subscription is not None:
        token, keys = request.subscription.endpoint, _verify_keys(request.subscription.keys)
        if digest_of(named) != digest_of(token):
            raise BadDevice("token", "not_the_endpoints_sha256")
    data = DeviceRegisteredData(
        application=owner.application.uuid,
        account=owner.account,
        channel=request.channel,
        token=token,
        keys=keys,
        platform=request.platform or _PLATFORMS[request.channel],
        locale=request.locale,
        user=owner.user,
    )
    return DeviceRegistered(**_envelope(owner, digest_of(token), "registered"), data=data)


def removal(owner: DeviceOwner, named: str) -> AnyDeviceCommand:
    """The command that removes the device ``named`` in the path. Raises `BadDevice`."""
    if not any(form.fullmatch(named) for form in _PATHS.values()):
        raise BadDevice("token", "malformed")
    digest = digest_of(named)
    data = DeviceRemovedData(application=owner.application.uuid, account=owner.account, device=digest)
    return DeviceRemoved(**_envelope(owner, digest, "removed"), data=data)


def digest_of(named: str) -> str:
    """The SHA-256, in hexadecimal, of a device's token or endpoint, which names the device everywhere but in paths."""
    return decode(named).hex() if _is_digest(named) else digest_of_token(named)


def path_of(endpoint: str) -> str:
    """The name in a path of the browser with this endpoint."""
    return encode(hashlib.sha256(endpoint.encode()).digest())


def _is_digest(named: str) -> bool:
    return _PATHS["webpush"].fullmatch(named) is not None


def _verify_keys(keys: Keys) -> Keys:
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decode(keys.p256dh))
    except ValueError:
        raise BadDevice("subscription.keys.p256dh", "not_on_the_curve") from None
    return keys


def _envelope(owner: DeviceOwner, digest: str, verb: str) -> dict[str, Any]:
    app = owner.application.name
    return {
        "id": command_id(app, f"{verb}/{digest}/{owner.account}", owner.at.isoformat()),
        "source": f"/xumm/{app}",
        "subject": device_reference(digest),
        "time": owner.at,
    }
