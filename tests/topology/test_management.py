import pytest

from processor.topology import ManagementAccess, parse_access


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
