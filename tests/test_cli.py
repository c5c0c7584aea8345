"""The command line as such, and `cron-tasks next`, which needs neither settings nor Redis."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from command_line import SCRIPT, CommandLine, Quick
from helpers import PATIENCE

from cron_tasks.cli import COMMANDS, main

HEAVY = ("celery", "kombu", "redis", "requests", "pydantic", "rich", "structlog", "asyncio")


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CRON_TASKS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    return Quick(tmp_path)


def next_of(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["next", *arguments])


def test_next_answers_at_once() -> None:
    code = [sys.executable, "-X", "importtime", SCRIPT, "next", "0 9 * * *"]
    with subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        out, imports = run.communicate(timeout=PATIENCE)
    assert out.startswith("At 09:00 every day (UTC)\n")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in imports.splitlines()}
    assert not imported & set(HEAVY)
    process = subprocess.Popen([SCRIPT, "next", "0 9 * * *"], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert used.ru_utime + used.ru_stime < 0.6  # of this process alone, however busy the machine


def test_celery_imports_only_click_for_the_plugin() -> None:
    code = (
        "import sys, cron_tasks.cli; print([m for m in sys.modules if m.startswith('cron_tasks.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "['cron_tasks.cli']"


BERLIN = ("--timezone", "Europe/Berlin")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["0 9 * * *"], ["2027-03-01T09:00:00+00:00", "2027-03-02T09:00:00+00:00"]),
        (["0 9 * * *", *BERLIN], ["2027-03-01T09:00:00+01:00", "2027-03-02T09:00:00+01:00"]),
        (["@daily", *BERLIN], ["2027-03-01T00:00:00+01:00", "2027-03-02T00:00:00+01:00"]),
        (["15 0 9 * * *"], ["2027-03-01T09:00:15+00:00", "2027-03-02T09:00:15+00:00"]),
        (
            ["CRON_TZ=Asia/Tokyo 0 9 * * *", *BERLIN],
            ["2027-03-01T09:00:00+09:00", "2027-03-02T09:00:00+09:00"],
        ),
        (["@every 5m"], ["2027-03-01T00:00:00+00:00", "2027-03-01T00:05:00+00:00"]),
        (["PT90S"], ["2027-03-01T00:00:00+00:00", "2027-03-01T00:01:30+00:00"]),
        (
            ["DTSTART:20270101T090000 RRULE:FREQ=WEEKLY", *BERLIN],
            ["2027-03-05T09:00:00+01:00", "2027-03-12T09:00:00+01:00"],
        ),
        (
            ["FREQ=DAILY;BYHOUR=9;BYMINUTE=0"],
            ["2027-03-01T09:00:00+00:00", "2027-03-02T09:00:00+00:00"],
        ),
    ],
)
def test_next_of_each_kind_of_expression(arguments: list[str], expected: list[str]) -> None:
    found = next_of(*arguments, "--from", "2027-03-01", "-n", "2", "--json")
    assert json.loads(found.stdout) == expected, found.output


def test_next_from_an_instant_includes_it_and_shows_what_summer_time_does() -> None:
    found = next_of("30 2 * * *", *BERLIN, "-n", "3", "--from", "2027-03-27T02:30:00+01:00")
    heading, *rows = found.stdout.splitlines()[1:]
    assert heading.split() == ["NEXT", "DAY", "AWAY"]
    assert [row.split()[:2] for row in rows] == [
        ["2027-03-27T02:30:00+01:00", "Sat"],
        ["2027-03-28T03:00:00+02:00", "Sun"],
        ["2027-03-29T02:30:00+02:00", "Mon"],
    ]


def test_next_shows_how_far_away_a_tick_is_and_when_none_is_left() -> None:
    found = next_of("@every 1h", "-n", "1")
    assert re.search(r"  in (\d+ min( \d+ s)?|\d+ s|1 h)$", found.stdout), found.stdout
    ended = next_of("DTSTART:20200101T000000Z RRULE:FREQ=DAILY;COUNT=2", "--json")
    assert (ended.exit_code, ended.stdout) == (0, "[]\n")
    last = next_of("DTSTART:20200101T000000Z RRULE:FREQ=DAILY;COUNT=2", "--from", "2020-01-02")
    assert last.stdout.splitlines()[-1] == "No further ticks"
    assert " ago" in last.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["99 9 * * *"], 2, "minute 99 is not in 0–59"),
        (["0 9 31 2 *"], 2, "never"),
        (["@dayly"], 2, "did you mean '@daily'?"),
        (["FREQ=DALY"], 2, "did you mean 'DAILY'?"),
        (["PT0S"], 2, "1 second"),
        (["\x1b[31m 9 * * *"], 2, "\\x1b[31m"),
        (["0 9 * * *", "--timezone", "Europe/Berln"], 2, "did you mean 'Europe/Berlin'?"),
        (["0 9 * * *", "--from", "soon"], 2, "'--from': 'soon' is not an ISO 8601 time (20"),
        ([" "], 2, "Give an expression or a job ID"),
        (["0 9 * * *", "-n", "0"], 2, "1<=x<=1000"),
        (["0 9 * * *", "-n", "1001"], 2, "1<=x<=1000"),
        ([], 2, "EXPR_OR_ID"),
    ],
)
def test_next_explains_what_is_wrong(arguments: list[str], code: int, expected: str) -> None:
    result = next_of(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_next_takes_its_zone_from_the_environment_or_a_file(quick: Quick) -> None:
    assert quick.json("next", "0 9 * * *", TIMEZONE="Asia/Tokyo")[0].endswith("T09:00:00+09:00")
    (quick.folder / ".env").write_text("CRON_TASKS_TIMEZONE=Asia/Kolkata\n")
    assert quick.json("next", "0 9 * * *")[0].endswith("T09:00:00+05:30")
    assert "CRON_TASKS_TIMEZONE (environment): expected an IANA time zone" in quick.error(
        "next", "0 9 * * *", TIMEZONE="Mars"
    )


def test_help_names_each_command_and_imports_none() -> None:
    out = CliRunner().invoke(main, ["-h"]).stdout
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", out, re.MULTILINE), out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    for flag in ("-h", "--help"):
        result = CliRunner().invoke(main, [name, flag])
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: cron-tasks {name} ")


def test_version_and_wrong_usage() -> None:
    for flag in ("-V", "--version"):
        out = CliRunner().invoke(main, flag).stdout
        assert re.fullmatch(r"cron-tasks \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["synk"], "No such command 'synk'; did you mean 'sync'?"),
        (["nothing-like-it"], "No such command 'nothing-like-it'. See `cron-tasks --help`"),
        (["pause", "7"], "No such command 'pause'; did you mean `cron-tasks jobs pause`?"),
        (["run", "7"], "did you mean `cron-tasks jobs run`?"),
        (["retry", "7"], "did you mean `cron-tasks runs retry`?"),
        (["jobs", "lst"], "No such command 'lst'; did you mean 'list'?"),
        (["runs", "shw", "7@2099-01-01T00:00Z"], "No such command 'shw'; did you mean 'show'?"),
        (["runs", "--status", "faild"], "'retrying', 'ok', 'failed', 'skipped', 'missed'; did "),
        (["runs", "--status", "faild"], "did you mean 'failed'?"),
        (["sync", "--dry-rn"], "No such option '--dry-rn'. Did you mean '--dry-run'?"),
        (["--versoin"], "No such option '--versoin'. Did you mean '--version'?"),
        (["runs", "--since", "noon"], "'--since': 'noon' is not an ISO 8601 time (2026-03-01"),
        (["backfill", "7", "--from", "1h", "--to", "x"], "'--to': 'x' is not an ISO 8601 time ("),
        (["why", "7", "--at", "x"], "or a span ago (30s, 5m, 2h, 1d, 1h30m, PT90M). See `cron-"),
        (["why", "7"], "Missing option '--at'. See `cron-tasks why --help`"),
        (["runs", "7", "8"], "unexpected extra argument"),
        (["jobs", "list", "--sort", "nxt"], "'nxt' is not one of 'id', 'name', 'next', 'last'; "),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], expected: str) -> None:
    wrong = CliRunner().invoke(main, arguments)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("Error: ")
    assert len(wrong.stderr.splitlines()) == 1
    assert expected in wrong.stderr


def test_a_closed_pipe_is_not_an_error(cli: CommandLine) -> None:
    with cli.start("next", "* * * * *", "-n", "1000") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE


def run_unread(cli: CommandLine, *command: str, read: int = 0) -> tuple[int, str]:
    """Return the exit code and the errors of a command whose output is closed after some bytes."""
    start, end = os.pipe()
    with subprocess.Popen(
        command, stdout=end, stderr=subprocess.PIPE, text=True, env=cli.env({})
    ) as process:
        os.close(end)
        if read:
            os.read(start, read)
        os.close(start)
        _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


@pytest.mark.parametrize(
    "command", [["-h"], ["-V"], ["settings", "--json"], ["next", "-h"], ["next", "@daily"]]
)
def test_an_output_that_nobody_reads_ends_a_command_like_sigpipe(
    cli: CommandLine, command: list[str]
) -> None:
    assert run_unread(cli, SCRIPT, *command) == (128 + signal.SIGPIPE, "")


def test_a_command_within_celery_ends_in_the_same_way(cli: CommandLine) -> None:
    command = [SCRIPT.replace("cron-tasks", "celery"), "-A", "cron_tasks", "cron-tasks", "settings"]
    assert run_unread(cli, *command) == (128 + signal.SIGPIPE, "")


def test_an_output_that_takes_nothing_is_one_sentence(cli: CommandLine) -> None:
    for command in (["settings"], ["next", "* * * * *"], ["-h"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [SCRIPT, *command], stdout=full, stderr=subprocess.PIPE, env=cli.env({})
            )
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
        assert b"No space left on device" in done.stderr


def test_a_closed_output_is_not_an_error(cli: CommandLine) -> None:
    command = ["sh", "-c", '"$0" next "0 9 * * *" >&-', SCRIPT]
    done = subprocess.run(command, stderr=subprocess.PIPE, env=cli.env({}))
    assert (done.returncode, done.stderr) == (0, b"")


def test_colour_and_tables_are_for_terminals(cli: CommandLine) -> None:
    plain = cli.run("next", "0 9 * * *", "-n", "2").stdout
    assert plain.isascii()
    assert "\x1b" not in plain
    assert len(plain.splitlines()) == 4
    assert "\x1b[1mnext" in cli.on_terminal("next", "0 9 * * *")


def test_an_output_that_cannot_hold_a_character_shows_it_escaped(cli: CommandLine) -> None:
    process = subprocess.run(
        [SCRIPT, "next", "99 9 * * *"],
        env={**cli.env({}), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr == "Error: '99 9 * * *': minute 99 is not in 0\\u201359\n"


def test_settings_are_shown_with_origin_and_without_secrets(quick: Quick) -> None:
    done = quick.run("settings", REST_TOKEN="hush", REST_TOEKN="x", CHAT_ID="5")
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["VARIABLE", "VALUE", "ORIGIN", "MEANING"]
    shown = {row.split()[0]: row.split()[1:3] for row in rows}
    assert shown["CRON_TASKS_REST_TOKEN"] == ["***", "environment"]
    assert shown["CRON_TASKS_CHAT_ID"] == ["5", "environment"]
    assert shown["CRON_TASKS_TIMEZONE"] == ["UTC", "default"]
    assert "did you mean CRON_TASKS_REST_TOKEN?" in done.stderr
    assert "hush" not in done.stdout
    listed = quick.json("settings", CHAT_ID="5")
    assert listed[0].keys() == {"variable", "value", "origin", "meaning"}
    assert [row["variable"] for row in listed] == [row.split()[0] for row in rows]


def test_all_wrong_settings_are_reported_at_once(quick: Quick) -> None:
    for command in (["settings"], ["jobs", "list"]):
        error = quick.error(*command, SHRINK_LIMIT="7", TIMEZONE="Mars", REDIS_URL="http://:pw@x")
        for name in ("SHRINK_LIMIT", "TIMEZONE", "REDIS_URL"):
            assert f"CRON_TASKS_{name}" in error
        assert "pw" not in error
