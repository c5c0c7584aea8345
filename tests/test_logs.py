"""All lines have one format, from any library and with any content."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
import tempfile
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from helpers import wait_until

from cron_tasks.telemetry import logs

ROOT = Path(__file__).parent.parent
FORMATS = ("json", "console")
SECRET = "s3cret-token"
HOSTILE = (
    "a\nb\r\x1b[31mc\x1b]0;t\x07 \u202etxt\u2028\x85\u200b\x00 \ud800 \U000e0041 Grüße 👩\u200d🚀"
)


def environment(**settings: str) -> dict[str, str]:
    kept = {name: each for name, each in os.environ.items() if not name.startswith("CRON_TASKS_")}
    kept.pop("NO_COLOR", None)
    kept |= {f"CRON_TASKS_{name.upper()}": each for name, each in settings.items()}
    return kept | {"PYTHONPATH": str(ROOT)}


def logged(code: str, format: str = "json", level: str = "INFO") -> list[str]:
    """Return the lines on stderr of a process that sets up logging and runs `code`."""
    names = {"logs": logs, "logging": logging, "warnings": warnings, "HOSTILE": HOSTILE}
    with tempfile.TemporaryFile() as stderr:
        # A fork, since the imports would take most of the time of these tests.
        child = os.fork()
        if not child:
            os.dup2(stderr.fileno(), 2)
            sys.__stderr__ = open(2, "w", encoding="utf-8")  # noqa: SIM115
            warnings.simplefilter("always")
            with suppress(BaseException):
                logs.configure(format, level, secrets=[SECRET, "p'w\"d"])
                exec(code, {"log": structlog.get_logger("cron_tasks.probe"), **names})
                os._exit(0)
            os._exit(1)
        failed = os.waitpid(child, 0)[1]
        stderr.seek(0)
        text = stderr.read().decode()
    assert not failed, text
    return text.removesuffix("\n").split("\n")


def whole_lines(file: Path) -> list[str]:
    """Return the lines of a log without one that its process could not end."""
    text = file.read_text("utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


EVERYBODY = """
from celery.utils.log import get_task_logger
with logs.bind(job_id="7", run_id="7@2026-11-23T09:00:00Z"):
    log.info("run.finished", status="ok", duration=1.5, tags=("a", "b"))
    get_task_logger("guest.tasks").info("task says %s", "hello")
    logging.getLogger("kombu.connection").warning("no %s", "broker")
    logging.getLogger("redbeat.schedulers").info("beat: Acquiring lock...")
    logging.getLogger("tornado.application").error("Uncaught")
    warnings.warn("old", DeprecationWarning)
    log.debug("not.shown"); logging.getLogger("kombu").debug("not shown")
