"""RabbitMQ's exchanges, queues, bindings and policies as code: the desired objects, the actual ones, and the
differences.

Everything goes through the management API, since no other interface sets policies. Nothing is ever deleted. Holds on
RabbitMQ 3.10, 4.0 and 4.3.
"""

from processor.broker.topology.desired import desired
from processor.broker.topology.difference import Change, Plan
from processor.broker.topology.management import ManagementAccess, TopologyError, parse_access
from processor.broker.topology.objects import Topology
from processor.broker.topology.operations import apply, plan, verify

__all__ = [
    "Change",
    "ManagementAccess",
    "Plan",
    "Topology",
    "TopologyError",
    "apply",
    "desired",
    "parse_access",
    "plan",
    "verify",
]
