from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processor.api.sign_in.provider import build_client
from processor.core.delivery.signature import key_of
from processor.settings.loading import Configuration, load
from processor.settings.program import SettingsError
from processor.settings.service import Settings, applications_of, secrets_of

KEY = "aaaaaaaa-90ab-4cde-8f01-234567890abc"
SECRET = "12345678-90ab-4cde-8f01-234567890abc"
OLD_SECRET = "22345678-90ab-4cde-8f01-234567890abc"
SHOP = {"PROCESSOR_APPLICATIONS__SHOP__API_KEY": KEY, "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": SECRET}


def settings(directory: Path, **variables: str) -> Settings:
    return load(Settings, {f"PROCESSOR_{name}": value for name, value in variables.items()}, directory).settings


def problems(directory: Path, variables: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(Settings, variables, directory)
    return str(caught.value).splitlines()


def test_starts_from_defaults_without_any_source(tmp_path: Path) -> None:
    """Nothing set means local defaults and no broker, whatever the process environment holds."""
    loaded = load(Settings, {}, tmp_path).settings

    assert (Settings(), "127.0.0.1", ()) == (loaded, loaded.http_host, loaded.amqp_urls)


def test_environment_wins_over_dotenv_over_file_over_default(tmp_path: Path) -> None:
    """The first source that has a setting gives it, and is remembered."""
    (tmp_path / "processor.toml").write_text('http_port = 1\nhttp_host = "file"\nlog_level = "error"\n')
    (tmp_path / ".env").write_text("PROCESSOR_HTTP_PORT=2\nPROCESSOR_HTTP_HOST=dotenv\n")

    loaded = load(Settings, {"PROCESSOR_HTTP_PORT": "3"}, tmp_path)

    found = {
        name: (getattr(loaded.settings, name), loaded.origin((name,)))
        for name in ("http_port", "http_host", "log_level", "log_format")
    }
    assert found == {
        "http_port": (3, "environment"),
        "http_host": ("dotenv", ".env"),
        "log_level": ("error", "processor.toml"),
        "log_format": ("auto", "default"),
    }


def test_reads_the_file_that_is_named(tmp_path: Path) -> None:
    """PROCESSOR_CONFIG_FILE replaces processor.toml, and must exist."""
    (tmp_path / "other.toml").write_text(f'[applications.shop]\napi_key = "{KEY}"\napi_secret = "{SECRET}"\n')

    loaded = load(Settings, {"PROCESSOR_CONFIG_FILE": "other.toml"}, tmp_path)

    assert list(loaded.settings.applications) == ["shop"]
    assert [line.partition(": ")[2] for line in problems(tmp_path, {"PROCESSOR_CONFIG_FILE": "absent.toml"})] == [
        "cannot be read: FileNotFoundError"
    ]


def test_merges_one_application_from_several_sources(tmp_path: Path) -> None:
    """The file may hold the public part and the environment the secret."""
    (tmp_path / "processor.toml").write_text(f'[applications.shop]\napi_key = "{KEY}"\nnetwork = "testnet"\n')

    loaded = load(Settings, {"PROCESSOR_APPLICATIONS__SHOP__API_SECRET": SECRET}, tmp_path)

    assert (
        loaded.settings.applications["shop"].network,
        loaded.origin(("applications", "shop", "api_secret")),
        loaded.origin(("applications", "shop", "api_key")),
    ) == ("TESTNET", "environment", "processor.toml")


def test_makes_an_application_with_its_keys(tmp_path: Path) -> None:
    """The current secret and those being rotated out become HMAC keys."""
    previous = f'[{{"secret": "{OLD_SECRET}", "not_after": "2030-01-01T00:00:00Z"}}]'
    loaded = load(Settings, SHOP | {"PROCESSOR_APPLICATIONS__SHOP__PREVIOUS_SECRETS": previous}, tmp_path).settings

    shop = applications_of(loaded)["shop"]

    assert [key_of(SECRET), key_of(OLD_SECRET)] == shop.keys(datetime(2029, 1, 1, tzinfo=UTC))
    assert [key_of(SECRET)] == shop.keys(datetime(2031, 1, 1, tzinfo=UTC))


def test_makes_a_client_of_the_provider(tmp_path: Path) -> None:
    """With its secrets as they stand, and nothing that the operator did not ask for."""
    previous = f'[{{"secret": "{OLD_SECRET}", "not_after": "2030-01-01T00:00:00Z"}}]'
    more = {"PREVIOUS_SECRETS": previous, "OAUTH2_URL": "https://oauth2.xumm.app/"}
    changes = {f"PROCESSOR_APPLICATIONS__SHOP__{name}": value for name, value in more.items()}

    shop = build_client("shop", load(Settings, SHOP | changes, tmp_path).settings.applications["shop"])

    assert (shop.app, shop.api_key, shop.provider) == ("shop", KEY, "https://oauth2.xumm.app")
    assert (shop.deep_links, shop.xapp_tokens) == (frozenset(), False)
    assert shop.secrets_at(datetime(2029, 1, 1, tzinfo=UTC)) == [SECRET, OLD_SECRET]
    assert shop.secrets_at(datetime(2030, 1, 1, tzinfo=UTC)) == [SECRET]
    assert SECRET not in repr(shop)


def with_links(*links: str, public_url: str = "https://service.example") -> dict[str, str]:
    return SHOP | {
        "PROCESSOR_APPLICATIONS__SHOP__DEEP_LINKS": ",".join(links),
        **({"PROCESSOR_PUBLIC_URL": public_url} if public_url else {}),
    }


def test_reads_deep_links(tmp_path: Path) -> None:
    """Universal links, links of a scheme of one's own, and this machine's, for desktops."""
    links = (
        "yourapp://signin",
        "https://shop.example/app?x=1",
        "com.example.shop://in/a",
        "com.example.app:/oauth2redirect",
        "com.example.app:/oauth2redirect/a?x=1",
        "http://127.0.0.1:3000/back",
    )

    assert load(Settings, with_links(*links), tmp_path).settings.applications["shop"].deep_links == links


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "javascript://x/%0aalert(1)",
        "data:text/html",
        "intent://x/#Intent;end",
        "file:///etc/passwd",
        "//host/path",
        "yourapp:signin",
        "yourapp:/",
        "yourapp:/a#b",
        "https:/shop.example/app",
        "http:/127.0.0.1:3000/back",
        "javascript:/alert(1)",
        "xumm://x",
        "mailto:/x",
        "yourapp://",
        "https://user@host/path",
        "https://host/path#fragment",
        "https://host\\@evil.com/",
        'https://host/"onload=',
        "https://host/a b",
        "https://höst/",
        "http://shop.example/",
        "https://host/" + "x" * 500,
        "HTTPS://host/",
    ],
)
def test_refuses_what_is_no_deep_link(tmp_path: Path, link: str) -> None:
    """A list of ways back is worth as much as what may stand in it."""
    found = problems(tmp_path, with_links(link))

    assert ["DEEP_LINKS" in line for line in found] == [True]


