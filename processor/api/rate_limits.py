"""The rate limits that hold for all operations of one instance."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import ceil

from aiohttp import hdrs, web

from processor.core.access.client_address import IpNetwork, client_of
from processor.core.access.limits import CallLimits, Rank, RequestLimits
from processor.web.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Count calls. Each method that counts raises `Problem` if a limit is exceeded."""

    callers: CallLimits
    services: CallLimits
    requests: RequestLimits
    """Of each application's sign requests."""
    time: Callable[[], float]
    """Monotonic, in seconds."""
    proxies: Collection[IpNetwork] = ()
    """Proxies whose ``X-Forwarded-For`` is believed."""

    def count_caller(self, caller: str) -> None:
        """Count a call of a user, or of the holder of an exchange secret."""
        _check(self.callers.take(caller, self.time()))

    def count_service(self, key: str) -> None:
        """Count a call with the service key of this name."""
        _check(self.services.take(key, self.time()))

    def count_address(self, request: web.Request) -> None:
        """Count a call of an unidentified client by its address."""
        self.count_caller(f"address/{self.address_of(request)}")

    def count_request(self, app: str, rank: Rank, caller: str) -> None:
        """Count a sign request of an application that is created or cancelled."""
        _check(self.requests.take(app, rank, caller, self.time()))

    def address_of(self, request: web.Request) -> str:
        """Return the address by which an unidentified client is counted."""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
        return client_of(request.remote, forwarded, self.proxies)


def _check(wait: float) -> None:
    if wait:
        raise Problem("rate_limited", headers={hdrs.RETRY_AFTER: str(ceil(wait))})
