"""The heartbeat: the leading beat requests a URL only while everything works.

The service at that URL raises an alarm when the requests stop: when a job does not fire, when no
worker is present, when the list is old, and when the whole machine is down.
"""

import time

import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.http.pings import send_ping
from cron_tasks.settings import Settings
from cron_tasks.vitals.judgement import Verdict, judge_system, read_facts

log = structlog.get_logger("cron_tasks.beat")

#: Seconds after which an unhealthy system is checked again.
JUDGE_AGAIN = 5.0


class Heartbeat:
    """Requests `CRON_TASKS_HEARTBEAT_URL`, which has to be set, one request at a time."""

    def __init__(self, settings: Settings) -> None:
        assert settings.heartbeat_url is not None
        self._url = settings.heartbeat_url.get_secret_value()
        self._settings = settings
        self._state = ""

    def beat_once(self, redis: Redis) -> float:
        """Send a request if the system is healthy. Return the seconds until the next one."""
        verdict = self._judge(redis)
        if not verdict.is_healthy:
            self._note("withheld", verdict.detail)
            return min(self._settings.heartbeat_interval, JUDGE_AGAIN)
        fault = send_ping(self._url, "GET")
        self._note("failed" if fault else "sent", fault or "")
        return self._settings.heartbeat_interval

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
        match state:
            case "sent":
                log.info("heartbeat.sent")
            case "withheld":
                log.warning("heartbeat.withheld", reason=reason)
            case _:
                log.warning("heartbeat.failed", reason=reason)