def test_signing_in_needs_an_address_of_ours(tmp_path: Path) -> None:
    """The provider has to send users back to this service first."""
    (found,) = problems(tmp_path, with_links("yourapp://signin", public_url=""))

    assert found.endswith("nobody can sign in while public_url is not set")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", timedelta(seconds=90)),
        ("0.5", timedelta(seconds=0.5)),
        ("250ms", timedelta(milliseconds=250)),
        ("1h30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("PT90S", timedelta(seconds=90)),
    ],
)
def test_reads_durations(tmp_path: Path, text: str, expected: timedelta) -> None:
    """A duration is seconds, number and unit, or ISO 8601."""
    assert expected == settings(tmp_path, BODY_TIMEOUT=text).body_timeout


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0", "9" * 30 + "d", "5 parsecs"])
def test_refuses_what_is_no_duration(tmp_path: Path, text: str) -> None:
    """What is none, or not positive, or out of range, is named with its setting."""
    found = problems(tmp_path, {"PROCESSOR_BODY_TIMEOUT": text})

    assert [line.partition(": ")[0] for line in found] == ["PROCESSOR_BODY_TIMEOUT (body_timeout, from environment)"]


@pytest.mark.parametrize(
    "secret",
    ["", "hunter2-hunter2", SECRET.replace("-", ""), "00000000-0000-0000-0000-000000000000", f"{SECRET} ", KEY],
)
def test_refuses_secrets_that_protect_nothing(tmp_path: Path, secret: str) -> None:
    """Empty, malformed, all-zero secrets, and the public API key, are refused without being repeated."""
    found = problems(tmp_path, SHOP | {"PROCESSOR_APPLICATIONS__SHOP__API_SECRET": secret})

    assert [line.partition(": ")[0] for line in found] == [
        "PROCESSOR_APPLICATIONS__SHOP__API_SECRET (applications.shop.api_secret, from environment)"
    ]
    assert not secret or secret not in "".join(found)


