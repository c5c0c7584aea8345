"""Programs from Debian's packages that tests run (tests/debian/fetch downloads them)."""

import os
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / ".venv" / "debian"


def find_program(name: str) -> str:
    """Return the path of a program. Without it, skip the test, or fail it in CI."""
    if found := shutil.which(name):
        return found
    for place in ("usr/bin", "usr/sbin"):
        if (path := FOLDER / place / name).exists():
            return str(path)
    why = f"{name} is not there: `make test` fetches it from Debian's packages"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def find_libraries(pattern: str) -> str:
    """Return the folder of the matching libraries, for programs that were only extracted."""
    found = [path.parent for path in FOLDER.glob(f"usr/lib/*/{pattern}")]
    return str(found[0]) if found else ""
