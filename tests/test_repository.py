"""What the files of the repository say of one another holds."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cron_tasks.settings import Settings, variable_name

ROOT = Path(__file__).parents[1]
#: Settings that the images give (ALIVE_FILE), or that have their place by convention (SECRETS_DIR).
NOT_PASSED_ON = {"alive_file", "secrets_dir"}


def dependencies() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [project["dependencies"], *project["optional-dependencies"].values()]
    named = [Requirement(text) for each in listed for text in each]
    return [each for each in named if each.name != project["name"]]


@pytest.mark.parametrize("dependency", dependencies(), ids=str)
def test_a_dependency_is_pinned_within_its_range(dependency: Requirement) -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    [pin] = [pin for pin in pins if pin.name == canonicalize_name(dependency.name)]
    [version] = [each.version for each in pin.specifier]
    assert version in dependency.specifier


def test_pins_carry_no_address() -> None:
    assert "://" not in (ROOT / "requirements.txt").read_text()


def test_compose_passes_every_setting_on() -> None:
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    passed_on = {line.strip().partition(":")[0] for line in lines}
    wanted = {variable_name(name) for name in Settings.model_fields if name not in NOT_PASSED_ON}
    assert wanted <= passed_on


def test_both_images_are_built_from_the_same_layers() -> None:
    def build_stage(name: str) -> str:
        return (ROOT / name).read_text().partition("FROM ")[2].partition("\n\nFROM ")[0]

    assert build_stage("Dockerfile.beat") == build_stage("Dockerfile.worker") != ""
