"""The table of docs/jobs.md about policies that meet: each cell is tried."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driven import Beat
from policy_service import Working
from policy_workers import EVENTS, START
from policy_world import World, driven, world
from processes import Valkey
from redis import Redis

from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.store.client import connect

DOCS = Path(__file__).parent.parent / "docs" / "jobs.md"
COLUMNS = ("skip", "queue", "replace", "allow")
EVERY = 60


def tick(number: int) -> str:
    """Return the run id of a job's tick, counted from its registration."""
    return RunId("a", START + EVERY * number)


class Meeting:
    """One job with an overlap policy, and the outcomes of its runs."""

    def __init__(self, it: World, overlap: str) -> None:
        self.it, self.overlap = it, overlap

    def job(self, **more: object) -> None:
        action = {"type": "http", "url": "http://127.0.0.1:9/"}
        row = {"id": "a", "name": "a", "every": EVERY, "action": action, "notify": {"on": EVENTS}}
        self.it.add(row | {"overlap": self.overlap} | more)

    def first(self) -> Working:
        """Let the first tick be due, and begin."""
        self.it.passes(EVERY)
        (work,) = self.takes()
        assert work.run_id == tick(1)
        return work

    def takes(self) -> list[Working]:
        """Let workers take every message. Return the attempts that begin."""
        found = []
        while names := self.it.hints():
            found += [work for name in names if (work := self.it.take(name))]
        return found

    def end_of(self, name: str) -> tuple[str, str | None]:
        found = queries.find_end(self.it.redis, RunId.stored(name))
        return (found["status"], found["reason"]) if found else ("open", None)

    def meet(self, comes: str, other: str) -> str:
        """Return the outcome of a run that comes while another one of its job is in flight."""
        if any(work.run_id == comes for work in self.takes()):
            return "runs beside it"
        self.it.passes(1)
        if self.end_of(other) == ("skipped", "replaced"):
            self.it.runs_out()
            assert self.end_of(comes) == ("ok", None)
            return "takes its place"
        again = comes in self.it.repeated
        if not self.it.redis.hexists("cron_tasks:open", comes):
            expected = "failed" if again else "skipped"
            assert self.end_of(comes)[0] == expected
            return "is skipped"
        self.it.runs_out()
        assert (self.end_of(other), self.end_of(comes)) == (("ok", None), ("ok", None))
        return "waits, then runs"

    def line(self, names: list[str]) -> str:
        """Return the outcomes of several runs that are opened at once."""
        going = [work.run_id for work in self.it.working]
        begun = [work.run_id for work in self.takes()]
        if len(begun) > 1:
            assert begun == names
            return "run side by side"
        assert begun == ([] if going else names[:1])
        self.it.runs_out()
        order = [seen.run_id for seen in self.it.log if seen.run_id in names]
        assert order == names
        assert {self.end_of(name) for name in [*going, *names]} == {("ok", None)}
        return "run one after the other"


def while_one_runs(m: Meeting) -> str:
    m.job()
    m.first()
    m.it.passes(EVERY)
    return m.meet(tick(2), tick(1))


def while_one_waits_for_its_next_attempt(m: Meeting) -> str:
    m.job(retry={"max_attempts": 2, "backoff": 7200, "max_backoff": 7200})
    m.it.end(m.first(), "failed", retry_after=30)
    m.it.passes(EVERY - 1, beat=False)
    m.it.redis.zadd("cron_tasks:deadlines", {tick(1): m.it.clock.now + 600})
    m.it.passes(1)
    return m.meet(tick(2), tick(1))


def while_another_is_queued(m: Meeting) -> str:
    """The runs come so quickly that the worker of the first has not checked yet."""
    m.job(every=5)
    first, second, third = (RunId("a", START + seconds) for seconds in (5, 10, 15))
    m.it.passes(5)
    assert [work.run_id for work in m.takes()] == [first]
    for _ in range(2):
        m.takes()
        m.it.clock.now += 5
        m.it.tick()
    found = m.meet(third, first)
    if found != "runs beside it":
        m.it.runs_out()
        reason = {"skip": "overlap", "replace": "replaced"}.get(m.overlap)
        assert m.end_of(second) == (("skipped", reason) if reason else ("ok", None))
    return found


def jobs_run(m: Meeting) -> str:
    m.job()
    m.first()
    m.it.passes(5)
    return m.meet(m.it.run("a"), tick(1))


def runs_retry(m: Meeting) -> str:
    """The tick of the rerun is before that of the run in flight."""
    m.job()
    m.it.end(m.first(), "failed")
    m.it.passes(EVERY)
    (work,) = m.takes()
    m.it.retry(tick(1))
    return m.meet(tick(1), work.run_id)


