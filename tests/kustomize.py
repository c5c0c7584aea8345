"""The kustomizations in kubernetes/, as `kubectl` builds them without a cluster."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from deployment import one

FOLDER = Path(__file__).parents[1] / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
DEPLOYMENTS = ["cron-tasks-beat", "cron-tasks-worker", "cron-tasks-flower"]


@cache
def build(name: str) -> list[dict[str, Any]]:
    """Build a kustomization like `kubectl apply -k`, without a cluster."""
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


def selects(selector: dict[str, Any], pod: dict[str, Any]) -> bool:
    labels = pod["metadata"]["labels"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )
