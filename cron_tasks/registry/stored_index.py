"""The index of jobs in Redis, read in parts."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import cast

from redis import Redis

from cron_tasks.store import keys


class StoredIndex:
    """The index in Redis. It is read in parts, because a million values take 300 MB."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._count = redis.hlen(keys.JOBS)

    def __len__(self) -> int:
        """Return the number of jobs at first."""
        return self._count

    def look_up(self, job_ids: Sequence[str]) -> Sequence[str | None]:
        if not job_ids or not self._count:
            return [None] * len(job_ids)
        return cast("list[str | None]", self._redis.hmget(keys.JOBS, job_ids))

    def find_others(self, found: int, job_ids: AbstractSet[str]) -> list[str]:
        if found == self._redis.hlen(keys.JOBS):
            return []
        ids = cast("list[str]", self._redis.hkeys(keys.JOBS))
        return [job_id for job_id in ids if job_id not in job_ids]
