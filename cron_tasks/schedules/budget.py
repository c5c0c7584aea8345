"""A budget of work for schedules, counted in steps and not in seconds.

A schedule comes from a row that anybody may have written. Reading one and asking it for a fire
time are searches, and each search spends from a budget, so no row can hold up a sync, a worker or
the leading beat. The count is the same on every machine and in every run.
"""

from cron_tasks.schedules.faults import Fault

#: Steps that one search may take, and that reading one schedule may take in all. A step examines a
#: day, a year or a candidate time, and takes about a microsecond; the budget is about 10 ms.
LIMIT = 12_000


class TooMuchWork(Fault):
    """A search has used up its budget."""

    def __init__(self) -> None:
        super().__init__(
            "takes too much work to find a fire time; make the rule simpler, "
            "or let it fire more often"
        )


class Work:
    """What is left of a budget."""

    __slots__ = ("left",)

    def __init__(self, limit: int = LIMIT) -> None:
        self.left = limit

    def spend(self, steps: int = 1) -> None:
        """Take `steps` from the budget. Raises TooMuchWork when it is used up."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork
