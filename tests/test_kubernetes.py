"""The manifests in kubernetes/: kubectl builds them, the schemas accept them, and what
they say about our programs is true."""

import base64
import json
import re
import subprocess
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from deployment import (
    FLOWER_PORT,
    METRICS_PORT,
    SETTINGS,
    assert_variables_exist,
    one,
    parse_command,
)
from kustomize import DEPLOYMENTS, FOLDER, build, container_of, find, pod_of, selects
from programs import find_program

from cron_tasks.metrics import catalogue
from cron_tasks.settings import Settings

ROOT = Path(__file__).parents[1]
KUSTOMIZATIONS = ["base", "overlays/example", "overlays/autoscaling"]
#: The oldest version that the manifests are for.
OLDEST = "1.31"


@pytest.fixture(scope="module")
def schemas() -> ModuleType:
    """The schemas of Kubernetes. Their import takes longer than that of all other modules."""
    return import_module("kubernetes_validate")


@pytest.mark.parametrize("is_newest", [False, True])
def test_the_schemas_of_kubernetes_accept_every_document(
    is_newest: bool, schemas: ModuleType
) -> None:
    """The other kustomizations make no further ones, but for KEDA's."""
    version = schemas.latest_version() if is_newest else OLDEST
    for document in build("overlays/example"):
        schemas.validate(document, version, strict=True)


def test_the_schemas_notice_a_wrong_field(schemas: ModuleType) -> None:
    wrong = json.loads(json.dumps(find(build("base"), "Deployment", "cron-tasks-beat")))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["period"] = 3
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, schemas.latest_version(), strict=True)


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


def test_two_beats_run_of_which_a_drain_takes_one_at_most() -> None:
    for name in ("cron-tasks-beat", "cron-tasks-worker"):
        deployment = find(build("base"), "Deployment", name)
        assert deployment["spec"]["replicas"] == 2
        budget = find(build("base"), "PodDisruptionBudget", name)["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == deployment["spec"]["selector"]


def test_keda_scales_the_workers_by_a_metric_of_ours(schemas: ModuleType) -> None:
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
    document = {**scaler, "metadata": {"name": "x"}, "spec": body}
    schemas.validate(document, schemas.latest_version(), strict=True)
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
    assert sorted(shown, key=itemgetter("instance")) == [
        {"instance": name, "job": "cron_tasks"} for name in ("cron-tasks-beat", "cron-tasks-worker")
    ]


def test_kubernetes_settings_are_settings() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file():
            named = set(re.findall(r"\bCRON_TASKS_[A-Z_]+\b", path.read_text("utf-8")))
            assert named - {"CRON_TASKS_FLOWER_PORT"} <= SETTINGS
