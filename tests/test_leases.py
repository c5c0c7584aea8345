"""Leases are renewed even if one of them fails."""

from threading import Event

from helpers import PATIENCE
from redis.exceptions import ConnectionError

from cron_tasks.store.leases import keep_calling


def test_a_renewal_that_fails_stops_no_other() -> None:
    again = Event()

    def fail(error: Exception) -> None:
        raise error

    with (
        keep_calling(lambda: fail(ConnectionError()), 0),
        keep_calling(lambda: fail(ValueError()), 0),
        keep_calling(again.set, 0),
    ):
        for _ in range(2):
            assert again.wait(PATIENCE)
            again.clear()