def backfill(m: Meeting) -> str:
    """Three ticks were missed before the run in flight."""
    m.job(catchup={"policy": "none"})
    m.it.passes(3 * EVERY + 20, beat=False)
    m.it.tick()
    m.it.passes(EVERY - 20)
    assert [work.run_id for work in m.takes()] == [tick(4)]
    m.it.passes(5)
    m.it.backfill("a", 4 * EVERY)
    # The command opens them one by one, where they go one after the other.
    if m.overlap == "allow":
        m.it.passes(6)
    return m.line([tick(1), tick(2), tick(3)])


def missed(policy: str, goes: bool) -> Callable[[Meeting], str]:
    """Five ticks come due while beat is away, with or without a run of the job in flight."""

    def story(m: Meeting) -> str:
        m.job(catchup={"policy": policy, "window": 3600})
        begun = int(goes)
        if goes:
            m.first()
        m.it.passes(5 * EVERY + 20, beat=False)
        m.it.tick()
        late = [tick(begun + number) for number in range(1, 6)]
        if policy == "all":
            return m.line(late)
        lost = late if policy == "none" else late[:-1]
        reason = "no_catchup" if policy == "none" else "coalesced"
        assert {m.end_of(name) for name in lost} == {("missed", reason)}
        return "are missed" if policy == "none" else m.meet(late[-1], tick(1))

    return story


def paused_before_it_begins(m: Meeting) -> str:
    m.job()
    m.it.passes(EVERY)
    m.it.pause("a")
    assert m.takes() == []
    m.it.tick()
    assert m.end_of(tick(1)) == ("skipped", "paused")
    return "is skipped"


def paused_while_it_runs(m: Meeting) -> str:
    m.job()
    work = m.first()
    m.it.pause("a")
    m.it.passes(5)
    m.it.end(work, "ok")
    assert m.end_of(tick(1)) == ("ok", None)
    return "continues"


def paused_between_attempts(m: Meeting) -> str:
    m.job(retry={"max_attempts": 3, "backoff": 600})
    m.it.end(m.first(), "failed")
    m.it.pause("a")
    m.it.tick()
    assert m.end_of(tick(1)) == ("failed", "paused")
    return "fails"


def started_on_a_paused_job(m: Meeting) -> str:
    m.job(retry={"max_attempts": 2, "backoff": 5})
    m.it.passes(5)
    m.it.pause("a")
    return _with_its_retries(m)


def started_on_a_disabled_job(m: Meeting) -> str:
    m.job(retry={"max_attempts": 2, "backoff": 5}, enabled=False)
    m.it.passes(5)
    return _with_its_retries(m)


def _with_its_retries(m: Meeting) -> str:
    name = m.it.run("a")
    (work,) = m.takes()
    m.it.end(work, "failed")
    m.it.runs_out()
    assert m.end_of(name) == ("ok", None)
    assert [seen.attempt for seen in m.it.log] == [1, 2]
    return "runs"


STORIES = {
    "a run is due, while another is in flight": while_one_runs,
    "a run is due, while another waits for its next attempt": while_one_waits_for_its_next_attempt,
    "a run is due, while one is in flight and an earlier one is queued": while_another_is_queued,
    "`jobs run`, while a run is in flight": jobs_run,
    "`runs retry` of an earlier run, while a run is in flight": runs_retry,
    "`backfill`, while a run is in flight": backfill,
    "missed runs, catch-up `all`": missed("all", goes=False),
    "missed runs, catch-up `all`, while a run is in flight": missed("all", goes=True),
    "the latest of missed runs, catch-up `one`, while a run is in flight": missed("one", goes=True),
    "missed runs, catch-up `none`": missed("none", goes=False),
    "the job is paused, while a run waits for a worker": paused_before_it_begins,
    "the job is paused, while a run is in flight": paused_while_it_runs,
    "the job is paused, while a run waits for its next attempt": paused_between_attempts,
    "`jobs run` on a paused job": started_on_a_paused_job,
    "`jobs run` on a disabled job": started_on_a_disabled_job,
}


def table() -> dict[str, dict[str, str]]:
    """Return the cells of the documented table, by row and column."""
    lines = DOCS.read_text().partition("| what happens |")[2].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    found = {}
    for name, *cells in rows:
        if len(cells) != len(COLUMNS):
            break
        found[name] = dict(zip(COLUMNS, cells, strict=True))
    return found


def test_the_table_has_these_rows() -> None:
    assert list(table()) == list(STORIES)


@pytest.fixture(scope="module")
def beat_of_all(valkey: Valkey) -> Iterator[tuple[Redis, Beat]]:
    with connect(valkey.url) as redis, driven(redis, valkey.url) as beat:
        yield redis, beat


@pytest.mark.parametrize("overlap", COLUMNS)
@pytest.mark.parametrize("row", STORIES)
def test_what_happens(beat_of_all: tuple[Redis, Beat], row: str, overlap: str) -> None:
    with world(*beat_of_all) as it:
        assert STORIES[row](Meeting(it, overlap)) == table()[row][overlap]
        assert it.wrong == []
