import json

import pytest

from tests.commands.shell import Shell
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq


def test_topology_is_planned_applied_and_verified(shell: Shell, rabbitmq: RabbitMQ, amqp_url: str) -> None:
    """A fresh broker differs, applying mends it, and a second plan has nothing to do."""
    shell.set(PROCESSOR_AMQP_URL=amqp_url, PROCESSOR_AMQP_MANAGEMENT_URL=rabbitmq.management_url)

    assert shell("topology", "verify")[0] == 1
    code, out, _ = shell("topology", "plan", "--json")
    assert (code, {change["action"] for change in json.loads(out)}) == (0, {"create"})
    assert shell("topology", "apply")[0] == 0
    assert shell("topology", "verify") == (0, "The topology is as it should be.\n", "")


def test_topology_of_a_broker_out_of_reach(shell: Shell) -> None:
    """No management API: exit code 3, one line, and no password in it."""
    shell.set(PROCESSOR_AMQP_URL="amqp://u:hunter2@127.0.0.1:1/", PROCESSOR_AMQP_MANAGEMENT_URL="http://127.0.0.1:1")

    code, out, err = shell("topology", "plan")

    assert (code, out, "hunter2" in err, len(err.splitlines())) == (3, "", False, 1)
