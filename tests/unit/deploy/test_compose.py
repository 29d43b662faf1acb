"""docker-compose.yml and the Dockerfile, read as data: what a missing Docker engine would not let a test try."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import make_secrets
from deploy.embedded.programs import ROOT, SERVICES
from shared.service import SERVICES as ASKED_OVER_NATS
from shared.settings import Settings

STORES = {"nats", "mongo", "minio"}
SETTINGS = {f"ASSAY_{name}".upper() for name in Settings.model_fields}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]


def interpolated(text: str) -> set[str]:
    return set(re.findall(r"(?<!\$)\$\{(\w+)", text))


def test_it_has_the_stores_and_every_service() -> None:
    assert set(CONTAINERS) == STORES | set(SERVICES)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_a_health_check_a_restart_and_a_pinned_image(name: str) -> None:
    container = CONTAINERS[name]
    assert container["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert container["restart"] == "unless-stopped"
    assert re.search(r":[\w.-]*\d", container["image"])
    assert "container_name" not in container


@pytest.mark.parametrize(("name", "module"), SERVICES.items())
def test_a_service_runs_its_module_after_the_stores(name: str, module: str) -> None:
    container = CONTAINERS[name]
    assert container["command"] == ["python", "-m", module]
    assert container["depends_on"] == {store: {"condition": "service_healthy"} for store in STORES}
    assert container["build"]["dockerfile"] == "deploy/Dockerfile"


@pytest.mark.parametrize("name", ASKED_OVER_NATS)
def test_a_service_behind_the_broker_is_asked_over_it(name: str) -> None:
    assert CONTAINERS[name]["healthcheck"]["test"] == ["CMD", "python", "-m", "shared.service", name]


def test_the_gateway_asks_itself_and_is_published_on_the_loopback_address_alone() -> None:
    gateway = CONTAINERS["gateway"]
    assert "/readyz" in gateway["healthcheck"]["test"][-1]
    compile(gateway["healthcheck"]["test"][-1], "health check", "exec")
    assert gateway["ports"] == ["127.0.0.1:${ASSAY_PORT:-8080}:8080"]
    assert not [name for name, other in CONTAINERS.items() if "ports" in other and name != "gateway"]


def test_every_setting_that_is_given_is_a_known_one() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "deploy/nats.conf").read_text()
    assert set(re.findall(r"ASSAY_\w+", text)) <= SETTINGS


def test_only_who_needs_the_database_gets_it() -> None:
    without = {name for name in SERVICES if "ASSAY_MONGO_URL" not in CONTAINERS[name]["environment"]}
    assert without == {"predictor", "launcher"}


def test_what_runs_hostile_code_reaches_nothing_outside() -> None:
    assert COMPOSE["networks"]["parts"] == {"internal": True}
    assert CONTAINERS["scorer"]["networks"] == ["parts"]


def test_every_secret_is_required_and_made() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?run `make secrets` first\}", text))
    assert interpolated(text) - required == {"ASSAY_PORT", "ASSAY_ENDPOINT_ALLOW", "ASSAY_ENDPOINT_DENY"}
    assert required <= set(make_secrets.make())
    assert set(make_secrets.make()) - {"MONGO_PASSWORD"} <= SETTINGS


def test_the_image_has_the_pinned_packages_and_no_root() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    assert any("--require-hashes" in line and "requirements.lock" in line for line in lines)
    assert not any("requirements-dev.lock" in line for line in lines)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001"]
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    packed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied <= packed
    assert all((ROOT / name).exists() for name in packed)


def test_secrets_are_private_fresh_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert make_secrets.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_secrets.missing(path) == []
    first = path.read_bytes()
    assert not make_secrets.write(path)
    assert path.read_bytes() == first
    assert make_secrets.make() != make_secrets.make()


def test_an_incomplete_file_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    path.write_text("ASSAY_PORT=9090\nMONGO_PASSWORD=\n#ASSAY_SECRET_KEY=x\n")
    assert make_secrets.main(path) == 1
    said = capsys.readouterr().err
    assert all(name in said for name in make_secrets.make())
    assert path.read_text().startswith("ASSAY_PORT=9090")


def test_what_is_said_holds_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    assert make_secrets.main(path) == 0
    assert make_secrets.main(path) == 0
    said = capsys.readouterr().out
    values = [line.split("=", 1)[1] for line in path.read_text().splitlines() if "=" in line]
    assert not [value for value in values if value.removeprefix("admin:") in said]


def test_only_what_runs_programs_may_make_namespaces_and_has_what_makes_them() -> None:
    loose = {
        name for name, container in CONTAINERS.items() if "seccomp:unconfined" in container.get("security_opt", [])
    }
    assert loose == {"scorer"}
    assert CONTAINERS["scorer"]["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in CONTAINERS["scorer"]["security_opt"]
    assert " bubblewrap " in (ROOT / "deploy/Dockerfile").read_text()
