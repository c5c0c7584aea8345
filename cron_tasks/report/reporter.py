"""Report the state of each job to the REST service (CRON_TASKS_REST_REPORT_PATH).

`cron_tasks:reports` holds the jobs that have news, scored with the time from which to report them.
It does not hold the news itself: a report has the state at the time when it is sent. So many runs
of a job become one report, a service that was down gets the latest state, and no run waits for a
report. A job leaves the set when its report is answered, unless its score has changed meanwhile,
which means that it has further news.
"""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import orjson
import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.ledger.ledger import Ledger
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.report_requests import forget_refused, note_refused, retry_refused
from cron_tasks.registry.skips import group_by_job
from cron_tasks.rest.reports import Patcher, ReportAnswer
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.leases import keep_calling, take_or_extend
from cron_tasks.store.scripts import script

log = structlog.get_logger("cron_tasks.report")
_settle = script("report/settle")

#: Seconds between two checks for news.
EVERY = 1.0
#: Seconds after which another process takes over from one that died.
LOCK_TTL = 10.0
#: Reports that are read at once, and reports that are sent at once.
PAGE, THREADS = 500, 20
#: The longest pause after a failure, and the longest that a service may ask for, in seconds.
LONGEST_BACKOFF, LONGEST_RETRY_AFTER = 60.0, 3600.0


def build_report(run: str | None, upcoming: float | None, error: str | None) -> bytes:
    """Return the JSON of a report.

    `run` is the newest record of the history, `upcoming` the next fire time in seconds since the
    epoch, and `error` the errors of the job's row. Without a record, the report leaves out the last
    run, because the service may know one that has expired here. For a run that never started,
    `last_run_at` is its fire time and `last_error` the reason.
    """
    report: dict[str, Any] = {}
    with suppress(ValueError, LookupError, TypeError):
        last = orjson.loads(run or "null")
        at, why = last["started_at"], last["error"] or last["reason"]
        report["last_run_at"] = last["scheduled_for"] if at is None else iso_utc(round(at, 3))
        report |= {"last_status": last["status"], "last_error": why}
    report["next_run_at"] = None if upcoming is None else iso_utc(round(upcoming, 3))
    return orjson.dumps(report | {"config_error": error})


def draw_backoff(tries: int) -> float:
    """Return the seconds to pause after so many failures: exponential, with full jitter."""
    return random.uniform(0, min(LONGEST_BACKOFF, 2.0 ** min(tries, 10)))


def keep_reporting(reporter: "Reporter") -> None:
    """Report for as long as this process lives."""
    while True:
        try:
            reporter.send_due_reports(time.time)
        except RedisError as error:
            log.warning("report.waiting", error=str(error))
        except Exception:
            log.exception("report.raised")
        time.sleep(EVERY)


