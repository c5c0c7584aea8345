"""The records of runs as they end, for followers."""

from itertools import takewhile
from operator import itemgetter
from typing import cast

from redis import Redis

from cron_tasks.ledger.history import read_open_minutes, split_runs
from cron_tasks.ledger.minutes import is_minute
from cron_tasks.runs.shapes import Shape, read_records, shape_record
from cron_tasks.store import keys

#: The number of the newest records that a `Tail` reads. If all of them are new, it reads ten times
#: more.
WINDOW = 100


class Tail:
    """The records of runs, as they end."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._seen: frozenset[str] = frozenset()
        #: The runs of minutes that were returned, either single or with their minute.
        self._of_minutes: frozenset[str] = frozenset()

    def read(self) -> list[Shape]:
        """Return the records since the last call, oldest first. The first call returns all.

        The runs of a minute in progress come one by one. A minute whose runs did not come one by
        one is one record, because there were too many jobs.
        """
        fresh, minutes = self._read_fresh(), read_open_minutes(self.redis)
        ended = list(read_records(line for line in reversed(fresh) if not is_minute(line)))
        of_minutes = set[str]()
        for line in (*minutes, *filter(is_minute, self._seen)):
            runs = {str(run["run_id"]): run for run in split_runs([line])}
            new = runs.keys() - self._of_minutes
            of_minutes.update(runs)
            if line in fresh and new == runs.keys():
                ended += read_records([line])
            else:
                ended += [shape_record(runs[run_id]) for run_id in new]
        self._of_minutes = frozenset(of_minutes)
        return sorted(ended, key=itemgetter("finished_at"))

    def _read_fresh(self) -> list[str]:
        """Return the newest records of all jobs that the last call has not seen.

        A call compares them with all records of the last call, because a Redis that was killed may
        have lost the newest.
        """
        most = WINDOW
        while True:
            lines = cast("list[str]", self.redis.lrange(keys.RECENT, 0, most - 1))
            fresh = list(takewhile(lambda line: line not in self._seen, lines))
            if len(fresh) < most:
                break
            most *= 10
        self._seen = frozenset(lines)
        return fresh
