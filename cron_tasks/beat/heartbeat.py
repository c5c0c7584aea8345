"""The heartbeat: the leading beat requests a URL only while everything works.

Whoever counts the requests alarms when they stop: when a job does not fire, when no worker is
present, when the list is old, and when all of this machine is gone. It runs in a thread with a
connection of its own, so a slow URL delays no tick.
"""

import threading
import time
from collections.abc import Callable

import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.http.pings import send_ping
from cron_tasks.settings import Settings
from cron_tasks.store.client import connect
from cron_tasks.vitals.judgement import Verdict, judge_system, read_facts

log = structlog.get_logger("cron_tasks.beat")

#: Seconds between two looks at whether this beat leads and the system is healthy.
LOOK_EVERY = 1.0
#: Seconds after which the system is judged again that was not healthy.
JUDGE_AGAIN = 5.0
#: Seconds to wait for Redis.
PATIENCE = 2.0


class Heartbeat:
    """Requests `CRON_TASKS_HEARTBEAT_URL`, one request at a time. Does nothing without that.

    `is_leading` returns whether this beat leads.
    """

    def __init__(self, settings: Settings, is_leading: Callable[[], bool]) -> None:
        self._settings = settings
        self._is_leading = is_leading
        self._ended = threading.Event()
        self._state = ""

    def start(self) -> None:
        """Start the thread if there is a URL."""
        if self._settings.heartbeat_url is not None:
            threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def end(self) -> None:
        """Send no further request. One that was sent is not waited for."""
        self._ended.set()

    def _run(self) -> None:
        url = self._settings.redis_url.get_secret_value()
        due = 0.0
        with connect(url, timeout=PATIENCE, retries=0) as redis:
            while not self._ended.wait(LOOK_EVERY):
                if self._is_leading() and time.monotonic() >= due:
                    began = time.monotonic()
                    due = began + self._beat_once(redis)

    def _beat_once(self, redis: Redis) -> float:
        """Judge the system, and send a request if it is healthy. Return the seconds to the next."""
        url, interval = self._settings.heartbeat_url, self._settings.heartbeat_interval
        verdict = self._judge(redis)
        if not verdict.is_healthy:
            self._note("withheld", verdict.detail)
            return min(interval, JUDGE_AGAIN)
        assert url is not None
        fault = send_ping(url.get_secret_value(), "GET")
        self._note("failed" if fault else "sent", fault or "")
        return interval

    def _judge(self, redis: Redis) -> Verdict:
        try:
            return judge_system(read_facts(redis, time.time()), self._settings.sync_interval)
        except RedisError as error:
            return Verdict(False, f"Redis: {error}")

    def _note(self, state: str, reason: str) -> None:
        """Log a change, once."""
        if state == self._state:
            return
        self._state = state
        if state == "sent":
            log.info("heartbeat.sent")
        else:
            log.warning(f"heartbeat.{state}", reason=reason)
