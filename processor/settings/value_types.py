"""How durations, lists, addresses, names and secrets are written in settings."""

import re
from base64 import b64decode
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

_SEALING_BYTES: Final = 32
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def _duration(value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else ""
    if _SECONDS.fullmatch(text):
        text = f"{text}s"
    if not _DURATION.fullmatch(text):
        return value
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text)))
    except OverflowError:
        raise ValueError("must be shorter than that") from None


def split(value: Any) -> Any:
    """The parts of a comma-separated text; anything else as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        raise ValueError("must not be empty: Xumm signs with an empty secret too, and so can everybody")
    if not _UUID.fullmatch(text):
        raise ValueError("must be the API secret as Xumm's console shows it: a UUID with its four dashes")
    if not text.strip("0-"):
        raise ValueError("must not consist of zeros")
    return value


def _address(schemes: tuple[str, ...], text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be a URL such as {schemes[0]}://host, with one of the schemes {', '.join(schemes)}")
    return text.rstrip("/")


def _http_address(text: str) -> str:
    return _address(("https", "http"), text)


def _api_address(text: str) -> str:
    address = _http_address(text)
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme == "http" and host not in _LOCAL_HOSTS and "." in host:
        raise ValueError("must be https: the API secret travels with every call")
    return address


def _public_address(text: str | None) -> str | None:
    return _api_address(text) if text else None


def _broker_addresses(value: SecretStr | None) -> SecretStr | None:
    addresses = split(value.get_secret_value()) if value is not None else []
    for address in addresses:
        parts = urlsplit(_address(("amqp", "amqps"), address))
        if parts.path.count("/") > 1:
            raise ValueError("must name one virtual host, with %2F for a slash in its name")
    return value if addresses else None


def _management_address(value: SecretStr | None) -> SecretStr | None:
    return (
        SecretStr(_http_address(value.get_secret_value())) if value is not None and value.get_secret_value() else None
    )


def _sealing_key(value: SecretStr) -> SecretStr:
    try:
        length = len(b64decode(value.get_secret_value(), validate=True))
    except ValueError:
        length = 0
    if length != _SEALING_BYTES:
        raise ValueError("must be 32 random bytes in base64: openssl rand -base64 32")
    return value


def _none_if_empty(value: Any) -> Any:
    return value or None


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin such as https://app.example.com, without a path")
    return text


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(0))]
HttpUrls = Annotated[
    tuple[Annotated[str, AfterValidator(_http_address)], ...], BeforeValidator(split), Field(min_length=1)
]
SealingSecrets = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_sealing_key)], ...], BeforeValidator(split), Field(max_length=8)
]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(split)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(split)]
AppleApps = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]{10}\.[A-Za-z0-9.-]{1,155}$")], ...], BeforeValidator(split)
]
AndroidPackage = Annotated[
    Annotated[str, Field(pattern=r"^[A-Za-z]\w*(?:\.[A-Za-z]\w*)+$", max_length=255)] | None,
    BeforeValidator(_none_if_empty),
]
Fingerprints = Annotated[
    tuple[Annotated[str, BeforeValidator(_upper), Field(pattern=r"^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$")], ...],
    BeforeValidator(split),
]
ApiSecret = Annotated[SecretStr, AfterValidator(_secret)]
Network = Annotated[str, BeforeValidator(_upper)]
Sha256 = Annotated[str, BeforeValidator(_lower), Field(pattern=r"^[0-9a-f]{64}$")]
QueueName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
Binding = Annotated[str, Field(pattern=r"^(?:[a-z0-9_-]+|[*#])(?:\.(?:[a-z0-9_-]+|[*#])){0,7}$")]
ApiUrl = Annotated[str, AfterValidator(_api_address)]
PublicUrl = Annotated[str | None, AfterValidator(_public_address)]
BrokerUrls = Annotated[SecretStr | None, AfterValidator(_broker_addresses)]
ManagementUrl = Annotated[SecretStr | None, AfterValidator(_management_address)]
Bindings = Annotated[tuple[Binding, ...], BeforeValidator(split), Field(min_length=1)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