def test_names_every_problem_at_once(tmp_path: Path) -> None:
    """All that is wrong is told in one go, each by its two names and its source."""
    (tmp_path / ".env").write_text("PROCESSOR_HTTP_PRT=1\n")

    found = problems(
        tmp_path,
        {
            "PROCESSOR_HTTP_PORT": "70000",
            "PROCESSOR_APPLICATIONS__SHOP__API_SECRT": SECRET,
            "PROCESSOR_LEDGER_URLS__TESTNET": "gopher://old",
        },
    )

    assert found == [
        "PROCESSOR_HTTP_PRT (http_prt, from .env): there is no such setting; did you mean http_port?",
        "PROCESSOR_APPLICATIONS__SHOP__API_KEY (applications.shop.api_key): is required",
        "PROCESSOR_APPLICATIONS__SHOP__API_SECRET (applications.shop.api_secret): is required",
        (
            "PROCESSOR_APPLICATIONS__SHOP__API_SECRT (applications.shop.api_secrt, from environment): "
            "there is no such setting; did you mean api_secret?"
        ),
        "PROCESSOR_HTTP_PORT (http_port, from environment): should be less than or equal to 65535",
        (
            "PROCESSOR_LEDGER_URLS__TESTNET__0 (ledger_urls.testnet.0, from environment): "
            "must be a URL such as https://host, with one of the schemes https, http"
        ),
    ]


def test_names_contradictions_between_settings(tmp_path: Path) -> None:
    """A network without nodes and an API key used twice are found, too."""
    twin = {name.replace("SHOP", "TWIN"): value for name, value in SHOP.items()}

    found = problems(tmp_path, SHOP | twin | {"PROCESSOR_APPLICATIONS__SHOP__NETWORK": "MARSNET"})

    assert found == [
        (
            "PROCESSOR_APPLICATIONS__SHOP__NETWORK (applications.shop.network, from environment): "
            "ledger_urls has no nodes of MARSNET"
        ),
        (
            "PROCESSOR_APPLICATIONS__TWIN__API_KEY (applications.twin.api_key, from environment): "
            "must differ from that of applications.shop"
        ),
    ]


