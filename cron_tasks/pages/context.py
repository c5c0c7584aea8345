"""What all pages of one Flower share: Redis, the index, the survey, threads."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from threading import Lock
from typing import cast

from redis.exceptions import RedisError

from cron_tasks.pages.facts import Health, read_health
from cron_tasks.pages.forecast import Forecaster
from cron_tasks.pages.index import Index
from cron_tasks.pages.survey import Survey
from cron_tasks.runs import queries
from cron_tasks.settings import Settings, load
from cron_tasks.store import keys
from cron_tasks.store.client import connect

#: Pages that are read at the same time.
THREADS = 4
#: Seconds for which what the health page shows is kept, however many tabs show it.
HEALTH_KEPT = 1.0


class Context:
    """Everything that reads for pages. It is used in threads, and not in Flower's event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redis = connect(settings.redis_url.get_secret_value(), retries=0)
        self.index = Index(self.redis)
        self.survey = Survey(self.redis, settings)
        self.forecaster = Forecaster()
        self.threads = ThreadPoolExecutor(THREADS, "pages")
        #: The ids of the latest failed runs, as the last look found them (live.py).
        self.failed_runs: frozenset[str] = frozenset()
        self._health: Health | None = None
        self._reading = Lock()

    def warm_up(self) -> None:
        """Read the index, which takes a second for 100,000 jobs, and begin the forecast."""
        with suppress(RedisError):
            self.forecaster.get(self.index.get(), 0.0)

    def health(self) -> Health:
        """Return how everything is, at most a second old."""
        with self._reading:
            now = time.time()
            if self._health is None or not 0 <= now - self._health.at < HEALTH_KEPT:
                surveyed = self.survey.get()
                index = self.index.get()
                self._health = read_health(self.redis, self.settings, index, surveyed, now)
            return self._health

    def has_changed(self) -> None:
        """Read everything anew for the next page, because an action has changed it."""
        self._health = None

    def ids_in_state(self, state: str) -> set[str] | None:
        """Return the ids of the jobs in a state that Redis knows, or None if the index does."""
        match state:
            case "failing":
                return set(cast("list[str]", self.redis.hkeys(keys.FAILING)))
            case "running":
                opened = queries.list_open(self.redis, queries.PAGE, status="running")
                return {run["job_id"] for run in opened}
        return None


@cache
def get_context() -> Context:
    """Return the context of this process."""
    return Context(load())
