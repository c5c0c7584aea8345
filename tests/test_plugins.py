"""Actions of other distributions, as docs/actions.md describes them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from plug_ins import install
from processes import Celery

ROOT = Path(__file__).parents[1]
EXAMPLE = re.search(
    r"```python\n(?P<code>.*?)```.*?```toml\n(?P<toml>.*?)```",
    (ROOT / "docs" / "actions.md").read_text("utf-8"),
    re.DOTALL,
)
USE = """
from cron_tasks.actions import find_performer
from cron_tasks.jobs.run import Run
from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import Settings

def outcome(**action):
    row = {"id": 1, "name": "x", "every": 60, "action": action}
    job = validate_row(row, timezone="UTC")
    if not isinstance(job, Job):
        return " / ".join(job.errors)
    job = Job.from_document(job.to_document())
    try:
        output = find_performer(job)(Run(job, "1@2026-11-23T09:00:00Z", 0.0, 1), Settings())
    except ActionFailed as error:
        return f"{error} permanent={error.permanent}"
    return f"{output!r} {job.warnings}"
"""


def run(folder: Path, *actions: str, first: str = "") -> tuple[list[str], list[str]]:
    """Return the outcome of each action, and the lines on stderr, in a separate process."""
    code = first + USE + "".join(f"print(outcome({action}))\n" for action in actions)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    assert EXAMPLE is not None
    point = EXAMPLE["toml"].splitlines()[1].replace('"', "")
    install(tmp_path, "cron_tasks_disk", EXAMPLE["code"], point)
    actions = [
        'type="disk_space", path="/", percent=0',
        'type="disk_space", path="/nowhere"',
        'type="disk_space", path="/", percent=101',
        'type="disk_space", percent="x", pth="/"',
        'type="notify"',
        'type="disk"',
    ]
    for first in ("", "import cron_tasks_disk\n"):  # whoever imports whom first
        found, said = run(tmp_path, *actions, first=first)
        assert re.fullmatch(r"'/: \d+ % free' \(\)", found[0]), found
        assert found[1:] == [
            "/nowhere: No such file or directory permanent=True",
            "`action.percent`: expected a number from 0 to 100, got 101",
            "`action.path`: is missing; expected a folder / "
            "`action.percent`: expected a number from 0 to 100, got 'x'",
            "None ()",
            "`action.type`: expected notify, http, task or disk_space, got 'disk'; "
            "did you mean 'disk_space'?",
        ]
        assert said == []


def test_a_plug_in_may_leave_its_fields_undescribed(tmp_path: Path) -> None:
    code = """
from cron_tasks.plugins import CustomAction

class Beep(CustomAction):
    times: int = 1

    def perform(self, run, settings):
        return "beep\\x07 " * self.times * 2000
