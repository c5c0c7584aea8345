"""Reports to a real REST service that is slow, away, or refuses them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import rest_server as answers
from helpers import PATIENCE, free_port, wait_for_progress, wait_until
from processes import Celery
from reading import TOKEN, settings
from redis import Redis
from rest_server import JOBS_PATH, RestServer
from structlog.testing import capture_logs

from cron_tasks.ledger.run_id import RunId
from cron_tasks.report import reporter as module
from cron_tasks.report.reporter import Reporter
from cron_tasks.runs.outcomes import write_record
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
PATH = JOBS_PATH + "{id}"
DONE = Result("ok")
EIGHT = "2027-01-15T08:00:00Z"
OK = {
    "last_run_at": "2027-01-15T08:00:00.012Z",
    "last_status": "ok",
    "last_error": None,
    "next_run_at": "2027-01-15T09:00:00Z",
    "config_error": None,
}


class Clock:
    now = NOW + 1

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(module, "draw_backoff", lambda tries: 2.0**tries)
    return Clock()


@pytest.fixture
def reporter(redis: Redis, rest: RestServer) -> Reporter:
    return Reporter(redis, settings(rest, rest_report_path=PATH))


def mark(redis: Redis, job_ids: list[str], now: float) -> None:
    """Mark these jobs as having news."""
    redis.zadd(keys.REPORTS, dict.fromkeys(job_ids, now))


def finish(
    redis: Redis, rest: RestServer, job_id: str = "7", result: Result = DONE, **more: Any
) -> None:
    """Leave the traces of a finished run, for a job that the service knows."""
    if all(row["id"] != job_id for row in rest.jobs):
        rest.jobs.append({"id": job_id, "name": "x", "cron_expression": "0 * * * *"})
    by = Attempt(1, more.get("started_at", NOW + 0.0123), NOW + 1, "w")
    line = write_record(RunId(job_id, NOW), result, by)
    redis.lpush(keys.HISTORY_PREFIX + job_id, line)
    redis.expire(keys.HISTORY_PREFIX + job_id, 100)
    redis.zadd(keys.SCHEDULE, {keys.entry_key(job_id): NOW + 3600})
    mark(redis, [job_id], more.get("at", NOW))


def waiting(redis: Redis) -> list[str]:
    return redis.zrange(keys.REPORTS, 0, -1)


def test_a_finished_run_is_reported_once(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    finish(redis, rest)
    assert reporter.send_due_reports(clock) == 1
    assert reporter.send_due_reports(clock) == 0
    assert rest.patches == [("7", OK)]
    method, path, headers = rest.requests[0]
    assert (method, path, headers["Content-Type"]) == (
        "PATCH",
        "/api/cronjobs/7",
        "application/json",
    )
    assert headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("result", "started_at", "said"),
    [
        (Result("failed", error="no way"), NOW, {"last_error": "no way", "last_run_at": EIGHT}),
        (Result("skipped", "overlap"), None, {"last_error": "overlap", "last_run_at": EIGHT}),
        (Result("missed", "no_catchup"), None, {"last_error": "no_catchup"}),
    ],
)
def test_the_fields_of_a_report(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock,
    result: Result, started_at: float | None, said: dict[str, Any],
) -> None:  # fmt: skip
    finish(redis, rest, result=result, started_at=started_at)
    reporter.send_due_reports(clock)
    assert rest.patches[0][1].items() >= (said | {"last_status": result.status}).items()


def test_a_one_off_that_is_done_has_no_next_run(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    finish(redis, rest)
    redis.delete(keys.SCHEDULE)
    reporter.send_due_reports(clock)
    assert rest.patches == [("7", OK | {"next_run_at": None})]


@pytest.mark.parametrize("line", [None, "{", "null", "[]", '{"status": "ok"}'])
def test_a_report_leaves_out_an_unreadable_run(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock, line: str | None
) -> None:
    if line is not None:
        redis.lpush(keys.HISTORY_PREFIX + "7", line)
        redis.expire(keys.HISTORY_PREFIX + "7", 100)
    mark(redis, ["7"], NOW)
    reporter.send_due_reports(clock)
    assert rest.patches == [("7", {"next_run_at": None, "config_error": None})]


@pytest.mark.parametrize("job_id", ["a/b", "../../x", "ключ %2F?#", "a b"])
def test_any_id_stays_one_part_of_the_path(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock, job_id: str
) -> None:
    finish(redis, rest, job_id)
    assert reporter.send_due_reports(clock) == 1
    assert rest.patches[0][0] == job_id
    assert rest.requests[0][1].count("/") == 3


@pytest.mark.parametrize("job_id", [".", ".."])
def test_an_id_that_no_path_can_hold_is_not_reported_to_another_url(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock, job_id: str
) -> None:
    finish(redis, rest, job_id)
    assert reporter.send_due_reports(clock) == 0
    assert (rest.requests, waiting(redis)) == ([], [])


def test_many_runs_are_one_report_of_the_latest(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    for number in range(5):
        finish(redis, rest, result=Result("failed", error=f"try {number}"), at=NOW + number / 10)
    assert reporter.send_due_reports(clock) == 1
    assert [body["last_error"] for _, body in rest.patches] == ["try 4"]


def test_a_run_that_ends_while_its_job_is_reported_is_reported_too(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    finish(redis, rest)

    def meanwhile(_: answers.Handler) -> bool:
        finish(redis, rest, result=Result("failed", error="late"), at=NOW + 0.5)
        return False

    rest.answer_patch = answers.first(1, meanwhile)
    assert reporter.send_due_reports(clock) == 2
    assert [body["last_status"] for _, body in rest.patches] == ["ok", "failed"]


def test_a_thousand_at_once(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    rest.jobs = [{"id": str(number), "name": "x", "every": 60} for number in range(1000)]
    for row in rest.jobs:
        finish(redis, rest, row["id"])
    connections = set()

    def count(handler: answers.Handler) -> bool:
        connections.add(handler.client_address)
        return False

    rest.answer_patch = count
    assert reporter.send_due_reports(clock) == 1000
    assert len(rest.patches) == len(dict(rest.patches)) == 1000
    assert len(connections) <= module.THREADS * 2, "connections are used again"


# A service that is away


@pytest.mark.parametrize(
    "trouble",
    [
        answers.status(503),
        answers.status(429),
        answers.status(502),
        answers.status(401),
        answers.reset(),
        answers.silent(),
        answers.drip(b"x", 0.05),
        answers.drip(b"x", 0.05, headers=True),
    ],
)
def test_a_service_that_was_away_gets_the_latest_state_and_is_not_flooded(
    redis: Redis, rest: RestServer, clock: Clock, trouble: answers.Answer
) -> None:
    # Long enough for a busy machine to answer in, once it is back.
    reporter = Reporter(redis, settings(rest, rest_report_path=PATH, rest_timeout=2.0))
    for number in range(100):
        finish(redis, rest, str(number))
    rest.answer_patch = trouble
    with capture_logs() as logs:
        for now in (1, 1.5, 3.5, 4, 8):  # pauses of 2, 4 and 8 seconds
            clock.now = NOW + now
            assert reporter.send_due_reports(clock) == 0
        assert len(rest.patches) <= (module.THREADS + 3) * 2, "one at a time, once it is away"
        assert len(waiting(redis)) == 100
        finish(redis, rest, "3", Result("failed", error="newer"), at=NOW + 9)
        rest.answer_patch, clock.now = None, NOW + 20
        rest.patches.clear()
        assert reporter.send_due_reports(clock) == 100
    assert len(rest.patches) == 100
    assert dict(rest.patches)["3"]["last_error"] == "newer"
    told = [entry["event"] for entry in logs]
    assert told == ["report.service_away", "report.service_back"]


def test_a_service_that_starts_later_gets_its_reports(redis: Redis, clock: Clock) -> None:
    with RestServer(port=free_port()) as rest:
        reporter = Reporter(redis, settings(rest, rest_report_path=PATH))
        finish(redis, rest)
    assert reporter.send_due_reports(clock) == 0
    with RestServer([{"id": "7"}], port=rest.port) as rest:
        clock.now += 10
        assert reporter.send_due_reports(clock) == 1
        assert rest.patches == [("7", OK)]


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock, code: int
) -> None:
    finish(redis, rest)
    rest.answer_patch = answers.first(1, answers.status(code, retry_after="30"))
    for now, taken in ((1, 0), (30, 0), (31.5, 1)):
        clock.now = NOW + now
        assert reporter.send_due_reports(clock) == taken
    assert len(rest.patches) == 2


def test_a_job_that_the_service_refuses_does_not_hold_up_others(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    for number in range(20):
        finish(redis, rest, str(number))
    rest.answer_patch = lambda handler: handler.path.endswith("/5") and answers.status(500)(handler)
    with capture_logs() as logs:
        assert reporter.send_due_reports(clock) == 19
        for now, tried in ((2, 1), (3.5, 2), (5, 2), (8, 3)):
            clock.now = NOW + now
            assert reporter.send_due_reports(clock) == 0
            assert [job for job, _ in rest.patches].count("5") == tried
    assert [entry["event"] for entry in logs] == ["report.refused"]
    rest.answer_patch, clock.now = None, NOW + 100
    assert reporter.send_due_reports(clock) == 1
    assert waiting(redis) == []


def test_a_report_that_hangs_does_not_hold_up_others(
    redis: Redis, rest: RestServer, clock: Clock
) -> None:
    reporter = Reporter(redis, settings(rest, rest_report_path=PATH, rest_timeout=0.2))
    for number in range(20):
        finish(redis, rest, str(number))
    rest.answer_patch = lambda handler: handler.path.endswith("/0") and answers.silent()(handler)
    for _ in range(20):
        reporter.send_due_reports(clock)
        clock.now += 10
    assert waiting(redis) == ["0"]


@pytest.mark.parametrize("code", [400, 403, 405, 422, 302])
def test_a_refusal_is_logged_once_until_it_changes(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock, code: int
) -> None:
    refuse = answers.reply(code, b"no", Location="/elsewhere")
    with capture_logs() as logs:
        for answer in (refuse, refuse, None, refuse):
            rest.answer_patch = answer
            for job_id in ("7", "8"):
                finish(redis, rest, job_id)
            reporter.send_due_reports(clock)
            assert waiting(redis) == []
    assert [(entry["event"], entry["jobs"]) for entry in logs] == [("report.refused", 2)] * 2
    assert str(code) in logs[0]["cause"]


@pytest.mark.parametrize("code", [404, 410])
def test_the_report_of_an_unknown_job_is_dropped(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock, code: int
) -> None:
    finish(redis, rest)
    reporter.send_due_reports(clock)
    with capture_logs() as logs:
        rest.answer_patch = answers.status(code)
        finish(redis, rest)
        assert reporter.send_due_reports(clock) == 0
    assert (waiting(redis), logs) == ([], [])


def test_a_path_that_is_unknown_for_every_job_is_logged_once(
    redis: Redis, rest: RestServer, clock: Clock
) -> None:
    reporter = Reporter(redis, settings(rest, rest_report_path="/wrong/{id}"))
    with capture_logs() as logs:
        for _ in range(2):
            finish(redis, rest)
            reporter.send_due_reports(clock)
    assert [entry["event"] for entry in logs] == ["report.unknown_job"]


@pytest.fixture
def stranger() -> Iterator[RestServer]:
    with RestServer([{"id": "7"}]) as server:
        yield server


def test_a_redirect_keeps_the_report_and_loses_the_token(
    redis: Redis, rest: RestServer, stranger: RestServer, reporter: Reporter, clock: Clock
) -> None:
    finish(redis, rest)
    rest.answer_patch = answers.redirect(f"{stranger.url}{JOBS_PATH}7", 307)
    assert reporter.send_due_reports(clock) == 1
    assert stranger.patches == [("7", OK)]
    assert "Authorization" not in stranger.requests[0][2]


# More than one, and none


def test_one_of_two_reporters_reports_until_it_is_gone(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    other = Reporter(redis, settings(rest, rest_report_path=PATH))
    seen = threading.Event()

    def race(_: answers.Handler) -> bool:
        assert other.send_due_reports(clock) == 0
        seen.set()
        return False

    rest.answer_patch = race
    finish(redis, rest)
    assert reporter.send_due_reports(clock) == 1
    assert seen.is_set()
    assert 0 < redis.pttl(keys.REPORTS_LOCK) <= module.LOCK_TTL * 1000
    redis.delete(keys.REPORTS_LOCK)
    rest.answer_patch = None
    finish(redis, rest)
    assert (other.send_due_reports(clock), reporter.send_due_reports(clock)) == (1, 0)


def test_a_reporter_that_seemed_dead_does_not_have_the_last_word(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    """It sends the state from before its freeze, so the current state is sent afterwards."""
    finish(redis, rest)
    other = Reporter(redis, settings(rest, rest_report_path=PATH))

    def frozen(_: answers.Handler) -> bool:
        redis.delete(keys.REPORTS_LOCK)
        finish(redis, rest, result=Result("failed", error="newer"), at=NOW + 0.5)
        assert other.send_due_reports(clock) == 1
        redis.delete(keys.REPORTS_LOCK)
        return False

    rest.answer_patch = answers.first(1, frozen)
    reporter.send_due_reports(clock)
    assert rest.patches[-1][1]["last_error"] == "newer"
    assert rest.jobs[0]["last_error"] == "newer"
    assert waiting(redis) == []


REPORTING = """
import sys, time
from cron_tasks.store.client import connect
from cron_tasks.report.reporter import Reporter
from cron_tasks.settings import Settings
settings = Settings(rest_url=sys.argv[2], rest_report_path=sys.argv[3])
Reporter(connect(sys.argv[1]), settings).send_due_reports(time.time)
"""


def test_kill_9_in_the_middle_loses_nothing(
    redis: Redis, redis_url: str, rest: RestServer, reporter: Reporter
) -> None:
    rest.jobs = [{"id": str(number), "name": "x"} for number in range(1200)]
    mark(redis, [row["id"] for row in rest.jobs], 1.0)
    is_killed = threading.Event()
    # Otherwise it might be done before it is killed.
    rest.answer_patch = lambda _: len(rest.patches) > 600 and not is_killed.wait(PATIENCE)
    command = [sys.executable, "-c", REPORTING, redis_url, rest.url, PATH]
    child = subprocess.Popen(command, env={**os.environ, "NO_PROXY": "*"})
    wait_until(lambda: len(rest.patches) > 600, "the child to be in the middle of it")
    child.send_signal(signal.SIGKILL)
    child.wait()
    is_killed.set()
    reached = len(rest.patches)
    assert reached < 1200
    assert len(waiting(redis)) >= 1200 - reached
    redis.delete(keys.REPORTS_LOCK)
    reporter.send_due_reports(time.time)
    assert {job_id for job_id, _ in rest.patches} == {row["id"] for row in rest.jobs}
    assert waiting(redis) == []


# Rejected rows, and what comes back in the list

BAD = {"id": "9", "name": "y", "cron_expression": "99 * * * *"}


def test_the_errors_of_a_row_and_their_end_are_reported(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    reconciler = Reconciler(redis, reporter.settings)
    rest.jobs = [dict(BAD), {"name": "has no id"}]
    rest.jobs[1]["id"] = None
    reconciler.sync(clock)
    assert reporter.send_due_reports(clock) == 1
    [(job_id, said)] = rest.patches
    assert (job_id, said["next_run_at"]) == ("9", None)
    assert "minute 99 is not in 0–59" in said["config_error"]
    for _ in range(2):  # our report is in the list by now
        reconciler.sync(clock)
    assert waiting(redis) == []
    rest.jobs[0] |= {"name": ""}
    reconciler.sync(clock)
    reporter.send_due_reports(clock)
    assert "`name`" in rest.patches[1][1]["config_error"]
    rest.jobs[0] |= {"name": "y", "cron_expression": "0 * * * *"}
    reconciler.sync(clock)
    assert reporter.send_due_reports(clock) == 1
    assert rest.patches[2] == ("9", {"next_run_at": "2027-01-15T09:00:00Z", "config_error": None})
    assert not redis.exists(keys.REPORTED_ERRORS)


def test_a_row_that_was_rejected_before_reporting_began_is_reported(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    rest.jobs = [dict(BAD)]
    Reconciler(redis, settings(rest)).sync(clock)
    assert list(redis.scan_iter(keys.REPORTS + "*")) == [], "nothing is written for nobody"
    Reconciler(redis, reporter.settings).sync(clock)
    assert waiting(redis) == ["9"]


def test_a_report_that_comes_back_changes_nothing(
    redis: Redis, rest: RestServer, reporter: Reporter, clock: Clock
) -> None:
    reconciler = Reconciler(redis, reporter.settings)
    rest.jobs = [{"id": "7", "name": "x", "cron_expression": "0 * * * *"}]
    reconciler.sync(clock)
    before = redis.hgetall(keys.entry_key("7"))
    finish(redis, rest)
    assert reporter.send_due_reports(clock) == 1
    assert rest.jobs[0].keys() >= OK.keys() | {"updated_at"}
    result = reconciler.sync(clock)
    assert result is not None
    assert (result.not_modified, result.changes.unchanged) == (False, 1)
    assert not result.changes
    assert redis.hgetall(keys.entry_key("7")) == before
    assert waiting(redis) == []


# The whole of it


def test_workers_report_without_delaying_runs(
    celery: Celery, redis: Redis, rest: RestServer
) -> None:
    """The service first hangs, and then pokes after each report, as it may."""
    rest.jobs = [{"id": 7, "name": "x", "every": 1}, dict(BAD)]
    rest.answer_patch = answers.silent()
    env = {"CRON_TASKS_REST_REPORT_PATH": PATH, "CRON_TASKS_REST_TIMEOUT": "5", "NO_PROXY": "*"}
    worker = celery.worker(1, **env)
    celery.beat(**env)
    wait_until(lambda: rest.patches, "a report of the rejected row")
    wait_for_progress(
        lambda: redis.llen("queue:to_telegram"), lambda: len(rest.patches), "runs during one report"
    )
    worker.wait_for("report.service_away")

    def poke(_: answers.Handler) -> bool:
        redis.lpush(keys.POKE, "*")
        return False

    rest.answer_patch = poke
    mark(redis, ["7"], time.time())
    wait_until(lambda: "config_error" in rest.jobs[1] and "last_status" in rest.jobs[0])
    assert rest.jobs[0]["last_status"] == "ok"
    # A run that begins late may begin after the next one is due.
    said = lambda: dict(rest.jobs[0])  # noqa: E731
    wait_until(lambda: (row := said())["next_run_at"] > row["last_run_at"], "a run in time")
    wait_until(lambda: not redis.exists(keys.REPORTS))
    assert worker.output.count("report.service_away") == 1
    assert worker.output.count("report.service_back") == 1
    assert worker.terminate() == 0


def report_from(redis: Redis, rest: RestServer, path: str, clock: Clock) -> int:
    """Return the reports of a worker that was started with this path."""
    reporter = Reporter(redis, settings(rest, rest_report_path=path))
    try:
        return reporter.send_due_reports(clock)
    finally:
        redis.delete(keys.REPORTS_LOCK)


@pytest.mark.parametrize("code", [301, 404, 405])
def test_refused_reports_are_sent_again_to_another_path(
    redis: Redis, rest: RestServer, clock: Clock, code: int
) -> None:
    rest.jobs = [{"id": number, "name": "x", "cron_expression": "0 * * * *"} for number in (1, 2)]
    Reconciler(redis, settings(rest)).sync(clock)
    mark(redis, ["1", "2", "gone"], NOW)
    rest.answer_patch = answers.reply(code, b"", Location="/elsewhere/")
    wrong, right = "/wrong/{id}", PATH
    assert report_from(redis, rest, wrong, clock) == 0
    assert waiting(redis) == []
    rest.answer_patch, rest.patches = None, []
    assert report_from(redis, rest, wrong, clock) == 0
    assert rest.patches == [], "to the same address they go with newer news only"
    assert report_from(redis, rest, right, clock) == 2
    assert sorted(job_id for job_id, _ in rest.patches) == ["1", "2"]
    assert not redis.exists(keys.REFUSED_REPORTS)


def test_the_refused_report_of_a_removed_job_is_forgotten(
    redis: Redis, rest: RestServer, clock: Clock
) -> None:
    rest.jobs = [{"id": number, "name": "x", "cron_expression": "0 * * * *"} for number in (1, 2)]
    Reconciler(redis, settings(rest)).sync(clock)
    mark(redis, ["1", "2"], NOW)
    rest.answer_patch = answers.status(405)
    report_from(redis, rest, PATH, clock)
    assert redis.hkeys(keys.REFUSED_REPORTS) == ["1", "2"]
    del rest.jobs[0]
    Reconciler(redis, settings(rest)).sync(clock)
    assert redis.hkeys(keys.REFUSED_REPORTS) == ["2"]
    redis.delete(keys.REFUSED_REPORTS)


def test_a_path_without_the_slash_that_django_needs_is_named(
    redis: Redis, rest: RestServer, clock: Clock
) -> None:
    finish(redis, rest)
    rest.answer_patch = answers.redirect(f"{rest.url}{JOBS_PATH}7/", 301)
    with capture_logs() as logs:
        report_from(redis, rest, PATH, clock)
    (line,) = [line for line in logs if line["event"] == "report.refused"]
    assert line["cause"].endswith("check CRON_TASKS_REST_REPORT_PATH: end it with a slash")


def test_a_new_job_is_reported_before_its_first_run(
    redis: Redis, rest: RestServer, clock: Clock
) -> None:
    row = {"id": "7", "name": "x", "cron_expression": "0 * * * *"}
    rest.jobs = [row]
    given = settings(rest, rest_report_path=PATH)
    Reconciler(redis, given).sync(clock)
    assert Reporter(redis, given).send_due_reports(clock) == 1
    assert rest.patches == [("7", {"next_run_at": OK["next_run_at"], "config_error": None})]
    redis.delete(keys.REPORTS_LOCK)
    rest.jobs[0] = rest.jobs[0] | {"name": "edited"}
    Reconciler(redis, given).sync(clock)
    assert waiting(redis) == [], "once"
    redis.flushall()
    Reconciler(redis, settings(rest)).sync(clock)
    assert waiting(redis) == [], "without REST_REPORT_PATH"