def test_ignores_variables_that_others_put_there(tmp_path: Path) -> None:
    """Kubernetes' service links and Windows' description of its CPU are none of ours."""
    loaded = load(
        Settings,
        {
            "PROCESSOR_SERVICE_HOST": "10.0.0.1",
            "PROCESSOR_PORT": "tcp://10.0.0.1:8000",
            "PROCESSOR_PORT_8000_TCP_ADDR": "10.0.0.1",
            "PROCESSOR_IDENTIFIER": "Intel64 Family 6",
        },
        tmp_path,
    )

    assert Settings() == loaded.settings
    assert [line.partition(": ")[0] for line in problems(tmp_path, {"PROCESSOR_HTP_PORT": "8000"})] == [
        "PROCESSOR_HTP_PORT (htp_port, from environment)"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AMQP_URL", "amqp://user:hunter2@[broken"),
        ("AMQP_URL", "http://user:hunter2@host"),
        ("AMQP_MANAGEMENT_URL", "amqp://user:hunter2@host"),
        ("DATABASE_URL", "mysql://user:hunter2@host/name"),
        ("XUMM_URL", "http://user:hunter2@xumm.app"),
        ("APPLICATIONS", '{"shop": {"api_secret": "hunter2'),
    ],
)
def test_never_repeats_what_it_refuses(tmp_path: Path, name: str, value: str) -> None:
    """A message names the setting and not its value: there may be a password in it."""
    found = problems(tmp_path, {f"PROCESSOR_{name}": value})

    assert [f"PROCESSOR_{name} ({name.lower()}, from environment)"] == [line.partition(": ")[0] for line in found]
    assert "hunter2" not in "".join(found)


def test_refuses_to_send_the_secret_in_the_clear(tmp_path: Path) -> None:
    """Plain http to Xumm is for a sandbox beside the service."""
    expected = "http://127.0.0.1:9000"

    assert expected == settings(tmp_path, XUMM_URL=f"{expected}/").xumm_url
    assert [line.partition(": ")[2] for line in problems(tmp_path, {"PROCESSOR_XUMM_URL": "http://xumm.app"})] == [
        "must be https: the API secret travels with every call"
    ]


@pytest.mark.parametrize(
    ("amqp", "management"),
    [
        ("amqp://u:p%40@rabbit:5673/%2F,amqp://other", "http://u:p%40@rabbit:15672"),
        ("amqps://u:p@[::1]/x", "https://u:p@[::1]:15671"),
        ("amqp://rabbit", "http://guest:guest@rabbit:15672"),
    ],
)
def test_derives_the_management_address(tmp_path: Path, amqp: str, management: str) -> None:
    """The management API is on the first broker, with its user, unless it is said where."""
    url = settings(tmp_path, AMQP_URL=amqp).management_url

    assert url is not None
    assert management == url.get_secret_value()


def test_keeps_default_ledgers_beside_those_given(tmp_path: Path) -> None:
    """Naming one network's nodes leaves the others as they were."""
    urls = settings(tmp_path, LEDGER_URLS__testnet="http://127.0.0.1:1,http://127.0.0.1:2").ledger_urls

    assert (("http://127.0.0.1:1", "http://127.0.0.1:2"), Settings().ledger_urls["MAINNET"]) == (
        urls["TESTNET"],
        urls["MAINNET"],
    )


def test_shows_no_secret_in_its_repr(tmp_path: Path) -> None:
    """Printing the settings by mistake betrays nothing."""
    loaded: Configuration[Settings] = load(
        Settings,
        SHOP | {"PROCESSOR_AMQP_URL": f"amqp://u:{SECRET}@h", "PROCESSOR_DATABASE_URL": f"postgresql://u:{SECRET}@h/x"},
        tmp_path,
    )

    assert SECRET not in repr(loaded.settings)


def test_lists_what_no_log_may_hold(tmp_path: Path) -> None:
    """Secrets as they are and as keys, and passwords as written and as meant."""
    loaded = load(
        Settings,
        SHOP
        | {
            "PROCESSOR_AMQP_URL": "amqp://u:p%40ss@h,amqp://u:other@h",
            "PROCESSOR_DATABASE_URL": "postgresql://u:pg@h/x",
        },
        tmp_path,
    )

    assert secrets_of(loaded.settings) == [SECRET, SECRET.replace("-", "", 1), "pg", "p%40ss", "p@ss", "other"]
