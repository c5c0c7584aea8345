"""A budget for schedules, counted in steps and not in seconds.

A schedule comes from a row that anybody may have written. Reading it and computing a fire time are
searches. Each search spends from a budget, so no row can delay a sync, a worker or the leading
beat. The count is the same on every machine and in every run.
"""

from cron_tasks.schedules.faults import Fault

#: Steps that one search may take, and that reading one schedule may take in all. A step examines a
#: day, a year or a candidate time, and takes about a microsecond. The budget is about 10 ms.
MAX_STEPS = 12_000


class TooMuchWork(Fault):
    """A search has used up its budget."""

    def __init__(self) -> None:
        super().__init__(
            "takes too much work to find a fire time; make the rule simpler, "
            "or let it fire more often"
        )


class Budget:
    """The steps that a search has left."""

    __slots__ = ("left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Take `steps` from the budget. Raises TooMuchWork if it is used up."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork
