import pytest
from aiohttp import web

from processor.broker.topology.desired import desired
from processor.broker.topology.management import ManagementAccess, TopologyError, parse_access
from processor.broker.topology.operations import plan


@pytest.mark.parametrize(
    ("management", "amqp", "access"),
    [
        (
            "http://broker:15672/",
            "amqp://u:p%2F@b1/shop,amqp://x:y@b2",
            ManagementAccess(url="http://broker:15672", user="u", password="p/", vhost="shop"),
        ),
        (
            "https://admin:s%40fe@broker/rabbit",
            "amqp://u:p@b1",
            ManagementAccess(url="https://broker/rabbit", user="admin", password="s@fe"),
        ),
        (
            "http://[::1]:1",
            "amqp://b",
            ManagementAccess(url="http://[::1]:1", user="guest", password="guest"),
        ),
    ],
)
def test_access_is_put_together_of_two_urls(management: str, amqp: str, access: ManagementAccess) -> None:
    """The AMQP URL names the virtual host, and the user where the management URL does not."""
    assert parse_access(management, amqp) == access


@pytest.mark.parametrize("url", ["broker:15672", "amqp://u:hunter2@b", "http://u:hun/ter2@b", "http://"])
def test_a_bad_management_url_is_refused_without_its_password(url: str) -> None:
    """The complaint repeats nothing of the URL."""
    with pytest.raises(ValueError, match=r"^management URL") as refused:
        parse_access(url, "amqp://b")

    assert "hun" not in str(refused.value)


def test_the_password_does_not_show() -> None:
    """Access can be logged."""
    assert "hunter2" not in repr(ManagementAccess(url="http://b", user="u", password="hunter2"))


@pytest.mark.parametrize("answer", ["{}", "[{}]", "[5]", "null", '[{"name": "x"}]', "<html>", "[" * 5000])
async def test_an_answer_of_another_form_is_told(answer: str) -> None:
    """What stands between may answer anything; the error is ours, and tells no password."""

    async def say(_: web.Request) -> web.Response:
        return web.Response(text=answer, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    access = ManagementAccess(url=f"http://{host}:{port}", user="u", password="hunter2")
    try:
        with pytest.raises(TopologyError) as raised:
            await plan(access, desired())
    finally:
        await runner.cleanup()

    assert "hunter2" not in str(raised.value)
