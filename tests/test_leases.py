"""Leases are renewed whatever becomes of one of them."""

from threading import Event

from redis.exceptions import ConnectionError

from cron_tasks.store.leases import renewed


def test_a_renewal_that_fails_stops_no_other() -> None:
    again = Event()

    def fail(error: Exception) -> None:
        raise error

    with (
        renewed(lambda: fail(ConnectionError()), 0),
        renewed(lambda: fail(ValueError()), 0),
        renewed(again.set, 0),
    ):
        for _ in range(2):
            assert again.wait(20)
            again.clear()
