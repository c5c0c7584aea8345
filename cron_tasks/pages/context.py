"""The objects that all pages of one Flower share: Redis, the index, the survey, threads."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import islice
from threading import Lock
from typing import cast

from redis.exceptions import RedisError

from cron_tasks.ledger.open_runs import parse_open
from cron_tasks.ledger.readable import parse_each
from cron_tasks.pages.beside import Maker
from cron_tasks.pages.facts import Health, read_health
from cron_tasks.pages.index import Index
from cron_tasks.pages.keepers import Forecaster, Survey
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.settings import Settings, load
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.store.paging import PAGE

#: The most pages that are read at the same time.
THREADS = 4
#: The most open runs that are searched for the running jobs.
MOST_OPEN = 20_000
#: Seconds for which the data of the health page are cached, however many tabs show it.
HEALTH_KEPT = 1.0


class Context:
    """Everything that reads for pages. It is used in threads, and not in Flower's event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redis = connect(settings.redis_url.get_secret_value(), retries=0)
        self.index = Index(self.redis)
        make = Maker(self.redis, settings).make
        self.survey, self.forecaster = Survey(make), Forecaster(make)
        self.threads = ThreadPoolExecutor(THREADS, "pages")
        #: The ids of the latest failed runs, as last read (live.py).
        self.failed_runs: frozenset[str] = frozenset()
        self._health: Health | None = None
        self._reading = Lock()

    def warm_up(self) -> None:
        """Read the index, which takes a second for 100,000 jobs."""
        with suppress(RedisError):
            self.index.get()

    def health(self) -> Health:
        """Return the state of the whole system, at most a second old."""
        with self._reading:
            now = time.time()
            if self._health is None or not 0 <= now - self._health.at < HEALTH_KEPT:
                surveyed = self.survey.get()
                index = self.index.peek()
                self._health = read_health(self.redis, self.settings, index, surveyed, now)
            return self._health

    def forget_health(self) -> None:
        """Read everything again for the next page, because an action has changed it."""
        self._health = None

    def ids_in_state(self, state: str) -> set[str] | None:
        """Return the ids of the jobs in a state that Redis knows, or None if the index does."""
        match state:
            case "failing":
                return set(cast("list[str]", self.redis.hkeys(keys.FAILING)))
            case "running":
                opened = islice(self.redis.hscan_iter(keys.OPEN, count=PAGE), MOST_OPEN)
                runs = parse_each(parse_open, opened)
                return {run_id.job_id for run_id, state in runs if state.in_flight}
            case "rejected":
                return {each.id for each in read_rejected(self.redis) if each.id}
        return None


@cache
def get_context() -> Context:
    """Return the context of this process."""
    return Context(load())
