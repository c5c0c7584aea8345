"""Install a distribution with actions."""

from pathlib import Path

#: An action that keeps its slot during a call, like any plain function.
CALLING = """
import requests
from cron_tasks.plugins import CustomAction

class Call(CustomAction):
    url: str

    def perform(self, run, settings):
        requests.post(self.url, headers={"Idempotency-Key": run.run_id}, timeout=60)
"""


def install(folder: Path, name: str, code: str, *points: str) -> None:
    """Install a distribution of one module, as an installer leaves it."""
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join(["[cron_tasks.actions]", *points]) + "\n")


def install_calls(folder: Path) -> dict[str, str]:
    """Offer the action `call`, which posts to its `url`. Return the environment for it."""
    install(folder, "calling", CALLING, "call = calling:Call")
    return {"PYTHONPATH": str(folder)}
