"""The commands between services, sent by HTTP or as a message to a queue that `schemas.topology` names.

Other services ask this one to watch payloads; this one asks the push consumer to register and remove devices. Device
commands are CloudEvents like the events, but have an exchange of their own, since they contain device tokens.
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
    """The payload's uuid, as Xumm answered when the sign request was created."""


class RedeemCommand(BaseModel):
    """Exchange the code that came to the app's deep link for a session."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    code: Annotated[str, Field(max_length=2048, repr=False)]
    """The code as it came. Valid once."""
    code_verifier: Annotated[str, Field(max_length=128, repr=False)]
    """The verifier of the app's ``code_challenge``."""


class DeviceCommand(Tolerant):
    """The envelope: CloudEvents 1.0 in structured JSON mode."""

    model_config = ConfigDict(hide_input_in_errors=True)

    specversion: Literal["1.0"] = "1.0"
    id: Uuid
    """UUIDv5 of the command and its time."""
    source: Annotated[str, Field(pattern=r"^/xumm/[a-z0-9][a-z0-9_-]{0,62}$")]
    """``/xumm/<application name>``."""
    type: str
    subject: Uuid
    """UUIDv5 of the device, whose commands are applied one after another."""
    time: AwareDatetime
    """When the command was given. The command with the latest time wins, in whatever order they arrive."""
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str


class DeviceData(Tolerant):
    """The owner of a device."""

    application: Uuid
    """Xumm's ``application_uuidv4``, which is also the public API key."""
    account: Account
    """The address that the user proved to hold."""


class DeviceRegisteredData(DeviceData):
    """A device with its address."""

    channel: Channel
    token: Annotated[Token, Field(repr=False)]
    """The provider's registration token; for a browser, the endpoint of the subscription."""
    keys: Annotated[Keys | None, Field(repr=False)] = None
    """The keys of a browser's subscription; null for other channels."""
    platform: Platform
    locale: Locale | None = None
    user: Uuid | None = None
    """Opaque reference of the user, as in the events' ``user``; null if the caller proved only an account."""


class DeviceRemovedData(DeviceData):
    """A device without its address."""

    device: Digest
    """The SHA-256 of the token or the endpoint."""


class DeviceRegistered(DeviceCommand):
    """The device gets the pushes for this account, and for no other."""

    type: Literal["xumm.device.registered"] = "xumm.device.registered"
    dataschema: Literal["urn:xumm-processor:command.device.registered:1"] = (
        "urn:xumm-processor:command.device.registered:1"
    )
    data: DeviceRegisteredData


class DeviceRemoved(DeviceCommand):
    """The device no longer gets the pushes for this account. No effect if it belongs to another account."""

    type: Literal["xumm.device.removed"] = "xumm.device.removed"
    dataschema: Literal["urn:xumm-processor:command.device.removed:1"] = "urn:xumm-processor:command.device.removed:1"
    data: DeviceRemovedData


AnyDeviceCommand = DeviceRegistered | DeviceRemoved
DEVICE_COMMANDS: Final[dict[str, type[DeviceCommand]]] = {
    model.model_fields["type"].default: model for model in get_args(AnyDeviceCommand)
}
"""Command type, such as ``xumm.device.removed``, to its model."""