"""
    install(tmp_path, "beep", code, "beep = beep:Beep")
    found, said = run(tmp_path, 'type="beep", times="x"', 'type="beep", tims=2', 'type="beep"')
    assert found[0].startswith("`action.times`: Input should be a valid integer, ")
    assert found[0].endswith(", got 'x'")
    assert "(did you mean `action.times`?)" in found[1]
    assert found[2].startswith(r"'beep\\x07 beep\\x07")
    assert len(found[2]) < 5000
    assert said == []


def test_an_unusable_plug_in_harms_only_the_jobs_that_name_it(tmp_path: Path) -> None:
    fine = "from cron_tasks.plugins import CustomAction\nclass A(CustomAction):\n"
    perform = "    def perform(self, run, settings):\n        return 'done'\n"
    install(tmp_path, "broken", "import sys; sys.exit('no')", "broken = broken:A")
    install(tmp_path, "absent", "", "absent = absent:A")
    install(tmp_path, "other", "class A: ...", "other = other:A")
    install(tmp_path, "bare", fine + "    x: int = 1\n", "bare = bare:A")
    install(tmp_path, "clash", fine + perform, "http = clash:A", "notify = clash:A")
    install(tmp_path, "twin1", fine + perform, "twin = twin1:A", "good = twin1:A")
    install(tmp_path, "twin2", fine + perform, "twin = twin2:A")
    names = ("broken", "absent", "other", "bare", "twin", "good", "notify")
    report = "from cron_tasks.jobs.plugins import unusable_reasons as reasons\n"
    report += "print(*reasons().items(), sep='\\n')\n"
    found, errors = run(tmp_path, *(f'type="{name}", path="x"' for name in names), first=report)
    assert errors == []
    unusable, found = found[: -len(names)], found[-len(names) :]
    reasons = [
        "the plug-in broken:A for it cannot be used: SystemExit: no",
        "the plug-in absent:A for it cannot be used: AttributeError: module 'absent' has no "
        "attribute 'A'",
        "the plug-in other:A for it cannot be used: TypeError: it is not a subclass of "
        "cron_tasks.plugins.CustomAction",
        "the plug-in bare:A for it cannot be used: TypeError: it does not define `perform`",
        "the plug-in twin1:A, twin2:A for it cannot be used: ValueError: several distributions "
        "offer this type",
    ]
    assert found[:5] == [f"`action`: {reason}" for reason in reasons]
    assert found[5].startswith("'done' (")
    assert found[6].startswith("None (")
    clash = "the plug-in clash:A for it cannot be used: ValueError: this type is built in"
    expected = list(zip(names, reasons, strict=False))
    expected += [(name, clash) for name in ("http", "notify")]
    assert sorted(unusable) == sorted(map(str, expected))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise BaseException('no')", "BaseException: no"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import asyncio\nraise asyncio.CancelledError", "CancelledError"),
        ("{}['oops']", "KeyError: 'oops'"),
    ],
)
def test_a_plug_in_may_raise_anything_while_it_is_imported(
    tmp_path: Path, code: str, why: str
) -> None:
    install(tmp_path, "broken", code, "broken = broken:A")
    found, said = run(tmp_path, 'type="broken"', 'type="notify"')
    reason = f"`action`: the plug-in broken:A for it cannot be used: {why}"
    assert (found, said) == ([reason, "None ()"], [])


def test_a_failing_validator_of_a_plug_in_rejects_only_its_row(tmp_path: Path) -> None:
    code = """
from pydantic import field_validator
from cron_tasks.plugins import CustomAction

class Picky(CustomAction):
    path: str

    @field_validator("path")
    @classmethod
    def check(cls, value):
        if value == "good":
            return value
        if value == "bad":
            raise ValueError("expected good")
        raise {"k": KeyError("k"), "t": TypeError("t")}.get(value, SystemExit(1))

    def perform(self, run, settings):
        return ["done"]
"""
    install(tmp_path, "picky", code, "picky = picky:Picky")
    paths = ("good", "bad", "k", "t", "x")
    found, said = run(tmp_path, *(f'type="picky", path="{path}"' for path in paths))
    assert said == []
    assert found == [
        "'[\"done\"]' ()",
        "`action.path`: expected good",
        "`action`: its plug-in could not read it: KeyError: 'k'",
        "`action`: its plug-in could not read it: TypeError: t",
        "`action`: its plug-in could not read it: SystemExit: 1",
    ]


def test_a_worker_logs_an_unusable_plug_in_once(celery: Celery, tmp_path: Path) -> None:
    install(tmp_path, "broken", "import absent", "broken = broken:A")
    workers = [celery.worker(3, PYTHONPATH=str(tmp_path)) for _ in range(2)]
    for worker in workers:
        worker.wait_for(" ready.")
        assert worker.output.count("plugin.unusable") == 1
        assert "No module named 'absent'" in worker.output


def test_stopped_stays_where_plug_ins_import_it() -> None:
    from cron_tasks import interrupts, plugins
    from cron_tasks.worker import interrupts as raising

    assert plugins.Stopped is interrupts.Stopped is raising.Stopped
