"""While a long list is read, single rows are written, and the list does not undo them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from feed_server import FeedServer
from helpers import PATIENCE, wait_until
from redis import Redis
from rest_server import JOBS_PATH, Handler, reply
from test_feed import System, feed, job, system

from cron_tasks.registry.wanted import is_anything_wanted, want_rows
from cron_tasks.sync.feed_state import load_position

__all__ = ["feed", "system"]


@contextmanager
def reading_the_list(system: System) -> Iterator[None]:
    """Send the list as it is now, once the block has ended."""
    rows, goes_on, came = json.dumps(system.rest.jobs).encode(), threading.Event(), []
    link = f'<{JOBS_PATH}changes?cursor={system.rest.cursor}>; rel="changes"'

    def hold(handler: Handler) -> bool:
        came.append(handler)
        system.rest.answer_list = None
        goes_on.wait(PATIENCE)
        return reply(200, rows, Link=link)(handler)

    system.rest.answer_list = hold
    thread = threading.Thread(target=system.sync)
    thread.start()
    wait_until(lambda: came, "the sync to read")
    try:
        yield
    finally:
        goes_on.set()
        thread.join()


def named(system: System, job_id: str, name: str) -> Callable[[], bool]:
    return lambda: system.names().get(job_id) == name


def test_a_poke_counts_while_the_list_is_read(system: System) -> None:
    with reading_the_list(system):
        system.rest.put(job(1, "poked"))
        system.rest.put(job(9, "new"))
        want_rows(system.redis, ["1", "9"])
        wait_until(named(system, "1", "poked"), "the poked row")
        wait_until(named(system, "9", "new"), "the new row")
    assert system.names() == {"1": "poked", "2": "x", "3": "x", "4": "x", "9": "new"}
    assert not is_anything_wanted(system.redis)


def test_a_row_that_was_poked_is_read_once_more_after_the_list(system: System) -> None:
    with reading_the_list(system):
        system.rest.put(job(1, "first"))
        want_rows(system.redis, ["1"])
        wait_until(named(system, "1", "first"), "the poked row")
        system.rest.put(job(1, "second"))
        want_rows(system.redis, ["1"])
    assert system.names()["1"] == "second"


def test_the_feed_counts_while_the_list_is_read(system: System) -> None:
    system.catch_up()
    with reading_the_list(system):
        system.rest.put(job(1, "fed"))
        system.rest.remove(2)
        system.step()
        assert named(system, "1", "fed")()
        assert "2" not in system.names()
    assert system.names() == {"1": "fed", "3": "x", "4": "x"}
    assert load_position(system.redis).address.endswith("cursor=a-2")


def test_a_row_that_waits_in_the_list_for_its_end_is_not_lost(system: System) -> None:
    """The cursor of the list is after a change that the feed has not reached yet."""
    system.catch_up()
    system.rest.most = 1
    system.rest.put(job(1, "old"))
    system.rest.put(job(1, "new"))
    with reading_the_list(system):
        system.step()
        assert named(system, "1", "old")()
    system.catch_up()
    system.step()
    assert system.names()["1"] == "new"


@pytest.mark.parametrize("removed", [2, 3])
def test_the_rest_of_the_list_counts(redis: Redis, feed: FeedServer, removed: int) -> None:
    system = System(redis, feed)
    feed.jobs = [job(n, "listed") for n in range(1, 5) if n != removed]
    with reading_the_list(system):
        want_rows(system.redis, ["4"])
        time.sleep(0)
    assert system.names() == {str(n): "listed" for n in range(1, 5) if n != removed}
