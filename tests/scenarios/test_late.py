"""A signature that comes late: after all patience, which a human is told, or long after somebody lied of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from processor.core.payload.state import Fact, Flag
from processor.sandbox.faults import Faults, SocketFault
from processor.sandbox.server import Sandbox
from tests.scenarios.system import GRACE, System, opened, until

APP: Final = "shop"
SIGN_IN: Final[dict[str, Any]] = {"txjson": {"TransactionType": "SignIn"}, "options": {"expire": 2}}


@pytest.mark.parametrize(("end", "name"), [(Sandbox.cancel, "cancelled"), (Sandbox.expire, "expired")])
async def test_signature_after_the_grace_is_flagged(
    tmp_path: Path, end: Callable[[Sandbox, str], object], name: str
) -> None:
    """The payload was published as ended in the end, and stays so; the flag says that somebody signed after all."""
    async with opened(tmp_path, [APP]) as system:
        uuid = (await system.create(APP, SIGN_IN, faults=Faults(cancel="racing"))).uuid
        system.sandbox.open(uuid)
        end(system.sandbox, uuid)
        await system.advance(100)
        early = _ends(system, uuid)
        await system.advance(GRACE.total_seconds() + 120, step=30)
        system.sandbox.sign(uuid)

        async def flagged() -> bool:
            return (await system.state(uuid)).flags != 0

        await until(flagged, what="the webhook was heard")
        await system.advance(600, step=60)
        await system.published()
        flags, ends = (await system.state(uuid)).flags, _ends(system, uuid)

    assert ([], [f"xumm.resolve.{name}"]) == (early, ends)
    assert Flag.LATE_OUTCOME == flags


@pytest.mark.parametrize("lie", ["lying", "lying_rejected", "lying_expired"])
async def test_lie_keeps_a_payload_from_no_end(tmp_path: Path, lie: SocketFault) -> None:
    """More than a day after a socket lied, nobody was asked for help, and whoever signs then is heard as ever."""
    week = SIGN_IN | {"options": {"expire": 7 * 24 * 60}}
    async with opened(tmp_path, [APP], driven_budget=True) as system:
        uuid = (await system.create(APP, week, faults=Faults(socket=lie))).uuid

        async def lied_to() -> bool:
            return (await system.state(uuid)).facts != 0

        await until(lied_to, what="the lie was heard")
        await system.advance(3600, step=60)
        await system.advance(25 * 3600, step=3600)
        before = (await system.state(uuid)).flags, _ends(system, uuid)
        system.sandbox.sign(uuid)

        async def told() -> bool:
            return bool((await system.state(uuid)).facts & Fact.DELIVERED)

        await until(told, what="the webhook was heard")
        await system.advance(10)
        await system.published()
        ends = _ends(system, uuid)

    assert (0, []) == before
    assert ["xumm.resolve.signed"] == ends


def _ends(system: System, uuid: str) -> list[str]:
    return [event["type"] for event in system.of(uuid) if event["type"].startswith("xumm.resolve.")]
