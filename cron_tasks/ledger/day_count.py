"""The count of a day: how many runs of a job ended ok, and which, in one number. Pure.

Finishing a run adds to the count with one command of Redis. The audit compares it with what the
schedule asks for, and looks at single fire times only where it differs.
"""

from dataclasses import dataclass
from functools import lru_cache

from cron_tasks.schedules.durations import DAY

#: One run in a packed count; below it is the sum of the checksums.
_ONE_RUN = 10**13
#: Above the milliseconds of a day, and so low that those of 86,400 runs stay below _ONE_RUN. For
#: this prime, x to the power of _EXPONENT is another number for every x.
_PRIME = 86_400_047
_EXPONENT = 17
_INVERSE = pow(_EXPONENT, -1, _PRIME - 1)


@dataclass(frozen=True, slots=True)
class DayCount:
    """The number of runs, and the sum of the checksums of their fire times."""

    runs: int
    checksums: int

    @classmethod
    def unpack(cls, packed: int) -> "DayCount":
        """Read a count as Redis has it: the runs times 10^13, plus the checksums."""
        return cls(*divmod(packed, _ONE_RUN))

    @property
    def packed(self) -> int:
        """The count as one number. Packed counts can be added."""
        return self.runs * _ONE_RUN + self.checksums

    def __add__(self, other: "DayCount") -> "DayCount":
        return DayCount(self.runs + other.runs, self.checksums + other.checksums)


def count_one(fire_time: float) -> int:
    """Return the packed count of one run."""
    return _ONE_RUN + checksum_of(fire_time)


def checksum_of(fire_time: float) -> int:
    """Return what a fire time adds to the checksums of its day (checksum.lua does the same)."""
    return _power(milliseconds_in_day(fire_time))


def milliseconds_in_day(fire_time: float) -> int:
    """Return how many milliseconds after midnight (UTC) a fire time is."""
    return int(fire_time % DAY * 1000 + 0.5)


def invert_checksum(checksum: int) -> int | None:
    """Return the milliseconds in the day whose checksum this is; None if there are none."""
    milliseconds = pow(checksum, _INVERSE, _PRIME)
    is_whole = _power(milliseconds) == checksum and milliseconds < DAY * 1000
    return milliseconds if is_whole else None


@lru_cache(maxsize=65536)
def _power(milliseconds: int) -> int:
    """Sums of times agree easily by chance (two runs lost, the two between them doubled). Sums of
    these powers do not."""
    return pow(milliseconds, _EXPONENT, _PRIME)
