"""`cron-tasks sync` and `cron-tasks jobs`, with a real REST service and a real Redis."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from command_line import CommandLine, Quick
from helpers import PATIENCE, free_port, wait_until
from redis import Redis
from rest_server import RestServer, silent, status

from cron_tasks.cli.tables import fit_columns
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.outcomes import write_record
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.store import keys

PLANTS = {"id": 7, "name": "Water the plants", "cron_expression": "0 9 * * *"}
ODD = {
    "id": "x@1",
    "name": "\x1b[31m[red]\u202e水やり\n",
    "every": "PT1H",
    "timezone": "Asia/Tokyo",
    "chat_id": 5,
    "tags": ["ops"],
    "retry": {"max_attempts": 3},
    "exclude": ["2099-12-24"],
    "crn": 1,
}
OFF = {"id": 9, "name": "Off", "run_at": "2099-01-01T00:00:00Z", "enabled": False}
BAD = {"id": 11, "name": "Bad", "cron_expression": "99 9 * * *", "chat_id": [], "note": "\ud800"}


def test_sync_shows_its_plan_like_a_diff(quick: Quick, rest: RestServer, redis: Redis) -> None:
    rest.jobs = [PLANTS, ODD, BAD]
    plan = [
        "+ 7  Water the plants  0 9 * * *",
        "+ x@1  \\x1b[31m[red]\\u202e水やり\\n  PT1H",
        "! 11  row 3  `cron_expression`: minute 99 is not in 0–59",
    ]
    lines = quick.lines("sync", "--dry-run", code=3)
    assert lines[:3] == plan
    assert lines[3].startswith("! 11  row 3  `chat_id`: ")
    assert lines[4:] == ["would add 2; 0 unchanged, 1 rejected"]
    assert not redis.exists(keys.JOBS)
    summary = "2 added, 0 changed, 0 removed, 0 unchanged, 1 rejected"
    assert quick.lines("sync") == [*lines[:4], summary]
    assert quick.lines("sync", "--dry-run")[-1] == "would change nothing; 2 unchanged, 1 rejected"
    rest.jobs = [{**PLANTS, "cron_expression": "@daily"}]
    assert quick.lines("sync", "--dry-run", code=3) == [
        "~ 7  Water the plants  @daily",
        "- x@1",
        "would change 1, remove 1; 0 unchanged, 0 rejected",
    ]


def test_sync_as_json(quick: Quick, rest: RestServer) -> None:
    rest.jobs = [PLANTS, BAD]
    first = quick.json("sync")
    assert (first["state"], first["added"], first["unchanged"]) == ("ok", ["7"], 0)
    assert [(row["id"], len(row["errors"])) for row in first["rejected"]] == [("11", 2)]
    again = quick.json("sync")
    assert rest.requests[-1][2]["If-None-Match"]
    assert again == {**first, "added": [], "unchanged": 1}  # also when the answer was a 304


def test_a_refused_list_exits_1_and_shows_how_to_apply_it(
    quick: Quick, rest: RestServer, synced: Callable[..., None]
) -> None:
    synced(*({**PLANTS, "id": n} for n in range(60)))
    rest.jobs = []
    done = quick.run("sync", code=1)
    refusal = "the list is empty but 60 jobs are known"
    force_it = "If the list is right, run `cron-tasks sync --force`\n"
    assert done.stdout.endswith("would remove 60; 0 unchanged, 0 rejected\n")
    assert done.stderr == f"Error: Nothing was changed: {refusal}. {force_it}"
    done = quick.run("sync", "--dry-run", code=1)
    assert done.stderr == f"Error: This list would be refused: {refusal}. {force_it}"
    lines = quick.lines("sync", "--force")
    assert len(lines) == 52
    assert lines[-2:] == [
        "- … and 10 more",
        "0 added, 0 changed, 60 removed, 0 unchanged, 0 rejected",
    ]


def test_a_failing_service_exits_1_and_changes_nothing(
    quick: Quick, rest: RestServer, redis: Redis, synced: Callable[..., None]
) -> None:
    synced(PLANTS)
    rest.answer = status(404)
    assert quick.error("sync").startswith("Error: Nothing was changed: cannot read the jobs from ")
    report = json.loads(quick.run("sync", "--dry-run", "--json", code=1).stdout)
    assert (report["state"], report["removed"]) == ("failing", [])
    assert list(redis.hkeys(keys.JOBS)) == ["7"]


def test_a_sync_beside_another_reports_that(quick: Quick, redis: Redis) -> None:
    redis.set(keys.SYNC_LOCK, "somebody", ex=60)
    assert quick.json("sync")["state"] == "busy"
    assert redis.smembers(keys.SYNC_WANTED) == {"*"}
    redis.delete(keys.SYNC_LOCK, keys.SYNC_WANTED)


def test_ctrl_c_ends_quietly_and_frees_the_lock(
    cli: CommandLine, rest: RestServer, redis: Redis
) -> None:
    rest.answer = silent()
    with cli.start("sync") as process:
        wait_until(lambda: rest.requests, "the request")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 130
    assert not redis.exists(keys.SYNC_LOCK)


def test_without_a_rest_service_sync_names_the_setting(quick: Quick) -> None:
    assert "CRON_TASKS_REST_URL is not set" in quick.error("sync", REST_URL="")


def test_without_redis_one_sentence_names_it_without_its_password(quick: Quick) -> None:
    port = free_port()
    for command in (["jobs", "list"], ["next", "7"]):
        error = quick.error(*command, REDIS_URL=f"redis://:hush@127.0.0.1:{port}/0")
        assert len(error.splitlines()) == 1
        assert f"Redis at redis://:***@127.0.0.1:{port}/0: " in error
        assert "CRON_TASKS_REDIS_URL" in error


def test_jobs_list(quick: Quick, redis: Redis, synced: Callable[..., None]) -> None:
    synced(OFF, ODD, {**PLANTS, "id": 10}, PLANTS)
    by = Attempt(1, 1.0, 2.0, "w1")
    redis.lpush(
        keys.HISTORY_PREFIX + "7",
        write_record(RunId.stored("7@2026-11-23T09:00:00Z"), Result("failed"), by),
    )
    redis.expire(keys.HISTORY_PREFIX + "7", 60)
    rows = quick.json("jobs", "list")
    assert [row["id"] for row in rows] == ["7", "9", "10", "x@1"]
    plants, off, _, odd = rows
    assert datetime.fromisoformat(plants.pop("next")) > datetime.now(UTC)
    assert plants == {
        "id": "7",
        "name": "Water the plants",
        "schedule": "0 9 * * *",
        "timezone": "UTC",
        "enabled": True,
        "paused": False,
        "last_status": "failed",
    }
    assert (off["enabled"], off["next"], off["last_status"]) == (False, None, None)
    assert odd["next"].endswith("+00:00")
    assert (odd["name"], odd["schedule"]) == (ODD["name"], "PT1H")
    lines = quick.lines("jobs", "list")
    assert lines[0].split() == ["ID", "NAME", "SCHEDULE", "TIMEZONE", "NEXT", "LAST"]
    assert re.fullmatch(r"7    Water the plants +0 9 \* \* \*  +UTC +\S+\+00:00  failed", lines[1])
    assert lines[2].split()[-2:] == ["disabled", "-"]
    assert [row["id"] for row in quick.json("jobs", "list", "--tag", "ops")] == ["x@1"]


def test_no_text_of_a_job_can_control_a_terminal(
    cli: CommandLine, quick: Quick, synced: Callable[..., None]
) -> None:
    synced(ODD, BAD)
    for command in (["jobs", "list"], ["jobs", "show", "x@1"], ["jobs", "rejected"]):
        for out in (quick.run(*command).stdout, quick.run(*command, "--json").stdout):
            assert "".join(out.splitlines()).isprintable(), out
    screen = cli.on_terminal("jobs", "list", NO_COLOR="1")
    assert "[red]" in screen
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m|\u202e", screen)


def test_a_job_that_cannot_be_read_harms_no_other(
    quick: Quick, redis: Redis, synced: Callable[..., None]
) -> None:
    synced(PLANTS, ODD, OFF)
    redis.hset(keys.entry_key("7"), "job", "{")
    redis.hset(keys.entry_key("9"), "meta", "[]")
    done = quick.run("jobs", "list", "--json")
    assert [row["id"] for row in json.loads(done.stdout)] == ["x@1"]
    assert "Job 7 is left out: the job's document is not JSON" in done.stderr
    assert "Job 9 is left out: meta" in done.stderr


def test_jobs_show(quick: Quick, redis: Redis, synced: Callable[..., None]) -> None:
    synced(ODD, PLANTS)
    history = keys.HISTORY_PREFIX + "x@1"
    ok = write_record(
        RunId.stored("x@1@2026-11-23T09:00:00Z"), Result("ok"), Attempt(2, 1.0, 3.5, "w1")
    )
    missed = Result("missed", "coalesced")
    redis.rpush(
        history,
        ok,
        write_record(RunId.stored("x@1@2026-11-20T00:00:00Z"), missed, Attempt(0, None, 1.0, None)),
    )
    redis.expire(history, 60)
    shown = quick.json("jobs", "show", "x@1")
    assert shown["fields"] == {
        "exclude": ["2099-12-24"],
        "chat_id": 5,
        "retry": {"max_attempts": 3},
        "tags": ["ops"],
        "extra": {"crn": 1},
    }
    assert shown["description"].startswith("Every hour")
    assert len(shown["next"]) == 5
    assert len(shown["warnings"]) == 1
    assert [(run["status"], run["duration"]) for run in shown["runs"]] == [
        ("ok", 2.5),
        ("missed", None),
    ]
    text = quick.run("jobs", "show", "x@1").stdout
    for expected in (
        r"^x@1  \\x1b\[31m\[red\]",
        r"^schedule +PT1H$",
        r"^retry +\{\"max_attempts\": 3\}$",
        r"^paused +false$",
        r"^x@1@2026-11-23T09:00:00Z +ok +2 +1970-01-01T09:00:03\+09:00 +2\.5 s +w1 +-$",
        r"^x@1@2026-11-20T00:00:00Z +missed +- .* - +- +coalesced$",
    ):
        assert re.search(expected, text, re.MULTILINE), (expected, text)


def test_a_skipped_tick_stays_skipped_through_a_pause(
    quick: Quick, synced: Callable[..., None]
) -> None:
    synced(PLANTS)
    skipped = quick.json("jobs", "skip-next", "7")
    quick.run("jobs", "pause", "7", "--reason", "moving")
    assert quick.json("jobs", "resume", "7")["next"] == skipped["next"]


def test_jobs_show_lists_open_runs_and_obstacles(
    cli: CommandLine, quick: Quick, redis: Redis, synced: Callable[..., None]
) -> None:
    synced(PLANTS)
    skipped = quick.json("jobs", "skip-next", "7")
    going, waiting = "7@2026-11-23T09:00:00Z", "7@2026-11-22T09:00:00Z"
    trace = write_record(
        RunId.stored(waiting), Result("retry", error="HTTP 500"), Attempt(1, 1.0, 2.0, "w1")
    )
    redis.hset(keys.OPEN, mapping={going: "r|1||w2#1", waiting: "w|2||"})
    redis.hset(keys.ATTEMPTS, waiting, b"[" + trace + b"]")
    redis.zadd(keys.DEADLINES, {waiting: 4_000_000_000.0})
    shown = quick.json("jobs", "show", "7")
    assert [(run["run_id"], run["status"]) for run in shown["open"]] == [
        (going, "running"),
        (waiting, "retrying"),
    ]
    assert shown["open"][1]["retry_at"] == "2096-10-02T07:06:40+00:00"
    assert shown["rejected"] == []
    assert skipped["next"] == shown["next"][0] == quick.json("next", "7")[0]
    quick.run("jobs", "pause", "7", "--reason", "moving the database")
    synced({**PLANTS, "cron_expression": "99 * * * *"}, BAD)
    text = quick.run("jobs", "show", "7").stdout
    for expected in (
        r"^paused +since 20[\d:T-]+\+00:00: moving the database$",
        r"^rejected +the current row. The last good version stays in force: `cron_expression`: min",
        r"^skips +\[\"20..-..-..T09:00:00\+00:00\"\]$",
        r"^7@2026-11-23T09:00:00Z +running +1 +- +- +w2 +-$",
        r"HTTP 500 \(next attempt at 20[\d:T-]+\+00:00\)$",
    ):
        assert re.search(expected, text, re.MULTILINE), (expected, text)
    assert "paused: moving the database" in quick.lines("jobs", "list")[1]
    assert "Job 7 is paused (moving the database). No tick fires" in quick.run("next", "7").stderr
    assert "This run goes ahead" in cli.run("jobs", "run", "7").stderr
    assert quick.json("jobs", "resume", "7")["next"] == quick.json("next", "7")[0]
    error = quick.error("jobs", "show", "11")
    assert error.endswith("its row is rejected. See `cron-tasks jobs rejected`\n")


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (200, ["run", "status", "worker", "reason"]),
        (86, ["run", "status", "worker", "reason"]),  # the reason folds
        (85, ["run", "status", "reason"]),
        (48, ["run", "status", "reason"]),
        (47, []),  # a run id is never cut: lines as they are
    ],
)
def test_a_narrow_terminal_loses_columns_before_anything_is_cut_off(
    width: int, columns: list[str]
) -> None:
    heading = ("run", "status", "worker", "reason")
    row = ("7@2026-11-23T09:00:00Z", "ok", "worker1@host/1/abc", "it went " * 9)
    assert [heading[column] for column in fit_columns(heading, [row], width)] == columns


def test_an_unknown_job_is_one_sentence(quick: Quick, synced: Callable[..., None]) -> None:
    synced(PLANTS)
    assert quick.error("jobs", "show", "77") == (
        "Error: No job has the ID '77'; did you mean '7'?\n"
    )
    error = quick.error("next", "plants")
    assert error.startswith("Error: 'plants' is not an expression. As a job ID: no job has ")


def test_next_of_a_job(quick: Quick, synced: Callable[..., None]) -> None:
    synced(ODD, OFF)
    assert all(tick.endswith("+09:00") for tick in quick.json("next", "x@1"))
    done = quick.run("next", "9", "--timezone", "Europe/Berlin", "--json")
    assert json.loads(done.stdout) == ["2099-01-01T01:00:00+01:00"]
    enable = "Set `enabled: true` in your REST service"
    assert done.stderr == f"Warning: Job 9 is disabled. {enable}\n"


def test_jobs_rejected(quick: Quick, redis: Redis, synced: Callable[..., None]) -> None:
    synced(PLANTS, BAD, {"name": "nameless", "every": 60})
    redis.hset(keys.SET_ASIDE, "redbeat:cron_tasks:7", "JSONDecodeError: it is broken")
    rows = {row["place"]: row for row in quick.json("jobs", "rejected")}
    assert rows.keys() == {"row 2", "row 3", "entry redbeat:cron_tasks:7"}
    assert rows["row 2"].keys() == {"id", "place", "errors", "row"}
    assert (rows["row 2"]["id"], len(rows["row 2"]["errors"])) == ("11", 2)
    assert (rows["row 3"]["id"], rows["row 3"]["row"]["name"]) == (None, "nameless")
    lines = quick.lines("jobs", "rejected")
    assert lines[0].split() == ["ID", "PLACE", "ERROR", "ROW"]
    assert sum("minute 99 is not in 0–59" in line for line in lines) == 1


def test_jobs_run_opens_a_tick_and_sends_its_message(
    cli: CommandLine, quick: Quick, redis: Redis, synced: Callable[..., None]
) -> None:
    synced({**PLANTS, "queue": "slow"}, OFF)
    run_id = cli.run("jobs", "run", "7").stdout.strip()
    assert re.fullmatch(r"7@\d{4}-\d\d-\d\dT[\d:.]+Z", run_id)
    assert redis.hkeys(keys.OPEN) == [run_id]
    message = json.loads(redis.lpop("slow"))
    assert message["headers"]["id"] == run_id
    assert message["headers"]["task"] == "cron_tasks.run_job"
    assert quick.error("jobs", "run", "8").startswith("Error: No job has the ID '8'")
    assert redis.hlen(keys.OPEN) == 1
    # A disabled job runs when a person asks for it.
    off = cli.run("jobs", "run", "9").stdout.strip()
    assert off in redis.hkeys(keys.OPEN)


def test_the_same_commands_are_a_celery_plug_in(
    cli: CommandLine, quick: Quick, synced: Callable[..., None]
) -> None:
    synced(PLANTS)
    celery = [sys.executable, "-m", "celery", "-A", "cron_tasks", "cron-tasks"]
    env = cli.env({})
    listed = subprocess.run(
        [*celery, "jobs", "list", "--json"], env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(listed.stdout) == quick.json("jobs", "list")
