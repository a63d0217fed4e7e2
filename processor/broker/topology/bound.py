"""The queues that the exchange of events routes to, by the broker or else by the settings."""

import asyncio
from typing import Final

from processor.broker.topology.management import Management, TopologyError, parse_access
from processor.core.publishing.debts import BindingsUnknown, QueueBindings
from processor.settings.service import Settings
from schemas.topology import EXCHANGE, LOG

_SECONDS: Final = 5.0
"""How long RabbitMQ's management API may take."""


class BoundQueues:
    """The relay's source of queue bindings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def expected(self) -> QueueBindings:
        """The queues that `processor topology apply` binds."""
        topics = dict(self._settings.queues)
        if self._settings.topology.log:
            topics[LOG] = ("#",)
        return QueueBindings(topics=topics, complete=False)

    async def ask(self) -> QueueBindings:
        """The queues that are bound now; without a management URL the expected ones. Raises `BindingsUnknown`."""
        url = self._settings.management_url
        if url is None:
            return self.expected
        try:
            access = parse_access(url.get_secret_value(), self._settings.amqp_urls)
            async with asyncio.timeout(_SECONDS), Management(access) as management:
                return await management.bound(EXCHANGE)
        except (TopologyError, TimeoutError, ValueError, LookupError, TypeError) as error:
            raise BindingsUnknown(str(error) or type(error).__name__) from error
