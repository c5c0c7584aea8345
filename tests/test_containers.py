"""The Dockerfiles and docker-compose.yml, without a Docker engine (tests/docker runs them)."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from deployment import (
    FLOWER_PORT,
    METRICS_PORT,
    SETTINGS,
    assert_variables_exist,
    fill_in,
    parse_command,
)
from helpers import free_port
from programs import find_program

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "monitoring"
COMPOSE = yaml.safe_load(fill_in((ROOT / "docker-compose.yml").read_text("utf-8")))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILES = [ROOT / "Dockerfile.beat", ROOT / "Dockerfile.worker"]
#: Settings that the images give (ALIVE_FILE), or that have their place by convention (SECRETS_DIR).
NOT_PASSED_ON = {"CRON_TASKS_ALIVE_FILE", "CRON_TASKS_SECRETS_DIR"}
COMMANDS = {name: shlex.split(each["command"]) for name, each in OURS.items() if "command" in each}
COMMANDS |= {
    path.name: json.loads(re.findall(r"^CMD (\[.*\])$", path.read_text(), re.MULTILINE)[-1])
    for path in DOCKERFILES
}
PROMETHEUS = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_one_that_its_program_takes(name: str) -> None:
    parse_command(COMMANDS[name])


@pytest.mark.parametrize(
    "wrong",
    ["celery -A cron_tasks worker --gossipless", "celery -A cron_tasks worker --concurrency x",
     "cron-tasks health bot", "python -m cron_tasks.demo.bot --jobs 3"],
)  # fmt: skip
def test_a_wrong_command_is_noticed(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parse_command(shlex.split(wrong))


@pytest.mark.parametrize("name", OURS)
def test_a_service_passes_on_settings_that_exist_and_all_of_them(name: str) -> None:
    assert_variables_exist(OURS[name]["environment"])
    assert OURS[name]["environment"].keys() >= SETTINGS - NOT_PASSED_ON


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_sets_variables_that_exist(path: Path) -> None:
    ours = dict(re.findall(r"\b(CRON_TASKS_\w+)=(\S+)", path.read_text()))
    assert_variables_exist(ours)
    assert ours


def test_two_beats_run_by_default() -> None:
    assert SERVICES["beat"]["scale"] == 2
    assert parse_command(shlex.split(SERVICES["beat"]["healthcheck"]["test"])).params["part"] == (
        "beat"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_only_open_on_this_machine(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"valkey"}))
def test_a_container_can_do_nothing_that_it_need_not(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"] == COMPOSE["x-logging"]


@pytest.mark.parametrize("name", OURS)
def test_the_base_image_may_have_a_digest(name: str) -> None:
    build = OURS[name]["build"]
    dockerfile = (ROOT / build["dockerfile"]).read_text()
    default = build["args"]["PYTHON_IMAGE"]
    assert f"\nARG PYTHON_IMAGE={default}\n" in dockerfile
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert "ARG EXTRAS" in dockerfile
    for extra in build["args"].get("EXTRAS", "runtime").split(","):
        assert (ROOT / "requirements" / f"{extra}.txt").exists()


def test_prometheus_scrapes_beats_workers_and_flower() -> None:
    for name in ("beat", "worker"):
        assert int(OURS[name]["environment"]["CRON_TASKS_METRICS_PORT"]) == METRICS_PORT
    [job] = PROMETHEUS["scrape_configs"]
    [found] = job["dns_sd_configs"]
    assert (found["names"], found["port"]) == (["beat", "worker"], METRICS_PORT)
    assert job["static_configs"] == [{"targets": [f"flower:{FLOWER_PORT}"]}]
    assert {*found["names"], "flower"} <= OURS.keys()
    assert SERVICES["flower"]["ports"] == [f"127.0.0.1:{FLOWER_PORT}:{FLOWER_PORT}"]


def test_prometheus_is_started_as_it_wants() -> None:
    """Debian's Prometheus starts with these options, and would exit at an unknown one."""
    service = SERVICES["prometheus"]
    assert service["profiles"] == ["monitoring"]
    options = shlex.split(service["command"])
    done = subprocess.run(
        [find_program("prometheus"), *options, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    [config] = [each for each in options if each.startswith("--config.file=")]
    folder, _, file = config.removeprefix("--config.file=").rpartition("/")
    assert mounts["./monitoring/prometheus"] == folder
    assert (MONITORING / "prometheus" / file).exists()
    assert f"--storage.tsdb.path={mounts['prometheus']}" in options
    check = service["healthcheck"]["test"].replace(":9090", f":{free_port()}")
    promtool, *arguments = shlex.split(check)
    unhealthy = subprocess.run([find_program(promtool), *arguments], capture_output=True, text=True)
    assert unhealthy.returncode != 0
    assert "connection refused" in unhealthy.stderr


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """The fields are those of Grafana's manual, "Provision Grafana"."""
    service = SERVICES["grafana"]
    assert service["profiles"] == ["monitoring"]
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert mounts["./monitoring/grafana/provisioning"] == "/etc/grafana/provisioning"
    folder = MONITORING / "grafana" / "provisioning"

    [sources] = [yaml.safe_load(each.read_text()) for each in (folder / "datasources").iterdir()]
    assert sources["apiVersion"] == 1
    [source] = sources["datasources"]
    known = {"name", "uid", "type", "access", "url", "isDefault", "jsonData"}
    assert source.keys() == known
    assert (source["type"], source["access"], source["isDefault"]) == ("prometheus", "proxy", True)
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert SERVICES[host]["ports"][0].endswith(f":{port}")
    interval = PROMETHEUS["global"]["scrape_interval"]
    assert source["jsonData"] == {"timeInterval": interval}

    [providers] = [yaml.safe_load(each.read_text()) for each in (folder / "dashboards").iterdir()]
    assert providers["apiVersion"] == 1
    [provider] = providers["providers"]
    known = {"name", "type", "disableDeletion", "allowUiUpdates", "updateIntervalSeconds"}
    assert provider.keys() == known | {"options"}
    path = mounts["./monitoring/grafana/dashboard.json"]
    assert provider["options"] == {"path": path.rpartition("/")[0]}
    assert service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == path


def test_grafana_has_no_login_that_could_be_guessed() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