log.warning("sync.failing")
"""


def test_every_library_writes_the_same_json_with_the_ids_of_the_run() -> None:
    lines = parsed(logged(EVERYBODY))
    assert [(line["level"], line["logger"], line["event"]) for line in lines[:5]] == [
        ("info", "cron_tasks.probe", "run.finished"),
        ("info", "guest.tasks", "task says hello"),
        ("warning", "kombu.connection", "no broker"),
        ("info", "redbeat.schedulers", "beat: Acquiring lock..."),
        ("error", "tornado.application", "Uncaught"),
    ]
    assert [line["event"] for line in lines[6:]] == ["sync.failing"]
    assert "DeprecationWarning: old" in lines[5]["event"]
    assert lines[5]["logger"] == "py.warnings"
    for line in lines:
        assert list(line)[:4] == ["timestamp", "level", "event", "logger"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    ids = {"job_id": "7", "run_id": "7@2026-11-23T09:00:00Z"}
    assert all(line.items() >= ids.items() for line in lines[:6])
    assert not ids.keys() & lines[6].keys()
    assert (lines[0]["duration"], lines[0]["tags"]) == (1.5, ["a", "b"])


def test_the_console_shows_the_same_lines_to_people() -> None:
    lines = logged(EVERYBODY, "console")
    assert len(lines) == 7
    assert "run.finished" in lines[0]
    assert "status=ok" in lines[0]
    assert "job_id=7" in lines[2]
    assert "no broker" in lines[2]
    assert "[kombu.connection]" in lines[2]


@pytest.mark.parametrize("format", FORMATS)
def test_no_value_can_break_a_line_or_control_a_terminal(format: str) -> None:
    lines = logged(
        "log.info('job.warning', name=HOSTILE, rows=[{HOSTILE: (HOSTILE,)}], other=[HOSTILE])\n"
        "log.info(HOSTILE)\n"
        "logging.getLogger(HOSTILE).warning('got %s', HOSTILE)\n"
        "with logs.bind(job_id=HOSTILE): log.info('run.finished')\n"
        "warnings.warn(HOSTILE)\n",
        format,
    )
    assert len(lines) == 5
    for line in lines:
        unsafe = {char for char in line if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")}
        assert unsafe <= {"\u200d"}
        assert ("Gr\\u00fc\\u00dfe" if format == "json" else "Grüße") in line
    if format == "json":
        shown = HOSTILE.replace("\ud800", "\\ud800")
        assert parsed(lines)[0]["name"] == shown
        assert parsed(lines)[0]["rows"] == [{shown: [shown]}]
        assert parsed(lines)[1]["event"] == shown


@pytest.mark.parametrize("format", FORMATS)
def test_values_of_any_type_are_shown(format: str) -> None:
    lines = logged(
        "from datetime import datetime\n"
        "endless = []; endless.append(endless)\n"
        "log.info('x.y', big=2**70, none=None, nan=float('nan'), when=datetime(2026, 1, 1), "
        "some={1}, error=KeyError('k'), endless=endless, exception=5, event_id=b'x')\n",
        format,
    )
    assert "2026-01-01 00:00:00" in lines[0]
    if format == "json":
        line = parsed(lines)[0]
        assert (line["big"], line["none"], line["nan"]) == (2**70, None, "nan")
        assert (line["some"], line["error"]) == ([1], "'k'")


SECRETS = f"""
token, quoted = {SECRET!r}, 'p\\'w"d'
log.info("sync.done", header="Bearer " + token, deep=[{{"x": {{token: token}}}}], quoted=quoted)
log.info("got " + token)
logging.getLogger("kombu").error("Cannot connect to redis://:%s@h: %r", token, {{"p": quoted}})
logging.getLogger("urllib3").warning("http://me:other-password@h/ and redis://:third@h failed")
warnings.warn(token)
try:
    raise ConnectionError("redis://me:other-password@h refused " + token)
except ConnectionError as error:
    log.exception("run.failed", error=error)
    logging.getLogger("celery").error("x", exc_info=True)
"""


@pytest.mark.parametrize("format", FORMATS)
def test_no_line_contains_a_secret(format: str) -> None:
    lines = logged(SECRETS, format)
    text = "\n".join(lines)
    for secret in (SECRET, 'w"d', "other-password", "third"):
        assert secret not in text
    assert "Bearer ***" in text
    assert "http://me:***@h/" in text
    assert text.count("refused ***") >= 3


def test_a_traceback_is_one_field_in_json_and_indented_on_the_console() -> None:
    code = (
        "try: raise ValueError('first\\n2026-11-23T09:00:00Z [info] forged \\x1b[2J')\n"
        "except ValueError: log.exception('run.failed')\n"
    )
    (line,) = parsed(logged(code))
    assert (line["level"], line["event"]) == ("error", "run.failed")
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert "ValueError: first\n2026" in line["exception"]
    first, *rest = logged(code, "console")
    assert "run.failed" in first
    assert rest[-1] == "  2026-11-23T09:00:00Z [info] forged \\x1b[2J"
    assert all(line.startswith("  ") for line in rest)


@pytest.mark.parametrize("format", ["json", "ecs", "console"])
def test_an_exception_may_have_any_text(format: str) -> None:
    """A long one loses its middle, and one that raises does not break into its caller."""
    code = (
        "class Odd(Exception):\n  def __str__(self): raise SystemExit\n"
        "for error in (Odd(), ValueError('x' * 1_000_000 + 'end')):\n"
        "  try: raise error\n  except Exception: log.exception('run.failed')\n"
    )
    text = "\n".join(logged(code, format))
    assert text.count("run.failed") >= 2
    assert "end" in text
    assert len(text) < 200_000


def test_a_wrong_call_of_a_library_is_a_line_too() -> None:
    (line,) = parsed(logged("logging.getLogger('kombu').error('%s and %s', 1)\n"))
    assert line["logger"] == "kombu"
    assert "cannot be formatted: TypeError: not enough arguments" in line["event"]


def test_the_last_configuration_counts_and_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    code = (
        "log.info('to.stderr')\n"
        f"logs.configure('json', 'ERROR', logfile={str(file)!r})\n"
        "log.error('to.file', name='Grüße'); log.info('not.shown')\n"
    )
    assert [line["event"] for line in parsed(logged(code))] == ["to.stderr"]
    (line,) = parsed(file.read_text("utf-8").splitlines())
    assert (line["event"], line["name"]) == ("to.file", "Grüße")


@pytest.mark.parametrize(
    ("extra", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["plain", "NO_COLOR"]
)
def test_colours_on_a_terminal_only(extra: dict[str, str], coloured: bool) -> None:
    code = "from cron_tasks.telemetry import logs; logs.configure('console', 'INFO')\n" + (
        "import structlog; structlog.get_logger('x').info('run.finished', name='\\x1b[0m')"
    )
    main, terminal = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", code], env=environment() | extra, stderr=terminal, check=True
    )
    os.close(terminal)
    text = os.read(main, 4096).decode()
    os.close(main)
    assert ("\x1b[" in text) == coloured
    assert "\\x1b[0m" in text
    (line,) = logged("log.info('run.finished')", "console")
    assert "\x1b" not in line


PROBE = f"""
import os, warnings
import structlog
from celery import Celery
from celery.signals import worker_ready
from celery.utils.log import get_task_logger
from cron_tasks.telemetry import logs

