"""The files of the repository agree with one another."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: A path of the repository in a page: from the root or from the package, in at least one folder.
PATH = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|lua|md|toml))`")
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
#: Each file of pins, and the extras that it is for. `dev` has all of them.
LOCKS = {
    ROOT / "requirements.txt": ["dev"],
    ROOT / "requirements" / "runtime.txt": [],
    **{
        ROOT / "requirements" / f"{extra}.txt": [extra]
        for extra in PROJECT["optional-dependencies"]
        if extra != "dev"
    },
}
BUILD = ROOT / "requirements" / "build.txt"


def dependencies(*extras: str) -> list[Requirement]:
    """Return the project's requirements and those of these extras, with the extras they name."""
    listed = [PROJECT["optional-dependencies"][extra] for extra in extras]
    named = [Requirement(text) for each in [PROJECT["dependencies"], *listed] for text in each]
    others = {extra for each in named if each.name == PROJECT["name"] for extra in each.extras}
    if others:
        named += dependencies(*others)
    return [each for each in named if each.name != PROJECT["name"]]


def read_pins(path: Path) -> list[tuple[Requirement, list[str]]]:
    """Return each pin with the hashes of its files."""
    lines = path.read_text().replace("\\\n", "").splitlines()
    rows = [line.split("--hash=") for line in lines if line and not line.startswith("#")]
    return [(Requirement(pin), [each.strip() for each in hashes]) for pin, *hashes in rows]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_dependency_is_pinned_within_its_range(path: Path) -> None:
    pins = [pin for pin, _ in read_pins(path)]
    for dependency in dependencies(*LOCKS[path]):
        name = canonicalize_name(dependency.name)
        [pin] = [pin for pin in pins if pin.name == name]
        [version] = [each.version for each in pin.specifier]
        assert version in dependency.specifier, dependency


@pytest.mark.parametrize("path", [*LOCKS, BUILD], ids=lambda path: path.name)
def test_a_pin_has_hashes_and_no_address(path: Path) -> None:
    assert "://" not in path.read_text()
    for pin, hashes in read_pins(path):
        assert [each.operator for each in pin.specifier] == ["=="]
        assert hashes, pin
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_all_files_pin_the_same_versions(path: Path) -> None:
    everything = {str(pin): hashes for pin, hashes in read_pins(ROOT / "requirements.txt")}
    assert {str(pin): hashes for pin, hashes in read_pins(path)}.items() <= everything.items()


def test_make_lock_writes_all_files() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [extras] = re.findall(r"^EXTRAS := (.*)$", makefile, re.MULTILINE)
    assert {*extras.split(), "dev"} == PROJECT["optional-dependencies"].keys()
    written = {path.stem for path in BUILD.parent.iterdir()}
    assert written == {*extras.split(), "runtime", "build"}


def test_a_wrong_hash_stops_an_installation(tmp_path: Path) -> None:
    """Like in an image, everything is installed with `--require-hashes`."""
    for line in (ROOT / "Dockerfile.worker").read_text().splitlines():
        if "install" in line and "groupadd" not in line and "uninstall" not in line:
            assert "--require-hashes -r" in line or "--no-deps dist/" in line, line
    package = tmp_path / "six-1.17.0-py2.py3-none-any.whl"
    package.write_bytes(b"something else")
    pins = tmp_path / "pins.txt"
    [hashes] = [found for pin, found in read_pins(ROOT / "requirements.txt") if pin.name == "six"]
    pins.write_text(f"six==1.17.0 {' '.join('--hash=' + each for each in hashes)}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-index", "--require-hashes", "--dest"]
    command += [str(tmp_path / "got"), "--find-links", str(tmp_path), "-r", str(pins)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_both_images_are_built_from_the_same_layers() -> None:
    def build_stage(name: str) -> str:
        return (
            (ROOT / name)
            .read_text()
            .partition("\nARG ")[2]
            .partition("\n\nFROM ${PYTHON_IMAGE}\n")[0]
        )

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


def test_a_module_that_says_it_is_pure_is_in_the_contract() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    [pure] = [each["source_modules"] for each in contracts if "are pure" in each["name"]]
    for path in sorted((ROOT / "cron_tasks").rglob("*.py")):
        if re.search(r"\bPure\b", ast.get_docstring(ast.parse(path.read_text())) or ""):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            assert any(name == each or name.startswith(f"{each}.") for each in pure), name
