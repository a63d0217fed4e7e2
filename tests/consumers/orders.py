"""A consumer to test the runtime with: notes what it is told, and fails as told."""

import asyncio
from typing import Final

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select

from consumers.runtime.consumer import Consumer, Context, Resources
from schemas.events import ResolveRejected, ResolveValidated, SignOpened, SignSigned

METADATA: Final = MetaData()
effects: Final = Table(
    "effects",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("payload", String(36)),
    Column("sequence", String(10)),
)


class Orders(Consumer):
    """Notes effects, one row each, so that a repeated one shows."""

    bindings = ("#",)
    tables = METADATA

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self.failures: list[BaseException] = []
        self.begun: list[str] = []
        self.seen: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.stop = asyncio.Event()

    def note(self, event: ResolveValidated | ResolveRejected, transaction: Connection) -> None:
        transaction.execute(insert(effects).values(payload=event.subject, sequence=event.sequence))
        if self.failures:
            raise self.failures.pop(0)

    async def watch(self, event: SignOpened | SignSigned, context: Context) -> None:
        self.begun.append(event.id)
        if self.failures:
            raise self.failures.pop(0)
        await self.gate.wait()
        self.seen.append(event.id)


def effects_in(connection: Connection) -> list[tuple[str, str]]:
    """Payload and sequence of each effect, in order."""
    rows = connection.execute(select(effects.c.payload, effects.c.sequence).order_by(effects.c.number))
    return [(row.payload, row.sequence) for row in rows]
