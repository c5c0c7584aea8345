"""Beat's own code driven in this process, on a clock of the test's: what takes minutes elsewhere.

Broken entries at random, a clock that steps, hours without a worker, a sync every second.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery import Celery as App
from helpers import wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks import names
from cron_tasks.entries import definition, meta
from cron_tasks.jobs import Job, validate
from cron_tasks.ledger import PATIENCE
from cron_tasks.plan import Changes, Desired
from cron_tasks.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.sync import Reconciler
from cron_tasks.text import printable
from cron_tasks.ticks import iso, parse_run_id, run_id

SECONDLY = {"id": "secondly", "name": "x", "every": 1}
HEALTHY = [
    SECONDLY,
    {"id": "zoned", "name": "x", "cron_expression": "* * * * * *", "timezone": "Europe/Berlin"},
    {"id": "queued", "name": "x", "every": 2, "queue": "slow", "priority": 3},
    {"id": "all", "name": "x", "every": 3, "catchup": {"policy": "all"}},
]


@dataclass
class Clock:
    now: float = field(default_factory=lambda: float(int(time.time())))

    def __call__(self) -> float:
        return self.now


@dataclass
class Beat:
    """A leading scheduler whose clock stands still unless a test moves it."""

    redis: Redis
    scheduler: Any
    clock: Clock

    def tick(self) -> None:
        """One turn, without the wait at its end."""
        self.redis.lpush(names.WAKE, "now")
        self.scheduler.tick()
        self.redis.delete(names.WAKE)

    def register(self, *rows: dict[str, Any]) -> None:
        added = []
        for row in rows:
            job = validate(row, timezone="UTC")
            assert isinstance(job, Job)
            added.append(Desired(job, "fingerprint"))
        Registry(self.redis).apply(Changes(added=added), self.clock.now)

    def due(self) -> list[str]:
        return list(self.redis.zrangebyscore(names.SCHEDULE, 0, self.clock.now))


@pytest.fixture
def beat(redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beat]:
    monkeypatch.setenv("CRON_TASKS_REDIS_URL", redis_url)
    from cron_tasks import beat, celery

    configured = Settings(
        redis_url=redis_url, rest_url="http://127.0.0.1:9", chat_id="1", history_runs=1000
    )
    monkeypatch.setattr(beat, "settings", configured)
    app = App("test", set_as_current=False)
    app.conf.update(celery.configuration(configured))
    scheduler, clock = beat.Scheduler(app, lazy=True), Clock()
    scheduler.clock = clock
    driven = Beat(redis, scheduler, clock)
    driven.tick()
    yield driven
    scheduler.close()
    scheduler.redis.close()
    app.close()


#: Texts of JSON that parsers of JSON have died of.
NASTY = ["[" * 100_000, '{"a":' * 3000, "9" * 5000, "NaN", "\ufeff{}", '"\\ud800"', "{}{}", "\0"]
DEFINITION = json.loads(definition("1", '"schedule": {}, "enabled": true', {}))
OURS = DEFINITION | {"schedule": {"__type__": "cron_tasks", "e": 1, "z": "UTC"}, "options": {}}
THEIRS = DEFINITION | {"schedule": {"__type__": "interval", "every": 1, "relative": False}}
DOCUMENT = {"id": "1", "name": "x", "schedule": {"e": 1, "z": "UTC"}, "catchup": {"policy": "all"}}
META = json.loads(meta(1.8e9, 3))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(["", "cron_tasks:jobs", "99 * * * *", "0 0 31 2 *", "No/Zone", 10**400, 1e20]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@st.composite
def mutated(draw: Any, valid: dict[str, Any]) -> str:
    """`valid` with one field, at the top or below, that is gone, new or something else."""
    made = json.loads(json.dumps(valid))
    inside = draw(st.sampled_from([made, made, *(v for v in made.values() if isinstance(v, dict))]))
    name = draw(st.sampled_from([*inside, "queue", "priority", "c", "r", "t"]))
    if draw(st.integers(0, 4)) == 0:
        inside.pop(name, None)
    else:
        inside[name] = draw(values)
    return json.dumps(made)


def broken(valid: dict[str, Any]) -> st.SearchStrategy[str | bytes | None]:
    """What a field of an entry may hold in place of `valid`: mostly nearly right."""
    return st.one_of(
        mutated(valid),
        mutated(valid),
        mutated(valid),
        st.integers(0, 60).map(lambda length: json.dumps(valid)[:length]),
        st.binary(max_size=20),
        values.map(json.dumps),
        st.sampled_from(NASTY),
        st.none(),
    )


@dataclass(frozen=True)
class Planted:
    """A member of the schedule, what its key holds, and of which type that key is."""

    key: bytes
    fields: dict[str, str | bytes]
    kind: str
    history: str
    late: float

    def plant(self, redis: Redis, now: float) -> None:
        job = self.key.removeprefix(names.JOB_ENTRY_PREFIX.encode())
        of_type(redis, names.HISTORY_PREFIX.encode() + job, self.history)
        if self.kind == "hash" and self.fields:
            redis.hset(self.key, mapping=self.fields)
        else:
            of_type(redis, self.key, self.kind)
        redis.zadd(names.SCHEDULE, {self.key: max(now - self.late, 0.0)})


def of_type(redis: Redis, key: bytes, kind: str) -> None:
    write = {
        "string": lambda: redis.set(key, "x", ex=60),
        "list": lambda: redis.lpush(key, "x"),
        "set": lambda: redis.sadd(key, "x"),
        "zset": lambda: redis.zadd(key, {"x": 1}),
        "stream": lambda: redis.xadd(key, {"x": 1}),
    }
    if kind in write:
        write[kind]()
        redis.expire(key, 60)


KINDS = st.sampled_from(["none", "string", "list", "set", "zset", "stream"])
HISTORIES = st.sampled_from(["hash", "string", "set", "zset"])
LATE = st.sampled_from([0.0, 0.5, 10.0, 100.0, 86_400.0, 1e9, 1e12])
NAMES = st.one_of(
    st.binary(max_size=6), st.text(max_size=6).map(lambda t: t.encode(errors="surrogatepass"))
)


@st.composite
def planted(draw: Any) -> Planted:
    """An entry in which one thing is wrong, or nothing but its name."""
    wrong = draw(st.sampled_from(["definition"] * 4 + ["meta", "job", "kind", "history", "name"]))
    ours = draw(st.integers(0, 3)) > 0
    name = (names.ENTRY_NAME_PREFIX if ours else "own ").encode() + draw(NAMES)
    defined = OURS if ours else THEIRS | {"name": name.decode(errors="replace")}
    valid = {"definition": defined, "meta": META, "job": DOCUMENT}
    fields = {
        field: draw(broken(good)) if field == wrong else json.dumps(good)
        for field, good in valid.items()
    }
    return Planted(
        key=names.ENTRY_PREFIX.encode() + name,
        fields={field: text for field, text in fields.items() if text is not None},
        kind=draw(KINDS) if wrong == "kind" else "hash",
        history=draw(HISTORIES) if wrong == "history" else "none",
        late=draw(LATE),
    )


def test_whatever_an_entry_holds_the_healthy_jobs_go_on(beat: Beat) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(entries=st.lists(planted(), min_size=1, max_size=15, unique_by=lambda each: each.key))
    def works(entries: list[Planted]) -> None:
        beat.redis.flushall()
        beat.scheduler.leadership.lost()
        beat.register(*HEALTHY)
        beat.clock.now += 6
        for each in entries:
            each.plant(beat.redis, beat.clock.now)
        beat.tick()
        assert not beat.due(), "an entry keeps the others from their turn"
        for row in HEALTHY:
            assert beat.redis.zscore(names.SCHEDULE, names.entry_key(row["id"])) > beat.clock.now
        opened = {run_id.partition("@")[0] for run_id in beat.redis.hkeys(names.OPEN)}
        assert opened >= {row["id"] for row in HEALTHY}
        aside = beat.redis.hgetall(names.SET_ASIDE)
        assert all(reason and reason == printable(reason, 300) for reason in aside.values())

    works()
    beat.redis.flushall()


def messages(redis: Redis, queue: str = "celery") -> list[str]:
    """The run ids that a queue of Celery holds."""
    found = []
    for message in redis.lrange(queue, 0, -1):
        task_id = json.loads(message)["headers"]["id"]
        found += [task_id] if "@" in task_id else []
    return found


def test_a_queue_that_is_no_list_costs_only_its_own_job(beat: Beat) -> None:
    beat.redis.set("taken", "by somebody", ex=60)
    beat.register(SECONDLY, SECONDLY | {"id": "stray", "queue": "taken"})
    for _ in range(3):
        beat.clock.now += 1
        beat.tick()
    assert [run_id.partition("@")[0] for run_id in messages(beat.redis)] == ["secondly"] * 3


@pytest.mark.parametrize("content", ["{", "null", '{"name": "x"}', None])
def test_a_broken_entry_of_the_sync_is_written_anew(beat: Beat, content: str | None) -> None:
    key = f"{names.ENTRY_PREFIX}{names.SYNC_TASK}"
    beat.redis.delete(key)
    if content is None:
        beat.redis.set(key, "no hash")
    else:
        beat.redis.hset(key, "definition", content)
    beat.redis.zadd(names.SCHEDULE, {key: 1})
    beat.tick()
    assert names.SYNC_TASK in beat.redis.hget(key, "definition")
    assert beat.redis.zscore(names.SCHEDULE, key) > time.time()
    assert not beat.redis.exists(names.SET_ASIDE)


def fired(beat: Beat) -> dict[str, list[float]]:
    """The ticks that the ledger has opened so far, in their order, by job; ends them."""
    found: dict[str, list[float]] = {}
    for tick in sorted(beat.redis.hkeys(names.OPEN)):
        job_id, when = parse_run_id(tick) or ("", 0.0)
        found.setdefault(job_id, []).append(when)
    beat.redis.delete(names.OPEN, names.DEADLINES)
    return found


POLICIES = [
    SECONDLY | {"id": policy, "catchup": {"policy": policy, "window": 600}}
    for policy in ("one", "none", "all")
]


def run(beat: Beat, seconds: int) -> dict[str, list[float]]:
    for _ in range(seconds):
        beat.clock.now += 1
        beat.tick()
    return fired(beat)


def test_a_clock_put_forward_is_an_outage_for_the_catch_up_policy(beat: Beat) -> None:
    beat.register(*POLICIES)
    start = beat.clock.now
    assert run(beat, 3) == {row["id"]: [start + 1, start + 2, start + 3] for row in POLICIES}
    beat.clock.now += 3600
    now = beat.clock.now + 1
    assert run(beat, 1) == {
        "one": [now],
        "none": [now - late for late in range(15, -1, -1)],
        "all": [now - late for late in range(600, -1, -1)],
    }
    assert run(beat, 2) == {row["id"]: [now + 1, now + 2] for row in POLICIES}
    for row in POLICIES:
        (gap,) = map(json.loads, beat.redis.lrange(names.HISTORY_PREFIX + row["id"], 0, -1))
        assert gap["scheduled_for"] == iso(start + 4)


def test_a_clock_put_back_fires_nothing_twice(beat: Beat) -> None:
    """What the clock shows for the second time has had its tick; jobs go on where they were."""
    beat.register(*POLICIES)
    start = beat.clock.now
    run(beat, 3)
    beat.clock.now -= 3600
    assert run(beat, 5) == {}
    begun = time.monotonic()
    beat.scheduler.tick()
    assert time.monotonic() - begun > 1, "nothing is due, so beat sleeps"
    beat.clock.now = start + 3
    assert run(beat, 2) == {row["id"]: [start + 4, start + 5] for row in POLICIES}


def test_a_step_leaves_workers_the_time_to_renew_their_leases(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.beat.LEASE", 1.0)
    beat.register(SECONDLY | {"id": "at work"}, SECONDLY | {"id": "dead"})
    ledger = beat.scheduler.ledger
    ticks = [(run_id(job, beat.clock.now), job) for job in ("at work", "dead")]
    for tick, job in ticks:
        ledger.open(tick, beat.clock.now)
        assert ledger.claim(job, beat.clock.now, [(tick, job)])

    def states() -> list[str]:
        return list(beat.redis.hmget(names.OPEN, [tick for tick, _ in ticks]))

    beat.clock.now += 3600
    beat.tick()
    assert states() == ["r|1|at work", "r|1|dead"]
    assert ledger.renew("at work", beat.clock.now, [ticks[0][0]]) == []

    def handed_back() -> bool:
        beat.tick()
        return states()[1].startswith("p|")

    wait_until(handed_back, "the dead worker's tick to be handed back")
    assert states()[0] == "r|1|at work"


def test_a_leader_that_lost_its_lock_in_the_middle_of_a_tick_changes_nothing(beat: Beat) -> None:
    beat.register(SECONDLY)
    beat.clock.now += 1
    due = beat.due()
    beat.redis.set(names.LEADER_LOCK, "another's", ex=60)
    beat.tick()
    assert due == beat.due() == [names.entry_key("secondly")]
    assert not messages(beat.redis)
    assert not beat.redis.exists(names.OPEN)
    beat.redis.delete(names.LEADER_LOCK)
    beat.tick()
    assert len(messages(beat.redis)) == 1


def test_a_message_that_dies_with_its_worker_is_sent_again(beat: Beat) -> None:
    """A worker takes it from the queue, and is killed before it claims the tick."""
    beat.register({"id": 1, "name": "x", "run_at": iso(beat.clock.now + 1)})
    beat.clock.now += 1
    beat.tick()
    sent = messages(beat.redis)
    assert len(sent) == 1
    beat.redis.delete("celery")
    for waited in range(1, int(PATIENCE) + 1):
        assert not messages(beat.redis), f"sent again after {waited - 1} s"
        beat.clock.now += 1
        beat.tick()
    assert messages(beat.redis) == sent


def test_a_sync_every_second_keeps_an_interval_of_four(beat: Beat, rest: RestServer) -> None:
    """The row, too, changes with every sync, though not its schedule."""
    reconciler = Reconciler(beat.redis, Settings(rest_url=rest.url))
    ticks: list[float] = []
    start = beat.clock.now
    for second in range(120):
        rest.jobs = [{"id": "four", "name": f"edit {second}", "every": 4}]
        assert reconciler.sync(beat.clock)
        ticks += run(beat, 1).get("four", [])
    assert ticks == [start // 4 * 4 + 4 * n for n in range(1, 31)]


def test_minutes_without_a_worker_are_bounded_and_accounted_for(
    beat: Beat, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.beat.LEASE", 0.0)
    window, outage = 60, 120
    end = beat.clock.now
    beat.clock.now = start = end - outage
    beat.register(*(row | {"catchup": row["catchup"] | {"window": window}} for row in POLICIES))
    for _ in range(outage):
        beat.clock.now += 1
        beat.tick()
    reach = {"one": 25, "none": 25, "all": window + 10}
    assert beat.redis.hlen(names.OPEN) < sum(reach.values())
    celery.worker(CRON_TASKS_HISTORY_RUNS="1000")

    def worked_off() -> bool:
        beat.clock.now = time.time()
        beat.tick()
        waiting = map(parse_run_id, beat.redis.hkeys(names.OPEN))
        return all(tick and tick[1] > end + 2 for tick in waiting)

    wait_until(worked_off, "the backlog to be worked off", 60)
    for policy, seconds in reach.items():
        history = beat.redis.lrange(names.HISTORY_PREFIX + policy, 0, -1)
        ended = {parse_run_id(each["run_id"])[1]: each for each in map(json.loads, history)}
        assert len(ended) == len(history), "ended twice"
        assert set(ended) >= {start + n for n in range(1, outage + 1)}, "not accounted for"
        ran = {when for when, each in ended.items() if each["status"] == "ok"}
        assert ran
        assert min(ran) >= end - seconds


def test_a_full_queue_gets_no_more_and_its_ticks_wait(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.publisher.QUEUE_FULL", 10)
    beat.register(SECONDLY | {"catchup": {"policy": "all"}})

    def full() -> bool:
        beat.clock.now += 1
        beat.tick()
        return beat.redis.hlen(names.OPEN) > beat.redis.llen("celery")

    wait_until(full, "the queue to be left alone")
    length = beat.redis.llen("celery")
    assert full()
    assert beat.redis.llen("celery") == length
    beat.redis.delete("celery")
    wait_until(lambda: full() and beat.redis.llen("celery") > 0, "the ticks to be sent")