class Reporter:
    """Sends the reports of one Redis to one REST service.

    Only one of several reporters sends at a time. It keeps that role for as long as it lives, so it
    can count failures in its own memory.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.settings = settings
        self._ledger = Ledger(redis, settings)
        self._lock = redis.lock(keys.REPORTS_LOCK, timeout=LOCK_TTL, thread_local=False)
        # The failures of the service in a row, and the time before which nothing is sent to it.
        self._failures, self._not_before = 0, 0.0
        # The last status that was not a success, and how often it came in a row, by job.
        self._troubles: dict[str, tuple[int, int]] = {}
        self._path_checked = False
        #: The address of reports, for people, and for noticing that it has changed.
        self._address = f"{settings.rest_url}{settings.rest_report_path}"
        self._retried_refused = False

    def send_due_reports(self, clock: Callable[[], float]) -> int:
        """Send reports until none is due or the service is away. Return how many it accepted."""
        due, taken = self._find_due(clock()), 0
        if due:
            with (
                keep_calling(self._lock.reacquire, LOCK_TTL / 3),
                Patcher(self.settings, THREADS) as client,
                ThreadPoolExecutor(THREADS, "report") as pool,
            ):
                while due:
                    answers = self._send_reports(client, pool, [job_id for job_id, _ in due])
                    taken += self._settle_reports(due, answers, clock())
                    due = self._find_due(clock())
        return taken

    def _find_due(self, now: float) -> list[tuple[str, float]]:
        """Return (job id, score) of the reports to send now.

        If the service was away, that is one report, which shows whether it is back.
        """
        if not take_or_extend(self._lock) or now < self._not_before:
            return []
        if not self._retried_refused:
            if count := retry_refused(self.redis, self._address, now):
                log.info("report.retried", jobs=count, address=self._address)
            self._retried_refused = True
        limit = 1 if self._failures else PAGE
        due: Any = self.redis.zrangebyscore(keys.REPORTS, "-inf", now, 0, limit, withscores=True)
        return [(job_id, score) for job_id, score in due]

    def _send_reports(
        self, client: Patcher, pool: Executor, job_ids: Sequence[str]
    ) -> list[ReportAnswer | None]:
        """Return the answer for each job, or None if its report was not sent.

        Once the service is away, no further report is sent.
        """
        away = threading.Event()

        def send_one(job_id: str, report: bytes) -> ReportAnswer | None:
            if away.is_set():
                return None
            answer = client.send_report(job_id, report)
            if answer.verdict == "away":
                away.set()
            return answer

        return list(pool.map(send_one, job_ids, self._build_reports(job_ids)))

    def _build_reports(self, job_ids: Sequence[str]) -> list[bytes]:
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.zmscore(keys.SCHEDULE, [keys.entry_key(job_id) for job_id in job_ids])
            pipe.hmget(keys.REPORTED_ERRORS, job_ids)
            pipe.zrange(keys.SKIPS, 0, -1)
            upcoming, errors, to_skip = pipe.execute()
        if skipped := group_by_job(to_skip).keys() & set(job_ids):
            found = Registry(self.redis).read_jobs(skipped, lambda *_: None)
            kept = {each.job.id: each.next for each in found}
            upcoming = [kept.get(*each) for each in zip(job_ids, upcoming, strict=True)]
        return list(map(build_report, self._ledger.newest(job_ids), upcoming, errors))

    def _settle_reports(
        self, due: Sequence[tuple[str, float]], answers: Sequence[ReportAnswer | None], now: float
    ) -> int:
        """Remove finished reports from the set, and reschedule those to be sent again.

        Return how many reports the service accepted.
        """
        sent = [(*each, answer) for each, answer in zip(due, answers, strict=True) if answer]
        self._judge_service([answer for *_, answer in sent], now)
        news: dict[str, list[str]] = defaultdict(list)
        results: list[tuple[str, float, float | str]] = []
        refused: list[str] = []
        accepted: list[str] = []
        for job_id, score, answer in sent:
            again: float | str = ""  # Not again until the job has further news.
            status, tries = self._troubles.get(job_id, (0, 0))
            if answer.verdict in ("refused", "unknown"):
                refused.append(job_id)
            match answer.verdict:
                case "away":
                    again = self._not_before
                case "refused" | "failed" as verdict:
                    self._troubles[job_id] = answer.status, tries + 1
                    if answer.status != status:
                        news[answer.cause].append(job_id)
                    if verdict == "failed":
                        again = now + _pause_after(answer, tries + 1)
                case "taken" | "unknown" as verdict:
                    self._troubles.pop(job_id, None)
                    if verdict == "taken":
                        accepted.append(job_id)
            results.append((job_id, score, again))
        note_refused(self.redis, refused, self._address)
        forget_refused(self.redis, accepted)
        _settle(self.redis, now=now, results=results)
        for cause, job_ids in news.items():
            log.warning("report.refused", cause=cause, jobs=len(job_ids), job_ids=job_ids[:5])
        return len(accepted)

    def _judge_service(self, answers: Sequence[ReportAnswer], now: float) -> None:
        """Store whether the service is away and until when. Log when that changes."""
        verdicts = {answer.verdict for answer in answers}
        if "unknown" in verdicts and not self._path_checked and "taken" not in verdicts:
            log.warning("report.unknown_job", hint="is CRON_TASKS_REST_REPORT_PATH right?")
        self._path_checked |= not verdicts.isdisjoint(("unknown", "taken"))
        away = [answer for answer in answers if answer.verdict == "away"]
        if not away:
            if self._failures:
                log.info("report.service_back")
            self._failures = 0
            return
        self._failures += 1
        self._not_before = now + max(_pause_after(answer, self._failures) for answer in away)
        if self._failures == 1:
            log.error("report.service_away", cause=away[0].cause, kept="until it is back")


def _pause_after(answer: ReportAnswer, tries: int) -> float:
    """Return the seconds to pause after an answer, the last of this many failed tries."""
    return max(draw_backoff(tries), min(answer.retry_after or 0.0, LONGEST_RETRY_AFTER))
