"""Reporting back: the REST service is told how its jobs fare (CRON_TASKS_REST_REPORT_PATH).

`cron_tasks:reports` holds which jobs have news, scored with the time from which to tell them, and
not the news itself: a report says what is so when it is sent. So many runs of a job are one report,
a service that was down gets the latest state, and runs wait for nobody. A job leaves the set when
its report was answered, unless its score changed meanwhile: then there is newer news.
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
from cron_tasks.registry.skips import by_job
from cron_tasks.rest.reports import Answer, Patcher
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings
from cron_tasks.store import names
from cron_tasks.store.leases import held, renewed
from cron_tasks.store.scripts import script

log = structlog.get_logger("cron_tasks.report")
_settle = script("report/settle")

#: Seconds between two looks for news.
EVERY = 1.0
#: Seconds after which another process reports in the place of one that died.
LOCK_TTL = 10.0
#: Reports read at once, and sent at once.
PAGE, THREADS = 500, 20
#: Longest pause after a failure in seconds, and the longest that a service may ask for.
LONGEST_BACKOFF, LONGEST_RETRY_AFTER = 60.0, 3600.0


def body(run: str | None, upcoming: float | None, error: str | None) -> bytes:
    """The JSON of a report: newest record of the history, next tick, what is wrong with the row.

    Without a record, nothing is said of the last run: the service may remember one that we forgot.
    `last_run_at` of a run that never started is the tick, its `last_error` the reason.
    """
    said: dict[str, Any] = {}
    with suppress(ValueError, LookupError, TypeError):
        last = orjson.loads(run or "null")
        at, why = last["started_at"], last["error"] or last["reason"]
        said["last_run_at"] = last["scheduled_for"] if at is None else iso_utc(round(at, 3))
        said |= {"last_status": last["status"], "last_error": why}
    said["next_run_at"] = None if upcoming is None else iso_utc(round(upcoming, 3))
    return orjson.dumps(said | {"config_error": error})


def backoff(tries: int) -> float:
    """Seconds to wait after so many failures: exponential, with full jitter."""
    return random.uniform(0, min(LONGEST_BACKOFF, 2.0 ** min(tries, 10)))


def keep_reporting(reporter: "Reporter") -> None:
    """Report for as long as this process lives."""
    while True:
        try:
            reporter.report(time.time)
        except RedisError as error:
            log.warning("report.waiting", error=str(error))
        except Exception:
            log.exception("report.raised")
        time.sleep(EVERY)


class Reporter:
    """Sends the reports of one Redis to one REST service; of several, one is at it.

    The one that is stays it as long as it lives, so what it knows of failures can be its own.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.settings = settings
        self._ledger = Ledger(redis, settings)
        self._lock = redis.lock(names.REPORTS_LOCK, timeout=LOCK_TTL, thread_local=False)
        # Of the service: failures in a row, and the time before which nothing is sent.
        self._failures, self._not_before = 0, 0.0
        # By job: the last status that was no success, and how often in a row.
        self._troubles: dict[str, tuple[int, int]] = {}
        self._path_doubted = False

    def report(self, clock: Callable[[], float]) -> int:
        """Send what is due until nothing is, or the service is away; how many it took."""
        due, taken = self._due(clock()), 0
        if due:
            with (
                renewed(self._lock.reacquire, LOCK_TTL / 3),
                Patcher(self.settings, THREADS) as client,
                ThreadPoolExecutor(THREADS, "report") as pool,
            ):
                while due:
                    answers = self._send(client, pool, [job_id for job_id, _ in due])
                    taken += self._settle(due, answers, clock())
                    due = self._due(clock())
        return taken

    def _due(self, now: float) -> list[tuple[str, float]]:
        """(job id, score) of what to send now; of a service that was away, one to see if it is."""
        if not held(self._lock) or now < self._not_before:
            return []
        limit = 1 if self._failures else PAGE
        due: Any = self.redis.zrangebyscore(names.REPORTS, "-inf", now, 0, limit, withscores=True)
        return [(job_id, score) for job_id, score in due]

    def _send(self, client: Patcher, pool: Executor, job_ids: Sequence[str]) -> list[Answer | None]:
        """The answer for each job; None for those left alone once the service is away."""
        away = threading.Event()

        def send(job_id: str, report: bytes) -> Answer | None:
            if away.is_set():
                return None
            answer = client.report(job_id, report)
            if answer.verdict == "away":
                away.set()
            return answer

        return list(pool.map(send, job_ids, self._bodies(job_ids)))

    def _bodies(self, job_ids: Sequence[str]) -> list[bytes]:
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.zmscore(names.SCHEDULE, [names.entry_key(job_id) for job_id in job_ids])
            pipe.hmget(names.REPORTED_ERRORS, job_ids)
            pipe.zrange(names.SKIPS, 0, -1)
            upcoming, errors, to_skip = pipe.execute()
        if skipped := by_job(to_skip).keys() & set(job_ids):
            found = Registry(self.redis).registered(skipped, lambda *_: None)
            kept = {each.job.id: each.next for each in found}
            upcoming = [kept.get(*each) for each in zip(job_ids, upcoming, strict=True)]
        return list(map(body, self._ledger.newest(job_ids), upcoming, errors))

    def _settle(
        self, due: Sequence[tuple[str, float]], answers: Sequence[Answer | None], now: float
    ) -> int:
        """Take what is done out of the set and put back what is to be tried again."""
        told = [(*each, answer) for each, answer in zip(due, answers, strict=True) if answer]
        self._judge_service([answer for *_, answer in told], now)
        news: dict[str, list[str]] = defaultdict(list)
        results: list[tuple[str, float, float | str]] = []
        for job_id, score, answer in told:
            again: float | str = ""  # not before there is newer news
            status, tries = self._troubles.get(job_id, (0, 0))
            match answer.verdict:
                case "away":
                    again = self._not_before
                case "refused" | "failed" as verdict:
                    self._troubles[job_id] = answer.status, tries + 1
                    if answer.status != status:
                        news[answer.cause].append(job_id)
                    if verdict == "failed":
                        again = now + _pause(answer, tries + 1)
                case _:
                    self._troubles.pop(job_id, None)
            results.append((job_id, score, again))
        _settle(self.redis, now=now, results=results)
        for cause, job_ids in news.items():
            log.warning("report.refused", cause=cause, jobs=len(job_ids), job_ids=job_ids[:5])
        return sum(answer.verdict == "taken" for *_, answer in told)

    def _judge_service(self, answers: Sequence[Answer], now: float) -> None:
        """Whether the service is there, and from when it may be asked again; a change is said."""
        verdicts = {answer.verdict for answer in answers}
        if "unknown" in verdicts and not self._path_doubted and "taken" not in verdicts:
            log.warning("report.unknown_job", hint="is CRON_TASKS_REST_REPORT_PATH right?")
        self._path_doubted |= not verdicts.isdisjoint(("unknown", "taken"))
        away = [answer for answer in answers if answer.verdict == "away"]
        if not away:
            if self._failures:
                log.info("report.service_back")
            self._failures = 0
            return
        self._failures += 1
        self._not_before = now + max(_pause(answer, self._failures) for answer in away)
        if self._failures == 1:
            log.error("report.service_away", cause=away[0].cause, kept="until it is back")


def _pause(answer: Answer, tries: int) -> float:
    return max(backoff(tries), min(answer.retry_after or 0.0, LONGEST_RETRY_AFTER))
