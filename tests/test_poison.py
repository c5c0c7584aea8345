"""Broken entries, random and hand-made, with beat's own code. test_beat.py has real ones."""

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from driven import Beat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from cron_tasks.registry.entries import format_definition, format_meta
from cron_tasks.store import keys
from cron_tasks.text.display import printable

SECONDLY = {"id": "secondly", "name": "x", "every": 1}
HEALTHY = [
    SECONDLY,
    {"id": "zoned", "name": "x", "cron_expression": "* * * * * *", "timezone": "Europe/Berlin"},
    {"id": "queued", "name": "x", "every": 2, "queue": "slow", "priority": 3},
    {"id": "all", "name": "x", "every": 3, "catchup": {"policy": "all"}},
]

#: Texts of JSON that parsers of JSON have died of.
NASTY = ["[" * 100_000, '{"a":' * 3000, "9" * 5000, "NaN", "\ufeff{}", '"\\ud800"', "{}{}", "\0"]
DEFINITION = json.loads(format_definition("1", '"schedule": {}, "enabled": true', {}))
OURS = DEFINITION | {"schedule": {"__type__": "cron_tasks", "e": 1, "z": "UTC"}, "options": {}}
THEIRS = DEFINITION | {"schedule": {"__type__": "interval", "every": 1, "relative": False}}
DOCUMENT = {"id": "1", "name": "x", "schedule": {"e": 1, "z": "UTC"}, "catchup": {"policy": "all"}}
META = json.loads(format_meta(1.8e9, 3))

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
    """Return `valid` with one field, at the top or below, that is missing, new or different."""
    made = json.loads(json.dumps(valid))
    inside = draw(st.sampled_from([made, made, *(v for v in made.values() if isinstance(v, dict))]))
    name = draw(st.sampled_from([*inside, "queue", "priority", "c", "r", "t"]))
    if draw(st.integers(0, 4)) == 0:
        inside.pop(name, None)
    else:
        inside[name] = draw(values)
    return json.dumps(made)


def broken(valid: dict[str, Any]) -> st.SearchStrategy[str | bytes | None]:
    """Return a value for a field of an entry in place of `valid`: mostly almost right."""
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
    """A member of the schedule, with the value and the type of its key."""

    key: bytes
    fields: dict[str, str | bytes]
    kind: str
    history: str
    late: float

    def plant(self, redis: Redis, now: float) -> None:
        job = self.key.removeprefix(keys.JOB_ENTRY_PREFIX.encode())
        of_type(redis, keys.HISTORY_PREFIX.encode() + job, self.history)
        if self.kind == "hash" and self.fields:
            redis.hset(self.key, mapping=self.fields)
        else:
            of_type(redis, self.key, self.kind)
        redis.zadd(keys.SCHEDULE, {self.key: max(now - self.late, 0.0)})


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
    """Return an entry with one fault, or with a wrong name only."""
    wrong = draw(st.sampled_from(["definition"] * 4 + ["meta", "job", "kind", "history", "name"]))
    ours = draw(st.integers(0, 3)) > 0
    name = (keys.ENTRY_NAME_PREFIX if ours else "own ").encode() + draw(NAMES)
    defined = OURS if ours else THEIRS | {"name": name.decode(errors="replace")}
    valid = {"definition": defined, "meta": META, "job": DOCUMENT}
    fields = {
        field: draw(broken(good)) if field == wrong else json.dumps(good)
        for field, good in valid.items()
    }
    return Planted(
        key=keys.ENTRY_PREFIX.encode() + name,
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
        beat.scheduler.leadership.note_lost()
        beat.register(*HEALTHY)
        beat.clock.now += 6
        for each in entries:
            each.plant(beat.redis, beat.clock.now)
        beat.tick()
        # The sync's own entry went with the rest; beat may just have written it again.
        due = set(beat.due()) - {keys.SYNC_ENTRY}
        assert not due, "an entry keeps the others from their turn"
        for row in HEALTHY:
            assert beat.redis.zscore(keys.SCHEDULE, keys.entry_key(row["id"])) > beat.clock.now
        opened = {run_id.partition("@")[0] for run_id in beat.redis.hkeys(keys.OPEN)}
        assert opened >= {row["id"] for row in HEALTHY}
        aside = beat.redis.hgetall(keys.SET_ASIDE)
        assert all(reason and reason == printable(reason, 300) for reason in aside.values())

    works()
    beat.redis.flushall()


def test_a_queue_that_is_no_list_costs_only_its_own_job(beat: Beat) -> None:
    beat.redis.set("taken", "by somebody", ex=60)
    beat.register(SECONDLY, SECONDLY | {"id": "stray", "queue": "taken"})
    for _ in range(3):
        beat.clock.now += 1
        beat.tick()
    assert [run_id.partition("@")[0] for run_id in beat.messages()] == ["secondly"] * 3


@pytest.mark.parametrize("content", ["{", "null", '{"name": "x"}', None])
def test_a_broken_entry_of_the_sync_is_written_anew(beat: Beat, content: str | None) -> None:
    key = f"{keys.ENTRY_PREFIX}{keys.SYNC_TASK}"
    beat.redis.delete(key)
    if content is None:
        beat.redis.set(key, "no hash")
    else:
        beat.redis.hset(key, "definition", content)
    beat.redis.zadd(keys.SCHEDULE, {key: 1})
    beat.tick()
    assert keys.SYNC_TASK in beat.redis.hget(key, "definition")
    assert beat.redis.zscore(keys.SCHEDULE, key) > time.time()
    assert not beat.redis.exists(keys.SET_ASIDE)
