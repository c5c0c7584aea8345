"""What the files of the repository say of one another holds."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cron_tasks.settings import Settings, variable_name

ROOT = Path(__file__).parents[1]
#: Settings that the images give (ALIVE_FILE), or that have their place by convention (SECRETS_DIR).
NOT_PASSED_ON = {"alive_file", "secrets_dir"}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: A path of the repository in a page: from the root or from the package, in at least one folder.
PATH = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|lua|md|toml))`")
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_files_that_exist(page: Path) -> None:
    named = set(PATH.findall(page.read_text("utf-8")))
    places = (ROOT, ROOT / "cron_tasks")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text("utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
