"""Everything that uses the internals of RedBeat (2.4).

These are its Scheduler, its Entry, its codec, and the attribute of the app in which it keeps its
Redis client.
"""

from datetime import UTC, datetime
from typing import Any

from celery.beat import SchedulingError
from celery.schedules import BaseSchedule, schedstate
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat.decoder import RedBeatJSONDecoder
from redbeat.schedulers import REDBEAT_REDIS_KEY
from redis import Redis

from cron_tasks.errors import CronTasksError
from cron_tasks.registry.entries import SCHEDULE_TYPE
from cron_tasks.schedules import Schedule, from_spec
from cron_tasks.store import keys

#: Seconds after which an entry that is never due again is checked again.
NEVER_DUE_WAIT = 2.0
#: Seconds for which an operator's entry that has just fired is left alone at least.
SHORTEST_PAUSE = 0.1


class JobSchedule(BaseSchedule):
    """The schedule of a job as Celery and RedBeat see it."""

    def __init__(self, schedule: Schedule, app: Any = None) -> None:
        super().__init__(app=app)
        self.schedule = schedule

    def remaining_estimate(self, last_run_at: datetime) -> Any:
        upcoming = self.schedule.after(last_run_at)
        return None if upcoming is None else upcoming - datetime.now(UTC)

    def is_due(self, last_run_at: datetime) -> schedstate:
        remaining = self.remaining_estimate(last_run_at)
        if remaining is None:
            return schedstate(False, NEVER_DUE_WAIT)
        return schedstate(remaining.total_seconds() <= 0, max(remaining.total_seconds(), 0.0))

    def __repr__(self) -> str:
        return f"<{self.schedule.describe()}>"


class _Decoder(RedBeatJSONDecoder):
    def dict_to_object(self, d: dict[str, Any]) -> Any:
        if d.get("__type__") != SCHEDULE_TYPE:
            return super().dict_to_object(d)
        return JobSchedule(from_spec({key: d[key] for key in d if key != "__type__"}))


class Entry(RedBeatSchedulerEntry):
    """A RedBeat entry whose schedule may be that of a job. A job's entry cannot be saved.

    The REST service defines the jobs, so changes belong there.
    """

    @staticmethod
    def decode_definition(definition: str) -> Any:
        return _Decoder().decode(definition)

    @property
    def due_at(self) -> datetime | None:
        if isinstance(self.schedule, JobSchedule) and self.last_run_at is not None:
            return self.schedule.schedule.after(self.last_run_at)
        due_at: datetime | None = super().due_at
        return due_at

    def save(self) -> "Entry":
        if isinstance(self.schedule, JobSchedule):
            raise CronTasksError(f"{self.name} belongs to the REST service: change it there")
        super().save()
        return self


class EntryScheduler(RedBeatScheduler):
    """RedBeat's scheduler without its loop and its lock: its entries and Celery's producer."""

    Entry = Entry

    def __init__(self, app: Any, redis: Redis, **kwargs: Any) -> None:
        self.redis = redis
        setattr(app, REDBEAT_REDIS_KEY, redis)
        super().__init__(app, **kwargs)
        # RedBeat's start-up hook blocks until it leads. Without a key it does nothing.
        self.lock_key = None

    def setup_schedule(self) -> None:
        """Do nothing, because Redis may be away when the process starts, and another beat may
        lead."""

    def write_configured_entries(self) -> None:
        """Write the entries of Celery's configuration: the entry of the sync.

        Raises the error of an entry in Redis that cannot be read.
        """
        super().setup_schedule()

    def fire_operators_entry(self, key: str, now: float) -> None:
        """Fire an entry of an operator as stock RedBeat does, and keep it from firing in a loop.

        Raises the error of an entry that cannot be read, or of a broker that is away.
        """
        entry = self.Entry.from_key(key, app=self.app)
        if entry.key != key:
            raise ValueError(f"its definition is that of {entry.key}")
        is_due, pause = entry.is_due()
        if is_due:
            try:
                self.apply_async(entry, producer=self.producer)
            except SchedulingError as error:
                # Celery wraps every error of publishing.
                raise error.__context__ or error from None
        score = self.redis.zscore(keys.SCHEDULE, key)
        if score is not None and 0 <= score <= now:
            later = now + max(0.0 if is_due else float(pause or 0), SHORTEST_PAUSE)
            self.redis.zadd(keys.SCHEDULE, {key: later}, xx=True)

    def forget_connections(self) -> None:
        """Drop the producer and its connection. A failed connection may be in the middle of a
        batch."""
        self.__dict__.pop("producer", None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            connection.release()
