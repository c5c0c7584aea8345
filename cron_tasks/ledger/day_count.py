"""The count of a day: the number of a job's ok runs and a checksum of their fire times. Pure.

Finishing a run adds to the count with one command of Redis. The audit compares the count with the
schedule, and looks at single fire times only if they differ.
"""

from dataclasses import dataclass
from functools import lru_cache

from cron_tasks.schedules.durations import DAY

#: One run in a packed count. The sum of the checksums is below it.
_ONE_RUN = 10**13
#: A prime above the milliseconds of a day, and so small that the sum for 86,400 runs stays below
#: _ONE_RUN. For this prime, x to the power of _EXPONENT is different for every x.
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
        """Parse a count as stored in Redis: the runs times 10^13, plus the checksums."""
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
    """Return the checksum of a fire time, which is added to those of its day (as in
    checksum.lua)."""
    return _power(milliseconds_in_day(fire_time))


def milliseconds_in_day(fire_time: float) -> int:
    """Return the milliseconds from midnight (UTC) to a fire time."""
    return int(fire_time % DAY * 1000 + 0.5)


def invert_checksum(checksum: int) -> int | None:
    """Return the milliseconds in the day that have this checksum. None if there are none."""
    milliseconds = pow(checksum, _INVERSE, _PRIME)
    is_whole = _power(milliseconds) == checksum and milliseconds < DAY * 1000
    return milliseconds if is_whole else None


@lru_cache(maxsize=65536)
def _power(milliseconds: int) -> int:
    """Return the power of a time. Plain sums of times are easily equal by chance (two runs lost,
    the two between them doubled). Sums of these powers are not."""
    return pow(milliseconds, _EXPONENT, _PRIME)
