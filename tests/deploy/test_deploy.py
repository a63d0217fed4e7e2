import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor.settings.loading import load
from processor.settings.service import Settings

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"
_LOCKS = ("requirements.lock", "deploy/requirements.lock", "deploy/build.lock", "tests/bench/requirements.lock")
_PINNED_IMAGE = re.compile(r"[a-z0-9./-]+:\d+\.\d+[\w.-]*@\$\{[A-Z]+_DIGEST(:\?[^}]*)?\}")
"""No image has this form unless its variable holds a digest: whatever else stands behind an @ is no reference."""
_OWN_IMAGE = re.compile(r"xumm-webhook-processor:\d+\.\d+\.\d+")
_REFERENCE = re.compile(r"\$\{(\w+)(:[?-][^}]*)?\}")
_REQUIREMENT = re.compile(r"^[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==\S+")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}")

COMPOSE: dict[str, Any] = yaml.safe_load((_DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = re.sub(r"\\\n\s*", " ", (_DEPLOY / "Dockerfile").read_text())
EXAMPLE = dict(
    line.split("=", 1)
    for line in (_DEPLOY / "processor.env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
FILLED_IN = EXAMPLE | {
    "RABBITMQ_PASSWORD": "s3cret",
    "PROCESSOR_APPLICATIONS__SHOP__API_KEY": "1b144141-440b-4fbc-a064-bfd1bdd3b0ce",
    "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": "bc0b1bbe-e1ee-46ea-a9b7-f8e5a1a1e0d4",
}


def test_compose_runs_broker_topology_service_and_consumers() -> None:
    """The compose file has the services that the documentation names, in this order."""
    assert list(SERVICES) == ["rabbitmq", "topology", "processor", "push", "app-state"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened(name: str) -> None:
    """No service writes to its root file system, holds a capability, gains privileges, or eats the machine."""
    service = SERVICES[name]
    hardening = {key: service.get(key) for key in ("read_only", "cap_drop", "security_opt", "cap_add", "privileged")}

    assert hardening == {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "cap_add": None,
        "privileged": None,
    }
    assert {"mem_limit", "pids_limit", "tmpfs"} <= service.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    """An image that is not built here is named with a version and a digest, which the operator has to give."""
    image = SERVICES[name]["image"]

    assert _OWN_IMAGE.fullmatch(image) or (":?" in image and _PINNED_IMAGE.fullmatch(image))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_how_its_health_is_known(name: str) -> None:
    """Each has a check of its own, or says that there is nothing to ask."""
    check = SERVICES[name]["healthcheck"]

    assert ("test" in check) != check.get("disable", False)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_can_come_true(name: str) -> None:
    """Whoever waits for health waits for a service with a check, whoever waits for an end for one that runs once."""
    for other, dependency in SERVICES[name].get("depends_on", {}).items():
        ends = str(SERVICES[other]["restart"]).startswith("on-failure")
        expected = "service_completed_successfully" if ends else "service_healthy"

        assert dependency["condition"] == expected
        assert ends or "test" in SERVICES[other]["healthcheck"]


def test_only_the_service_is_reachable_and_only_from_this_machine() -> None:
    """One port is published, on the loopback address."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"processor": ["127.0.0.1:8000:8000"]}


def test_volumes_and_networks_are_declared_and_no_volume_is_shared() -> None:
    """Every named volume and network exists; each volume has one user."""
    volumes = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    networks = {network for service in SERVICES.values() for network in service["networks"]}

    assert sorted(volumes) == sorted(COMPOSE["volumes"])
    assert networks == set(COMPOSE["networks"])


def test_what_compose_needs_stands_in_the_example() -> None:
    """Each variable that the compose file asks for is in the example, and nothing secret has a value there."""
    asked = {match[1] for match in _REFERENCE.finditer((_DEPLOY / "compose.yaml").read_text())}
    secrets = {name: value for name, value in EXAMPLE.items() if re.search(r"PASSWORD|SECRET|KEY|TOKEN", name)}

    assert asked - EXAMPLE.keys() == set()
    assert set(secrets.values()) == {""}


def test_consumers_get_no_secret_of_the_service() -> None:
    """Only the service and the topology command read the env file."""
    readers = {name for name, service in SERVICES.items() if "env_file" in service}

    assert readers == {"topology", "processor"}


def test_the_service_accepts_the_settings_it_is_deployed_with(tmp_path: Path) -> None:
    """Image, compose file and a filled-in example make valid settings: none unknown, port and data where declared."""
    settings = load(Settings, _environment_of("processor"), tmp_path).settings

    assert (settings.http_host, settings.http_port) == ("0.0.0.0", 8000)  # noqa: S104
    assert settings.database_url == f"sqlite:///{_volume_of('processor')}/processor.db"
    assert settings.amqp_urls == ("amqp://processor:s3cret@rabbitmq:5672/",)
    assert list(settings.applications) == ["shop"]


def test_the_topology_command_accepts_the_same(tmp_path: Path) -> None:
    """The one-shot command declares on the broker that the service publishes to."""
    settings, service = (load(Settings, _environment_of(name), tmp_path).settings for name in ("topology", "processor"))

    assert (settings.amqp_urls, settings.queues) == (service.amqp_urls, service.queues)


@pytest.mark.parametrize("name", ["push", "app-state"])
def test_a_consumer_accepts_the_settings_it_is_deployed_with(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ``CONSUMERS_…`` name is a setting, the values are valid, and data go where the volume is."""
    from consumers.runtime.discovery import all_settings
    from consumers.runtime.settings import load_settings

    environment = {key: value for key, value in _environment_of(name).items() if key.startswith("CONSUMERS_")}
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(all_settings()).settings

    assert {key.removeprefix("CONSUMERS_").lower() for key in environment} <= type(settings).model_fields.keys()
    assert settings.brokers == ("amqp://processor:s3cret@rabbitmq:5672/",)
    assert settings.database_of(name) == f"sqlite:///{_volume_of(name)}/{name}.db"


def test_no_other_names_are_set() -> None:
    """What is neither a setting of ours nor known to RabbitMQ or Python is a slip of the pen."""
    known = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "RABBITMQ_USER", "RABBITMQ_PASSWORD"}
    known |= {"RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "PYTHON_DIGEST", "RABBITMQ_DIGEST"}
    ours = {name for name in _environment() if name.startswith(("PROCESSOR_", "CONSUMERS_"))}

    assert _environment().keys() - ours - known == set()


def test_the_image_runs_as_an_unprivileged_user() -> None:
    """The last stage ends as a numeric user who is not root, so that Kubernetes can tell, too."""
    user = re.findall(r"^USER (\S+)$", _last_stage(), re.MULTILINE)

    assert [re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", name) is not None for name in user] == [True]


def test_the_image_has_a_pinned_base_a_volume_and_a_health_check() -> None:
    """Both stages stand on one base with a version and a digest that has no default; data and health are declared."""
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    arguments = re.findall(r"^ARG (.+)$", DOCKERFILE, re.MULTILINE)
    given = SERVICES["topology"]["build"]["args"]
    instructions = {line.split(" ", 1)[0] for line in _last_stage().splitlines()}

    assert [True] == [_PINNED_IMAGE.fullmatch(base) is not None for base in bases]
    assert (["PYTHON_DIGEST"], ["PYTHON_DIGEST"]) == (arguments, list(given))
    assert given["PYTHON_DIGEST"].startswith("${PYTHON_DIGEST:?")
    assert "# syntax=" not in DOCKERFILE
    assert {"VOLUME", "HEALTHCHECK", "ENTRYPOINT", "CMD", "EXPOSE"} <= instructions


def test_the_image_asks_for_health_where_compose_does() -> None:
    """The image and the compose file make the same health check."""
    image = re.search(r"^HEALTHCHECK .*?CMD (\[.*\])$", _last_stage(), re.MULTILINE)

    assert image
    assert ["CMD", *yaml.safe_load(image[1])] == SERVICES["processor"]["healthcheck"]["test"]


def test_what_the_image_copies_exists_and_reaches_the_build() -> None:
    """Every source of a COPY is in the repository and let through by ``.dockerignore``."""
    ignore = (_ROOT / ".dockerignore").read_text().splitlines()
    passed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = set(_copied())

    assert "*" in ignore
    assert {source for source in copied if not (_ROOT / source).exists()} == set()
    assert copied == passed


def test_the_image_installs_nothing_without_a_hash() -> None:
    """Each installation is held to a lock file, or to the wheel made right before without any index."""
    installations = re.findall(r"-m pip .*?install (.*?)(?: && |$)", DOCKERFILE, re.MULTILINE)

    assert installations
    for options in installations:
        assert "--require-hashes" in options or {"--no-deps", "--no-index"} <= set(options.split())


@pytest.mark.parametrize("name", _LOCKS)
def test_a_lock_pins_versions_and_hashes_and_no_place(name: str) -> None:
    """A lock has exact versions, a hash or more for each, and says nothing of where to fetch them."""
    lines = (_ROOT / name).read_text().splitlines()
    joined = "\n".join(lines).replace(" \\\n", " ").splitlines()
    strangers = [line for line in lines if not _REQUIREMENT.match(line) and not _HASH.match(line)]

    assert lines
    assert strangers == []
    assert [line for line in joined if "--hash=sha256:" not in line] == []


@pytest.mark.parametrize("name", _LOCKS[1:])
def test_the_locks_agree(name: str) -> None:
    """What is deployed and measured is what was tested: a shared package has one version."""
    tested = _pins("requirements.lock")
    other = _pins(name)

    assert {package: other[package] for package in other.keys() & tested.keys()} == {
        package: tested[package] for package in other.keys() & tested.keys()
    }


def _pins(name: str) -> dict[str, str]:
    lines = (_ROOT / name).read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if _REQUIREMENT.match(line))


def _last_stage() -> str:
    return DOCKERFILE.rpartition("\nFROM ")[2]


def _copied() -> Iterator[str]:
    for arguments in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        yield from arguments.split()[:-1]


def _environment() -> dict[str, str]:
    """All variables that image, compose file and example set, by name."""
    services = [service.get("environment", {}) for service in SERVICES.values()]
    return _image_environment() | EXAMPLE | {name: value for service in services for name, value in service.items()}


def _environment_of(name: str) -> dict[str, str]:
    """What a service sees once the example is filled in."""
    service = SERVICES[name]
    file = FILLED_IN if "env_file" in service else {}
    own = {key: _REFERENCE.sub(_filled_in, value) for key, value in service.get("environment", {}).items()}
    return _image_environment() | file | own


def _filled_in(reference: re.Match[str]) -> str:
    return FILLED_IN.get(reference[1]) or (reference[2] or "").removeprefix(":-")


def _image_environment() -> dict[str, str]:
    settings = " ".join(re.findall(r"^ENV(.*)$", _last_stage(), re.MULTILINE))
    return dict(re.findall(r"(?<= )([A-Z_]+)=(\S+)", settings))


def _volume_of(name: str) -> str:
    [volume] = SERVICES[name]["volumes"]
    return str(volume.split(":")[1])
