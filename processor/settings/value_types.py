"""The types of settings: durations, lists, addresses, names and secrets."""

import re
from base64 import b64decode
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from schemas.text import is_uuid

_SEALING_BYTES: Final = 32
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def _parse_duration(value: Any) -> Any:
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
    """The parts of a comma-separated text, as a list; any other value as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        raise ValueError("must not be empty: Xumm signs with an empty secret too, and so can everybody")
    if not is_uuid(text):
        raise ValueError("must be the API secret as Xumm's console shows it: a UUID with its four dashes")
    if not text.strip("0-"):
        raise ValueError("must not consist of zeros")
    return value


def check_address(schemes: tuple[str, ...], text: str) -> str:
    """``text`` without a slash at its end. Raises `ValueError` if it is no URL with a host and one of ``schemes``."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be a URL such as {schemes[0]}://host, with one of the schemes {', '.join(schemes)}")
    return text.rstrip("/")


def _check_http_address(text: str) -> str:
    return check_address(("https", "http"), text)


def _check_api_address(text: str) -> str:
    address = _check_http_address(text)
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme == "http" and host not in _LOCAL_HOSTS and "." in host:
        raise ValueError("must be https: the API secret travels with every call")
    return address


def _check_broker_addresses(value: SecretStr | None) -> SecretStr | None:
    addresses = split(value.get_secret_value()) if value is not None else []
    for address in addresses:
        parts = urlsplit(check_address(("amqp", "amqps"), address))
        if parts.path.count("/") > 1:
            raise ValueError("must name one virtual host, with %2F for a slash in its name")
    return value if addresses else None


def _check_management_address(value: SecretStr | None) -> SecretStr | None:
    address = value.get_secret_value() if value else ""
    return SecretStr(_check_http_address(address)) if address else None


def _check_sealing_key(value: SecretStr) -> SecretStr:
    try:
        length = len(b64decode(value.get_secret_value(), validate=True))
    except ValueError:
        length = 0
    if length != _SEALING_BYTES:
        raise ValueError("must be 32 random bytes in base64: openssl rand -base64 32")
    return value


def _unset_if_empty(value: Any) -> Any:
    return value or None


def _check_origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin such as https://app.example.com, without a path")
    return text


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), Field(gt=timedelta(0))]
HttpUrls = Annotated[
    tuple[Annotated[str, AfterValidator(_check_http_address)], ...], BeforeValidator(split), Field(min_length=1)
]
SealingSecrets = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_check_sealing_key)], ...], BeforeValidator(split), Field(max_length=8)
]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(split)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(split)]
AppleApps = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]{10}\.[A-Za-z0-9.-]{1,155}$")], ...], BeforeValidator(split)
]
AndroidPackage = Annotated[
    Annotated[str, Field(pattern=r"^[A-Za-z]\w*(?:\.[A-Za-z]\w*)+$", max_length=255)] | None,
    BeforeValidator(_unset_if_empty),
]
Fingerprints = Annotated[
    tuple[Annotated[str, BeforeValidator(_upper), Field(pattern=r"^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$")], ...],
    BeforeValidator(split),
]
ConsoleSecret = Annotated[SecretStr, AfterValidator(_check_secret)]
NetworkName = Annotated[str, BeforeValidator(_upper)]
Sha256 = Annotated[str, BeforeValidator(_lower), Field(pattern=r"^[0-9a-f]{64}$")]
QueueName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
BindingKey = Annotated[str, Field(pattern=r"^(?:[a-z0-9_-]+|[*#])(?:\.(?:[a-z0-9_-]+|[*#])){0,7}$")]
ApiUrl = Annotated[str, AfterValidator(_check_api_address)]
PublicUrl = Annotated[ApiUrl | None, BeforeValidator(_unset_if_empty)]
BrokerUrls = Annotated[SecretStr | None, AfterValidator(_check_broker_addresses)]
ManagementUrl = Annotated[SecretStr | None, AfterValidator(_check_management_address)]
BindingKeys = Annotated[tuple[BindingKey, ...], BeforeValidator(split), Field(min_length=1)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
