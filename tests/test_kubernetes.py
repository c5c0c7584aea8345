"""The manifests in kubernetes/: kubectl builds them, the schemas accept them, and what
they say about our programs is true."""

import base64
import json
import re
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from command_line import CommandLine
from deployment import (
    FLOWER_PORT,
    METRICS_PORT,
    SETTINGS,
    assert_variables_exist,
    one,
    parse_command,
)
from flower_process import Flower
from helpers import wait_until
from processes import Celery
from programs import find_program
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.metrics import catalogue
from cron_tasks.settings import Settings
from cron_tasks.store import keys

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "kubernetes"
KUSTOMIZATIONS = ["base", "overlays/example", "overlays/autoscaling"]
#: The oldest version that the manifests are for, and the newest that the schemas know.
VERSIONS = ["1.31", kubernetes_validate.latest_version()]
KUBECTL = Path(sys.executable).with_name("kubectl")
DEPLOYMENTS = ["cron-tasks-beat", "cron-tasks-worker", "cron-tasks-flower"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
#: Seconds after its timeout until a run's process is killed, and until a message says so.
AFTER_TIMEOUT = 12
#: Seconds that a restart of Redis may take, with its whole file to read.
REDIS_IS_AWAY = 300


@cache
def build(name: str) -> list[dict[str, Any]]:
    """Build a kustomization as `kubectl apply -k` would, without a cluster."""
    done = subprocess.run(
        [KUBECTL, "kustomize", FOLDER / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return list(yaml.safe_load_all(done.stdout))


def find(documents: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    found: dict[str, Any] = one(
        each
        for each in documents
        if each["kind"] == kind and each["metadata"]["name"].startswith(name)
    )
    return found


def pod_of(name: str, kustomization: str = "base") -> dict[str, Any]:
    spec: dict[str, Any] = find(build(kustomization), "Deployment", name)["spec"]["template"]
    return spec


def container_of(name: str) -> dict[str, Any]:
    container: dict[str, Any] = one(pod_of(name)["spec"]["containers"])
    return container


def longest(probe: dict[str, Any]) -> int:
    """Return after how many seconds of failures the probe counts."""
    return int(probe["periodSeconds"] * probe.get("failureThreshold", 3))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_kubernetes_accept_every_document(version: str) -> None:
    """The other kustomizations make no further ones, but for KEDA's."""
    for document in build("overlays/example"):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_notice_a_wrong_field() -> None:
    wrong = json.loads(json.dumps(find(build("base"), "Deployment", "cron-tasks-beat")))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["period"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_can_do_nothing_that_it_need_not(name: str) -> None:
    spec = pod_of(name)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert find(build("base"), "ServiceAccount")["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    dockerfile = (ROOT / "Dockerfile.worker").read_text()
    user = int(one(re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)))
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = one(spec["containers"])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == container["resources"].keys()
    writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"/tmp"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_runs_a_command_that_its_program_takes(name: str) -> None:
    assert parse_command(container_of(name)["args"]).command.name == name.rpartition("-")[2]


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_settings_exist_and_all_are_there_that_a_pod_names(kustomization: str, name: str) -> None:
    documents = build(kustomization)
    container = one(pod_of(name, kustomization)["spec"]["containers"])
    named = one(container["envFrom"])["configMapRef"]["name"]
    assert_variables_exist(find(documents, "ConfigMap", named)["data"])
    own = {each["name"]: each.get("value") for each in container["env"]}
    folder = own.pop("CRON_TASKS_SECRETS_DIR")
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts["secrets"] == folder
    assert_variables_exist(own)


def test_the_secret_has_what_pods_want() -> None:
    documents = build("overlays/example")
    secret = find(documents, "Secret")
    data = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert_variables_exist(data)
    used = {"FLOWER_BASIC_AUTH", "CRON_TASKS_REDIS_URL"}
    assert used <= data.keys()
    service = find(documents, "Service", "valkey")
    assert data["CRON_TASKS_REDIS_URL"] == (
        f"redis://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}/0"
    )
    for name in DEPLOYMENTS:
        spec = pod_of(name, "overlays/example")["spec"]
        volume = one(each for each in spec["volumes"] if "secret" in each)
        assert volume["secret"]["secretName"] == secret["metadata"]["name"]
        for each in one(spec["containers"])["env"]:
            if "valueFrom" in each:
                reference = each["valueFrom"]["secretKeyRef"]
                assert reference["name"] == secret["metadata"]["name"]
                assert reference["key"] in data


def test_settings_are_read_from_a_secret_as_kubernetes_mounts_it(
    cli: CommandLine, tmp_path: Path
) -> None:
    """A hidden folder for each version, a link to the present one, and a link for each key."""
    mount = tmp_path / "mount"
    version = mount / "..2026_11_28_07_00_00.1"
    version.mkdir(parents=True)
    (version / "CRON_TASKS_CHAT_ID").write_text("4711")
    (version / "FLOWER_BASIC_AUTH").write_text("ann:secret")
    (mount / "..data").symlink_to(version.name)
    for name in ("CRON_TASKS_CHAT_ID", "FLOWER_BASIC_AUTH"):
        (mount / name).symlink_to(f"..data/{name}")
    with cli.start("settings", "--json", SECRETS_DIR=str(mount)) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    rows = {row["variable"]: row for row in json.loads(out)}
    assert rows["CRON_TASKS_CHAT_ID"]["value"] == "4711"


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_ports_are_those_of_our_programs(name: str) -> None:
    port = one(container_of(name)["ports"])
    settings = find(build("base"), "ConfigMap")["data"]
    if name == "cron-tasks-flower":
        assert port == {"name": "http", "containerPort": FLOWER_PORT}
        service = find(build("base"), "Service", name)
        assert one(service["spec"]["ports"])["targetPort"] == "http"
        assert service["spec"]["selector"].items() <= pod_of(name)["metadata"]["labels"].items()
    else:
        assert port == {"name": "metrics", "containerPort": METRICS_PORT}
        assert int(settings["CRON_TASKS_METRICS_PORT"]) == METRICS_PORT


@pytest.mark.parametrize("kind", ["NetworkPolicy", "PodDisruptionBudget"])
def test_every_selector_selects_pods_with_the_named_ports(kind: str) -> None:
    documents = build("overlays/example")
    pods = [
        each["spec"]["template"]
        for each in documents
        if each["kind"] in ("Deployment", "StatefulSet")
    ]
    for document in [each for each in documents if each["kind"] == kind]:
        spec = document["spec"]
        chosen = [pod for pod in pods if selects(spec.get("podSelector") or spec["selector"], pod)]
        assert chosen, document["metadata"]["name"]
        for rule in spec.get("ingress", []):
            for source in rule.get("from", []):
                if "podSelector" in source:
                    assert any(selects(source["podSelector"], pod) for pod in pods)
            for port in rule["ports"]:
                for pod in chosen:
                    names = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
                    assert port["port"] in names


def selects(selector: dict[str, Any], pod: dict[str, Any]) -> bool:
    labels = pod["metadata"]["labels"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )


def test_two_beats_run_of_which_a_drain_takes_one_at_most() -> None:
    for name in ("cron-tasks-beat", "cron-tasks-worker"):
        deployment = find(build("base"), "Deployment", name)
        assert deployment["spec"]["replicas"] == 2
        budget = find(build("base"), "PodDisruptionBudget", name)["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == deployment["spec"]["selector"]


def test_a_worker_has_time_to_finish_its_runs() -> None:
    timeout = Job.model_fields["timeout"].default
    grace = pod_of("cron-tasks-worker")["spec"]["terminationGracePeriodSeconds"]
    assert grace >= timeout + AFTER_TIMEOUT


@pytest.mark.parametrize("name", ["cron-tasks-beat", "cron-tasks-worker"])
def test_no_restart_comes_before_redis_may_be_back(name: str) -> None:
    container = container_of(name)
    assert longest(container["livenessProbe"]) > REDIS_IS_AWAY
    assert longest(container["startupProbe"]) >= REDIS_IS_AWAY


def run_probe(cli: CommandLine, command: list[str]) -> int:
    program, *arguments = command
    assert program == "cron-tasks"
    with cli.start(*arguments) as process:
        process.communicate(timeout=60)
    return process.returncode


def test_probes_of_beat_and_worker_exit_as_they_promise(
    cli: CommandLine, redis: Redis, celery: Celery
) -> None:
    commands = {}
    for part in ("beat", "worker"):
        container = container_of(f"cron-tasks-{part}")
        probes = [container[probe]["exec"]["command"] for probe in PROBES]
        assert probes == [["cron-tasks", "health", part]] * 3
        commands[part] = probes[0]
        assert run_probe(cli, probes[0]) == 1
    beat, worker = celery.beat(), celery.worker()
    for part, command in commands.items():
        host = f"{part}|{socket.gethostname()}|"
        wait_until(
            lambda start=host: any(
                each.startswith(start) for each in redis.zrange(keys.SIGNS, 0, -1)
            ),
            f"the first sign of {part}",
            60,
        )
        assert run_probe(cli, command) == 0
    for process in (beat, worker):
        process.terminate()
    for command in commands.values():
        assert run_probe(cli, command) == 1


def test_probes_of_flower_are_answered_without_a_login(celery: Celery, tmp_path: Path) -> None:
    container = container_of("cron-tasks-flower")
    paths = {container[probe]["httpGet"]["path"] for probe in PROBES}
    flower = Flower(celery.env, tmp_path, login="ann:secret").wait_ready()
    try:
        assert flower.get("/", Authorization="").status == 401
        assert flower.get(one(paths), Authorization="").status == 200
    finally:
        flower.process.end()


def test_keda_scales_the_workers_by_a_metric_of_ours() -> None:
    """The fields are those of KEDA's manual: "ScaledObject specification", "Prometheus"."""
    documents = build("overlays/autoscaling")
    scaled = find(documents, "ScaledObject")
    spec = scaled["spec"]
    worker = find(documents, "Deployment", spec["scaleTargetRef"]["name"])
    assert "replicas" not in worker["spec"]
    assert worker["metadata"]["namespace"] == scaled["metadata"]["namespace"]
    known = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "fallback"}
    assert spec.keys() == known | {"advanced", "triggers"}
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    body = {"behavior": behavior, "maxReplicas": 16, "scaleTargetRef": target}
    kubernetes_validate.validate(
        {**scaler, "metadata": {"name": "x"}, "spec": body}, VERSIONS[-1], strict=True
    )
    trigger = one(spec["triggers"])
    assert trigger["type"] == "prometheus"
    metadata = trigger["metadata"]
    assert metadata.keys() == {"serverAddress", "query", "threshold", "ignoreNullValues"}
    assert all(isinstance(value, str) for value in metadata.values())
    name, labels = re.fullmatch(r"max\((\w+)\{(.*)\}\)", metadata["query"]).groups()  # type: ignore[union-attr]
    metric = one(each for each in catalogue.ALL if each.full_name == name)
    given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    assert given.keys() == set(metric.labels)
    assert given == {"queue": Settings().default_queue, "kind": "runs"}


def test_prometheus_scrapes_our_pods_and_adds_no_label(tmp_path: Path) -> None:
    """Prometheus itself relabels. Debian's knows no Kubernetes, so the pods come from a file."""
    config = yaml.safe_load((ROOT / "monitoring/prometheus/kubernetes.yml").read_text())
    job = one(config["scrape_configs"])
    discovery = one(job.pop("kubernetes_sd_configs"))
    assert discovery["namespaces"]["names"] == [
        find(build("overlays/example"), "Namespace")["metadata"]["name"]
    ]
    job["static_configs"] = [
        {
            "targets": [f"10.0.0.{number}:{port['containerPort']}"],
            "labels": {
                **{
                    "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", name): value
                    for name, value in pod["metadata"]["labels"].items()
                },
                "__meta_kubernetes_pod_container_port_name": port["name"],
                "__meta_kubernetes_pod_name": name,
            },
        }
        for number, name in enumerate(DEPLOYMENTS)
        for pod in [pod_of(name)]
        for port in pod["spec"]["containers"][0]["ports"]
    ]
    config.pop("rule_files")
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    command = [find_program("promtool"), "check", "service-discovery", "--timeout=3s"]
    command += [str(tmp_path / "prometheus.yml"), job["job_name"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept = [each["labels"] for each in json.loads(done.stdout) if each.get("labels")]
    shown = [{k: v for k, v in each.items() if not k.startswith("__")} for each in kept]
    assert shown == [
        {"instance": name, "job": "cron_tasks"} for name in ("cron-tasks-beat", "cron-tasks-worker")
    ]


def test_kubernetes_settings_are_settings() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file():
            named = set(re.findall(r"\bCRON_TASKS_[A-Z_]+\b", path.read_text("utf-8")))
            assert named - {"CRON_TASKS_FLOWER_PORT"} <= SETTINGS
