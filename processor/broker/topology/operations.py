"""`plan`, `apply` and `verify`: what an operator does with a topology."""

import structlog

from processor.broker.topology.difference import Plan, compare
from processor.broker.topology.management import Management, ManagementAccess
from processor.broker.topology.objects import Topology

_log = structlog.get_logger()


async def plan(access: ManagementAccess, topology: Topology) -> Plan:
    """The changes that `apply` would make, and the conflicts. Raises `TopologyError`."""
    async with Management(access) as management:
        return compare(topology, await management.read())


async def apply(access: ManagementAccess, topology: Topology) -> Plan:
    """Create and update what is missing or differs; delete nothing. Returns the differences it found.

    Conflicts and surplus bindings stay: `Change.mendable` tells. Applying again changes nothing. Raises
    `TopologyError`.
    """
    async with Management(access) as management:
        found = compare(topology, await management.read())
        for change in found.changes:
            if change.mendable:
                await management.write(change.target)
                _log.info("topology.changed", action=change.action, kind=change.kind, name=change.name)
            else:
                _log.warning("topology.differed", action=change.action, kind=change.kind, name=change.name)
    return found


async def verify(access: ManagementAccess, topology: Topology) -> Plan:
    """The differences that are left; `Plan.clean` when there is none. Raises `TopologyError`."""
    return await plan(access, topology)