app = Celery("probe", broker="memory://")
app.conf.broker_transport_options = dict(polling_interval=0.05)
logs.install_for_celery()
MAIN = os.getpid()

@app.task
def work():
    with logs.bind(job_id="7", run_id="7@t"):
        structlog.get_logger("cron_tasks.probe").info("run.finished", child=os.getpid() != MAIN)
        get_task_logger("guest").warning("of the task logger")
        print("printed\\nby the guest")
        warnings.warn("warned")
        raise ValueError("with {SECRET}")

@worker_ready.connect
def start(**_):
    work.delay()
"""


@contextmanager
def celery(tmp_path: Path, *arguments: str, **settings: str) -> Iterator[Path]:
    """Start a Celery program with the probe app. Yield the file with its stderr."""
    (tmp_path / "probe.py").write_text(PROBE)
    stderr = tmp_path / "stderr"
    with stderr.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "probe", *arguments],
            cwd=tmp_path,
            env=environment(rest_token=SECRET, **settings),
            stdout=subprocess.DEVNULL,
            stderr=out,
        )
    try:
        yield stderr
    finally:
        process.kill()  # a worker's children die with it (PR_SET_PDEATHSIG)
        process.wait()


WORKER = ("worker", "--concurrency=1", "--without-gossip", "--without-mingle")


def test_a_celery_worker_and_its_children_write_our_lines_only(tmp_path: Path) -> None:
    with celery(tmp_path, *WORKER) as stderr:
        wait_until(lambda: "raised unexpected" in stderr.read_text(), "the failed task")
    lines = parsed(whole_lines(stderr))
    said = {line["event"].partition("[")[0]: line for line in lines}
    for event in ("run.finished", "of the task logger", "printed\nby the guest"):
        assert (said[event]["job_id"], said[event]["run_id"]) == ("7", "7@t")
    assert said["run.finished"]["child"] is True
    assert any("UserWarning: warned" in event for event in said)
    assert said["Task probe.work"]["exception"].rstrip().endswith("ValueError: with ***")
    assert any(event.endswith(" ready.") for event in said), "LOG_LEVEL counts without --loglevel"
    assert SECRET not in stderr.read_text()


def test_loglevel_and_logfile_of_the_command_override_the_settings(tmp_path: Path) -> None:
    logfile = tmp_path / "worker.log"
    command = (*WORKER, "--loglevel=error", f"--logfile={logfile}")
    with celery(tmp_path, *command, log_level="debug") as stderr:
        wait_until(lambda: logfile.exists() and "raised" in logfile.read_text(), "the failed task")
    lines = parsed(whole_lines(logfile))
    assert {line["level"] for line in lines} == {"error"}
    assert all("privileges" in line["event"] for line in parsed(whole_lines(stderr)))


def test_flower_writes_our_lines_too(tmp_path: Path) -> None:
    with celery(tmp_path, "flower", "--port=0", "--address=127.0.0.1") as stderr:
        wait_until(lambda: "Registered tasks" in stderr.read_text(), "Flower's banner")
    lines = parsed(whole_lines(stderr))
    assert any(line["logger"] == "flower.command" for line in lines)


def test_importing_the_app_elsewhere_leaves_logging_alone(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    code = "import logging, probe; probe.app.finalize(); print(logging.getLogger().handlers)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
