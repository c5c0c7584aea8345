"""`make sbom`: the pinned packages as a CycloneDX document."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import PATIENCE
from test_repository import read_pins

ROOT = Path(__file__).parents[1]


def make_sbom(path: Path) -> str:
    folder = Path(sys.executable).parent
    command = ["make", "-o", f"{folder.parent}/.dev", "sbom", f"SBOM={path}"]
    command += [f"VENV={folder.parent}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_sbom(tmp_path_factory.mktemp("sbom") / "sbom.json")


@pytest.mark.filterwarnings("ignore")
def test_it_is_valid(text: str) -> None:
    # Their import takes seconds, which each process of the tests would spend.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    version = json.loads(text)["specVersion"]
    validator = JsonStrictValidator(SchemaVersion.from_version(version))
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"shelf"')) is not None


def test_it_lists_each_pin(text: str) -> None:
    pins = [pin for pin, _ in read_pins(ROOT / "requirements.txt")]
    document: dict[str, Any] = json.loads(text)
    listed = {(each["name"], f"=={each['version']}") for each in document["components"]}
    assert listed == {(pin.name, str(pin.specifier)) for pin in pins}
    assert document["metadata"]["component"]["name"] == "cron-tasks"
    assert all(each["purl"].startswith("pkg:pypi/") for each in document["components"])


def test_it_is_the_same_each_time(text: str, tmp_path: Path) -> None:
    assert make_sbom(tmp_path / "again.json") == text
