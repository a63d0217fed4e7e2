"""What one service asks of another, by HTTP or by a message on a queue that `schemas.topology` names.

Others ask this one to watch payloads; this one asks the push consumer to register and remove devices. The latter are
CloudEvents like the events, and decoded like them, but never take their way: they carry device tokens.
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.data import Tolerant
from schemas.devices import Channel, Digest, Keys, Locale, Platform, Token
from schemas.text import Account, ApplicationName, Uuid


class WatchCommand(BaseModel):
    """Follow a payload to its end, even if no webhook ever comes. Asking again is harmless."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    app: ApplicationName
    """The application's name."""
    payload: Uuid
    """What Xumm answered when the sign request was created."""


class RedeemCommand(BaseModel):
    """Swap the code that came to the app's deep link for a session."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    code: Annotated[str, Field(max_length=2048, repr=False)]
    """As it came, once."""
    code_verifier: Annotated[str, Field(max_length=128, repr=False)]
    """What the app made its ``code_challenge`` of."""


class DeviceCommand(Tolerant):
    """The envelope: CloudEvents 1.0 in structured JSON mode."""

    model_config = ConfigDict(hide_input_in_errors=True)

    specversion: Literal["1.0"] = "1.0"
    id: Uuid
    """UUIDv5 of what was asked and when."""
    source: Annotated[str, Field(pattern=r"^/xumm/[a-z0-9][a-z0-9_-]{0,62}$")]
    """``/xumm/<application name>``."""
    type: str
    subject: Uuid
    """UUIDv5 of the device: its commands are applied one after another."""
    time: AwareDatetime
    """When it was asked for. The last one asked for wins, in whatever order they arrive."""
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str


class DeviceData(Tolerant):
    """Whose device."""

    application: Uuid
    """Xumm's ``application_uuidv4``, which is also the public API key."""
    account: Account
    """The address that the user proved to hold."""


class DeviceRegisteredData(DeviceData):
    """A device, and the way to it."""

    channel: Channel
    token: Annotated[Token, Field(repr=False)]
    """The provider's registration token; of a browser, the endpoint of its subscription."""
    keys: Annotated[Keys | None, Field(repr=False)] = None
    """Of a browser's subscription, and of nothing else."""
    platform: Platform
    locale: Locale | None = None
    user: Uuid | None = None
    """Opaque reference of the user, as in the events' ``user``; None where the caller proved an account alone."""


class DeviceRemovedData(DeviceData):
    """A device, without the way to it."""

    device: Digest
    """Of the token, or of the endpoint."""


class DeviceRegistered(DeviceCommand):
    """From now on the device is pushed to for this account, and for no other."""

    type: Literal["xumm.device.registered"] = "xumm.device.registered"
    dataschema: Literal["urn:xumm-processor:command.device.registered:1"] = (
        "urn:xumm-processor:command.device.registered:1"
    )
    data: DeviceRegisteredData


class DeviceRemoved(DeviceCommand):
    """The device is pushed to for this account no more. If it is another's, nothing happens."""

    type: Literal["xumm.device.removed"] = "xumm.device.removed"
    dataschema: Literal["urn:xumm-processor:command.device.removed:1"] = "urn:xumm-processor:command.device.removed:1"
    data: DeviceRemovedData


AnyDeviceCommand = DeviceRegistered | DeviceRemoved
DEVICE_COMMANDS: Final[dict[str, type[DeviceCommand]]] = {
    model.model_fields["type"].default: model for model in get_args(AnyDeviceCommand)
}
"""Command type, such as ``xumm.device.removed``, to its model."""
