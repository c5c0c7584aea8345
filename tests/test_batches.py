"""Plain notifications of one fire time: beat opens a batch of them, and a worker ends it.

The real beat and the real worker run in this process, on a clock that the test moves.
"""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from applying import apply
from driven import Beat
from redis import Redis

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import explain_tick
from cron_tasks.audit.tally import audit_job
from cron_tasks.beat.plain import is_plain
from cron_tasks.beat.sweeper import sweep_overdue
from cron_tasks.ledger.batches import read_batched
from cron_tasks.ledger.day_count import DayCount, count_one
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry import skips
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.registry import Registry
from cron_tasks.repair.comparison import Comparison
from cron_tasks.runs import commands, queries
from cron_tasks.runs.tail import Tail
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.worker import templates
from cron_tasks.worker.batches import BatchRunner
from cron_tasks.worker.runner import Runner

QUEUE = "queue:to_telegram"
#: Jobs of which the notification differs from that of the others.
WISHES: list[dict[str, Any]] = [
    {"chat_id": -100},
    {"chat_id": "@ops", "name": 'Quotes " and \\u0001 and \u0001 and \x00 %s {x} ✅'},
    {"notify": {"queue": "queue:other"}},
    {"notify": {"on": ["failure"]}},
    {"notify": {"on": []}},
    {
        "notify": {
            "template": "$name $id $run_id $scheduled_for $created_at $attempt $status $error"
        }
    },
    {"notify": {"template": "at $time"}, "timezone": "Asia/Tokyo"},
    {"notify": {"template": "\\u0001 \u0001 $$ $run_id"}},
    {"notify": {"on": ["success", "missed"], "collapse": 5, "queue": "queue:other"}},
    {"tags": ["a"], "catchup": {"policy": "none"}, "overlap": "queue", "timeout": 1},
    {"retry": {"max_attempts": 3}},
]


def row(number: int | str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "name": f"job {number}", "every": 60} | fields


class World:
    """A leading beat, and a worker that runs batches and single runs."""

    def __init__(self, beat: Beat, **settings: Any) -> None:
        self.beat, self.redis, self.clock = beat, beat.redis, beat.clock
        self.settings = Settings(**{"chat_id": "1"} | settings)
        self.ledger = Ledger(beat.redis, self.settings)
        self.due = beat.clock.now // 60 * 60 + 60
        self.clock.now = self.due - 30
        self.workers = [self.make_worker(name) for name in ("w1", "w2")]

    def make_worker(self, name: str) -> BatchRunner:
        registry = Registry(self.redis)
        runner = Runner(
            self.ledger, registry, self.settings, name, lambda: self.clock.now, lambda *_: None
        )
        return BatchRunner(runner, self.redis)

    def fire(self) -> list[str]:
        """Let beat fire the runs of the next whole minute. Return the open batches."""
        self.clock.now = self.due
        self.beat.tick()
        self.due += 60
        return sorted(self.redis.hkeys(keys.BATCHES))

    def work(self, worker: int = 0) -> None:
        for batch_id in self.redis.hkeys(keys.BATCHES):
            self.workers[worker].run(batch_id)

    def run_singly(self) -> None:
        """Take all runs out of their batches, and run each separately."""
        self.ledger.take_out(read_batched(self.redis))
        for run_id in sorted(self.redis.hkeys(keys.OPEN)):
            self.workers[0]._runner.run([RunId.stored(run_id)])

    def sweep(self, waiting: int = 0) -> None:
        count, nothing = (lambda _: waiting), lambda _: None
        sweep_overdue(self.ledger, self.clock.now, self.settings, count, nothing, nothing)

    def told(self, queue: str = QUEUE) -> list[dict[str, Any]]:
        """Take the notifications out of a queue. Return them by job."""
        found = list(map(json.loads, self.redis.lrange(queue, 0, -1)))
        self.redis.delete(queue)
        return sorted(found, key=lambda message: message["job_id"])

    def status(self, job_id: str, when: float) -> tuple[str | None, str | None]:
        end = queries.find_end(self.redis, RunId(job_id, when))
        return (end["status"], end["reason"]) if end else (None, None)

    def audit(self, job_id: str, since: float) -> Any:
        now = self.clock.now + 1
        days, opened = days_between(since, now), read_open_ticks(self.redis)
        (account,) = read_accounts(self.redis, [job_id], days, opened)
        return audit_job(account, since, now, now)


@pytest.fixture
def world(beat: Beat) -> World:
    return World(beat)


@pytest.fixture
def thirty(world: World) -> World:
    """Register thirty plain jobs that are due at the next whole minute."""
    world.beat.register(*(row(number) for number in range(30)))
    return world


def test_a_batch_is_fired_and_told_once(thirty: World) -> None:
    (batch_id,) = thirty.fire()
    messages = [json.loads(each) for each in thirty.redis.lrange("cron_tasks", 0, -1)]
    assert [each["headers"]["task"] for each in messages if each["headers"]["id"] == batch_id] == [
        keys.BATCH_TASK
    ]
    assert not thirty.redis.exists(keys.OPEN)
    assert len(queries.list_open(thirty.redis, 100)) == 30
    assert thirty.audit("7", thirty.clock.now - 1).open == 1
    for worker in (0, 1, 0):
        thirty.workers[worker].run(batch_id)
    assert [message["job_id"] for message in thirty.told()] == sorted(map(str, range(30)))
    assert not thirty.redis.exists(keys.BATCHES, keys.DEADLINES, keys.OPEN)
    tally = thirty.audit("7", thirty.clock.now - 1)
    assert (tally.ok, tally.lost, tally.doubled, tally.unasked) == (1, [], [], [])


def test_a_batch_leaves_what_single_runs_leave(world: World) -> None:
    """The messages, the records and the outputs of commands are the same to the byte."""
    rows = [row(n, **wish) for n, wish in enumerate(WISHES)] + [row(f"more-{n}") for n in range(9)]
    world.beat.register(*rows)
    assert world.fire()
    world.work()
    together = [world.told(), world.told("queue:other"), seen(world)]
    world.redis.delete(keys.RECENT, *world.redis.scan_iter(keys.HISTORY_PREFIX + "*"))
    assert world.fire()
    world.run_singly()
    apart = [world.told(), world.told("queue:other"), seen(world)]
    assert len(apart[0]) == len(rows) - 4
    earlier = [without_minute(each, world.due - 120) for each in together]
    assert earlier == [without_minute(each, world.due - 60) for each in apart]


def seen(world: World) -> list[Any]:
    """Return the ended runs as people and programs see them."""
    jobs = [str(number) for number in range(len(WISHES))]
    runs = sorted(queries.list_ended(world.redis), key=lambda run: run["run_id"])
    told = world.ledger.newest(jobs)
    tail = sorted(Tail(world.redis).read(), key=lambda run: run["run_id"])
    return [runs, [list(queries.list_ended(world.redis, job)) for job in jobs], told, tail]


def without_minute(found: Any, minute: float) -> str:
    text = json.dumps(found)
    for when in (RunId("", minute)[1:], queries.format_local(minute)):
        text = text.replace(str(when)[:16], "MINUTE")
    worker = text.replace('"w1"', '"w"')
    local = f"{minute:.1f}"
    tokyo = queries.format_local(minute, "Asia/Tokyo")
    return worker.replace(local, "MINUTE").replace(str(tokyo)[11:16], "HH:MM")


def edit(world: World) -> None:
    world.beat.register(row("7", name="edited"))


def pause(world: World) -> None:
    Registry(world.redis).pause("7", "why not", world.clock.now)
    world.ledger.look_after(["7"], world.clock.now)


def pause_unseen(world: World) -> None:
    """Pause a job and crash before its open runs are checked."""
    Registry(world.redis).pause("7", "why not", world.clock.now)


def remove(world: World) -> None:
    apply(world.redis, Changes(removed=["7"]), world.clock.now)
    world.ledger.let_go(["7"])


def remove_unseen(world: World) -> None:
    apply(world.redis, Changes(removed=["7"]), world.clock.now)


def remove_and_return(world: World) -> None:
    remove(world)
    world.beat.register(row("7"))


def fail_before(world: World) -> None:
    world.redis.hset(keys.FAILING, "7", 2)


def cancel(world: World) -> None:
    (run_id,) = (each for each in read_batched(world.redis) if each.job_id == "7")
    assert commands.cancel(world.redis, world.ledger, run_id, world.clock.now, world.settings)


def disturb(world: World) -> None:
    """Edit another job, which must not matter."""
    world.beat.register(row("x"))


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("moment", ["before it is read", "after it is read"])
@pytest.mark.parametrize(
    ("happens", "status", "name"),
    [
        (edit, ("ok", None), "edited"),
        (pause, ("skipped", "paused"), None),
        (pause_unseen, ("skipped", "paused"), None),
        (remove, ("skipped", "removed"), None),
        (remove_unseen, ("skipped", "removed"), None),
        (remove_and_return, ("skipped", "removed"), None),
        (fail_before, ("ok", None), "job 7"),
        (cancel, ("skipped", "cancelled"), None),
        (disturb, ("ok", None), "job 7"),
    ],
)
def test_a_member_that_is_no_longer_plain_leaves_the_batch(
    thirty: World,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[World], None],
    status: tuple[str, str | None],
    name: str | None,
    moment: str,
    known: bool,
) -> None:
    if known:
        thirty.fire()
        thirty.work()
        thirty.told()
    when = thirty.due
    (batch_id,) = thirty.fire()
    if moment == "before it is read":
        happens(thirty)
    else:
        _do_once_after_reading(thirty.ledger, lambda: happens(thirty), monkeypatch)
    thirty.workers[0].run(batch_id)
    thirty.sweep()
    names = {message["job_id"]: message["job_name"] for message in thirty.told()}
    assert names.pop("7", None) == name
    assert len(names) == 29, "the others stay"
    assert thirty.status("7", when) == status
    assert not thirty.redis.exists(keys.BATCHES, keys.DEADLINES, keys.OPEN, keys.FAILING)


def _do_once_after_reading(
    ledger: Ledger, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Act once after a worker has read the batch, and before it concludes."""
    read, acts = ledger.read_batch, [act]

    def watched(batch_id: str) -> Any:
        found = read(batch_id)
        while acts:
            acts.pop()()
        return found

    monkeypatch.setattr(ledger, "read_batch", watched)


def test_a_late_worker_leaves_each_run_to_its_policy(thirty: World) -> None:
    when = thirty.due
    thirty.beat.register(row("none", catchup={"policy": "none"}))
    (batch_id,) = thirty.fire()
    thirty.clock.now += 16
    thirty.workers[0].run(batch_id)
    assert thirty.status("none", when) == ("missed", "no_catchup")
    assert thirty.status("7", when) == ("ok", None)
    assert len(thirty.told()) == 30
    assert not thirty.redis.exists(keys.BATCHES, keys.DEADLINES, keys.OPEN)


def test_beat_waits_for_workers_that_are_slow_and_sends_lost_runs_again(thirty: World) -> None:
    (batch_id,) = thirty.fire()
    thirty.clock.now += 6
    thirty.sweep(waiting=1)
    assert thirty.redis.hkeys(keys.BATCHES) == [batch_id]
    assert thirty.redis.zscore(keys.DEADLINES, batch_id) > thirty.clock.now
    thirty.clock.now += 6
    thirty.sweep()
    assert not thirty.redis.exists(keys.BATCHES)
    assert thirty.redis.hlen(keys.OPEN) == 30
    assert thirty.workers[0].run(batch_id) == "0 ended as a batch, 0 as single runs"
    thirty.run_singly()
    assert len(thirty.told()) == 30


def test_a_batch_that_nobody_takes_is_missed_like_single_runs(thirty: World) -> None:
    when = thirty.due
    thirty.beat.register(row("none", catchup={"policy": "none"}))
    thirty.fire()
    thirty.clock.now += 20
    thirty.sweep(waiting=1)
    assert thirty.status("none", when) == ("missed", "no_catchup")
    assert thirty.redis.hlen(keys.OPEN) == 30


def test_a_reader_finds_a_member_as_a_pending_run(thirty: World) -> None:
    when = thirty.due
    thirty.fire()
    (run,) = queries.list_open(thirty.redis, 10, "7")
    assert (run["status"], run["attempt"]) == ("pending", 1)
    shown = queries.describe_run(thirty.redis, RunId("7", when))
    assert shown
    assert (shown["status"], shown["stopping"]) == ("pending", None)
    days, opened = days_between(when, when), read_open_ticks(thirty.redis)
    for known in (opened, None):
        (account,) = read_accounts(thirty.redis, ["7"], days, known)
        answer = explain_tick(account, {}, when, when, "UTC")
        assert answer.sentence.endswith("waits for a worker")
    assert thirty.ledger.open([RunId("7", when)], when) == [], "it is open already"
    assert thirty.redis.hlen(keys.OPEN) == 1
    thirty.run_singly()


def test_what_is_open_already_or_was_fired_before_is_not_opened_again(thirty: World) -> None:
    """This holds for any scores of the entries, in the shape of this version and of the last
    one."""
    when = thirty.due
    thirty.ledger.open([RunId("1", when)], when)
    entry = keys.entry_key("2")
    thirty.redis.hset(entry, "fired", RunId("2", when))
    thirty.fire()
    assert len(read_batched(thirty.redis)) == 28
    thirty.work()
    again = {key: when for key in thirty.redis.zrange(keys.SCHEDULE, 0, -1) if "sync" not in key}
    thirty.redis.zadd(keys.SCHEDULE, again)
    thirty.beat.tick()
    assert not thirty.redis.exists(keys.BATCHES)
    assert thirty.redis.hlen(keys.OPEN) == 1
    assert not thirty.redis.zcount(keys.SCHEDULE, 0, when)
    thirty.run_singly()


def test_a_single_run_does_not_repeat_what_a_batch_fired(thirty: World) -> None:
    when = thirty.due
    thirty.fire()
    thirty.work()
    thirty.redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): when})
    thirty.beat.tick()
    assert not thirty.redis.exists(keys.OPEN, keys.BATCHES)


def read_meta(redis: Redis, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(redis.hget(keys.entry_key(job_id), "meta"))
    return found


def test_the_meta_of_redbeat_follows(thirty: World) -> None:
    """Readers and edits see the fired ticks at once, and RedBeat's own tools see them soon."""
    for _ in range(3):
        when = thirty.due
        thirty.fire()
        thirty.work()
    assert read_meta(thirty.redis, "7")["total_run_count"] == 0
    (job,) = Registry(thirty.redis).read_jobs(["7"])
    assert (job.last, job.runs) == (when, 3)
    thirty.beat.register(row("8", every=30))
    assert read_meta(thirty.redis, "8")["total_run_count"] == 3
    thirty.fire()
    thirty.work()
    comparison = Comparison(thirty.redis, thirty.settings, lambda: thirty.clock.now)
    assert not comparison.step().counts
    meta = read_meta(thirty.redis, "7")
    assert meta["total_run_count"] == 4
    assert meta["last_run_at"]["minute"] == (when + 60) // 60 % 60
    assert not thirty.redis.exists(keys.FIRED)
    (job,) = Registry(thirty.redis).read_jobs(["7"])
    assert (job.last, job.runs) == (when + 60, 4)
    thirty.redis.delete(keys.SCHEDULE)
    comparison.mend()
    assert thirty.redis.zscore(keys.SCHEDULE, keys.entry_key("7")) == thirty.due


def calls(redis: Redis) -> int:
    found = redis.info("commandstats")
    names = ("hget", "hmget", "hgetall")
    return sum(found.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)


def test_nothing_is_read_of_known_jobs_until_they_are_edited(thirty: World) -> None:
    for _ in range(2):
        thirty.fire()
        thirty.work()
    before = calls(thirty.redis)
    thirty.fire()
    thirty.work()
    assert calls(thirty.redis) - before < 15
    assert len(thirty.told()) == 90
    thirty.beat.register(row("7", name="edited", notify={"on": ["missed"]}))
    thirty.fire()
    thirty.work()
    assert len(thirty.told()) == 29


def lose(redis: Redis, kept: dict[str, bytes]) -> None:
    """Make Redis hold only these dumps of keys, and the lock of the leading beat."""
    lock = redis.get(keys.LEADER_LOCK)
    redis.flushall()
    for key, value in kept.items():
        redis.restore(key, 0, value)
    redis.set(keys.LEADER_LOCK, lock, ex=60)


@pytest.mark.parametrize("is_emptied", [True, False])
def test_no_job_is_known_from_before_a_loss_of_data(world: World, is_emptied: bool) -> None:
    """Redis loses everything, or the last edit, which beat and the worker have seen."""

    def register(**fields: Any) -> None:
        notify = {"on": ["success", "missed"]}
        world.beat.register(*(row(number, notify=notify) | fields for number in range(30)))

    entries = [keys.entry_key(str(number)) for number in range(30)]
    register(name="first")
    dumped = [keys.EDITS, keys.JOBS, keys.SCHEDULE, *entries]
    kept = {} if is_emptied else {key: world.redis.dump(key) for key in dumped}
    if not is_emptied:
        register(name="lost")
    world.fire()
    world.work()
    lose(world.redis, kept)
    register(name="new", every=20)
    world.redis.zadd(keys.SCHEDULE, dict.fromkeys(entries, world.due))
    world.fire()
    world.work()
    assert {message["job_name"] for message in world.told()} == {"new"}
    assert world.redis.zmscore(keys.SCHEDULE, entries) == [world.due - 40] * 30


@pytest.mark.parametrize("chat", [1, "another"])
def test_a_worker_reads_no_job_that_beat_has_just_read(beat: Beat, chat: Any) -> None:
    """Beat makes their templates with the default chat 1. The worker may have another default."""
    world = World(beat, chat_id=chat)
    beat.register(*(row(number) for number in range(30)))
    world.fire()
    before = calls(world.redis)
    world.work()
    assert (calls(world.redis) - before < 15) == (chat == 1)
    assert [message["chat_id"] for message in world.told()] == [chat] * 30
    assert not list(world.redis.scan_iter(keys.PREPARED_PREFIX + "*"))
    beat.register(row("7", name="edited"))
    world.fire()
    world.work()
    assert sum(message["job_name"] == "edited" for message in world.told()) == 1


def test_a_batch_of_new_jobs_does_not_ask_each_entry_when_it_fired(thirty: World) -> None:
    asked = lambda: thirty.redis.info("commandstats").get("cmdstat_hget", {"calls": 0})["calls"]  # noqa: E731
    before = asked()
    thirty.fire()
    assert asked() - before < 50, "30 of them were read"
    thirty.work()


@pytest.fixture(params=[1, 3])
def fired(thirty: World, request: pytest.FixtureRequest) -> World:
    """Fire thirty jobs together, once or so often that beat keeps their page (repeated.py)."""
    # No page has the entry of the sync, too.
    thirty.redis.zadd(keys.SCHEDULE, {keys.SYNC_ENTRY: thirty.due + DAY})
    for _ in range(request.param):
        thirty.fire()
        thirty.work()
    assert len(thirty.told()) == 30 * request.param
    return thirty


def test_an_entry_that_somebody_deletes_is_noticed(fired: World) -> None:
    fired.redis.delete(keys.entry_key("7"))
    fired.fire()
    fired.work()
    assert len(fired.told()) == 29
    assert keys.entry_key("7") in fired.redis.hkeys(keys.SET_ASIDE)


def test_a_skip_counts_at_once(fired: World) -> None:
    when = fired.due
    assert skips.add_skip(fired.redis, "7", when, when - 1)
    fired.fire()
    fired.work()
    assert fired.status("7", when) == ("skipped", "by_hand")
    assert len(fired.told()) == 29


def test_jobs_that_fire_together_often_may_be_told_otherwise(fired: World) -> None:
    fired.beat.register(row("7", name="edited"), row("8", notify={"on": []}))
    fired.fire()
    fired.work()
    told = {message["job_id"]: message["job_name"] for message in fired.told()}
    assert told["7"] == "edited"
    assert told.keys() == set(map(str, range(30))) - {"8"}


def test_jobs_that_fire_together_often_may_become_urgent(fired: World) -> None:
    fired.beat.register(row("7", priority=3))
    fired.fire()
    assert [RunId.stored(each).job_id for each in fired.redis.hkeys(keys.OPEN)] == ["7"]


def test_jobs_that_fire_together_often_may_come_and_go(fired: World) -> None:
    fired.beat.register(row("new"), row("7", every=120))
    fired.redis.zadd(keys.SCHEDULE, {keys.entry_key("new"): fired.due})
    Registry(fired.redis).pause("8", "", fired.clock.now)
    for _ in range(4):
        fired.fire()
        fired.work()
    told = Counter(message["job_id"] for message in fired.told())
    assert told == Counter(dict.fromkeys(map(str, range(30)), 4) | {"new": 4, "7": 2, "8": 0})


def test_threads_of_a_worker_share_what_they_know(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread keeps the groups of its batch, while another drops them from the cache."""
    monkeypatch.setattr(templates, "MOST_GROUPED", 1)
    monkeypatch.setattr(templates, "MOST", 20)
    rounds, priorities = 20, range(4)
    world.beat.register(*(row(n, priority=n % len(priorities)) for n in range(100)))
    with ThreadPoolExecutor(len(priorities)) as pool:
        for _ in range(rounds):
            batches = world.fire()
            assert len(batches) == len(priorities)
            for outcome in pool.map(world.workers[0].run, batches):
                assert outcome == "25 ended as a batch, 0 as single runs"
    assert len(world.told()) == 100 * rounds


@pytest.mark.parametrize("transport", ["list", "stream"])
def test_a_full_queue_counts_what_it_drops(beat: Beat, transport: str) -> None:
    world = World(beat, notify_max=10, notify_transport=transport)
    beat.register(*(row(number) for number in range(30)))
    world.fire()
    world.work()
    length = world.redis.llen if transport == "list" else world.redis.xlen
    assert length(QUEUE) == 10
    assert world.redis.hgetall(keys.DROPPED) == {QUEUE: "20"}


def test_a_queue_of_another_type_keeps_the_notifications(thirty: World) -> None:
    thirty.redis.set(QUEUE, "x")
    thirty.fire()
    thirty.work()
    assert thirty.redis.llen(keys.UNDELIVERABLE) == 30
    assert thirty.status("7", thirty.due - 60) == ("ok", None)


def test_jobs_of_one_time_with_other_options_have_their_own_batches(world: World) -> None:
    slow = [row(f"slow-{n}", queue="slow") for n in range(12)]
    urgent = [row(f"urgent-{n}", queue="slow", priority=3) for n in range(12)]
    few = [row(f"few-{n}", queue="few") for n in range(3)]
    world.beat.register(*slow, *urgent, *few, *(row(n) for n in range(12)))
    assert len(world.fire()) == 3
    assert world.redis.hlen(keys.OPEN) == 3
    world.work()
    world.run_singly()
    assert len(world.told()) == 39
    world.redis.delete("slow", "few", *world.redis.scan_iter("slow*"))


def test_a_beat_that_lags_fires_each_tick_once(beat: Beat) -> None:
    world = World(beat)
    beat.register(*(row(n, every=1) for n in range(20)))
    begun = world.clock.now
    for lag in (1, 5, 1, 12, 2):
        world.clock.now += lag
        beat.tick()
        world.work()
    told = [message["id"] for message in world.told()]
    assert len(told) == len(set(told)) == 20 * (world.clock.now - begun)


def test_reports_are_asked_for(beat: Beat) -> None:
    world = World(beat, rest_report_path="/reports/{id}")
    beat.register(*(row(number) for number in range(30)))
    world.fire()
    world.work()
    assert world.redis.zcard(keys.REPORTS) == 30


def test_the_history_of_a_job_stays_short(thirty: World) -> None:
    history = keys.HISTORY_PREFIX + "7"
    for _ in range(45):
        thirty.fire()
        thirty.work()
    assert 20 <= thirty.redis.llen(history) <= 36
    assert thirty.redis.ttl(history) > 6.9 * 86_400


@pytest.mark.parametrize(
    ("document", "plain"),
    [
        ({}, True),
        ({"chat_id": 1, "tags": ["a"], "retry": {"max_attempts": 2}}, True),
        ({"notify": {"on": ["success"], "template": "x", "queue": "q", "collapse": 3}}, True),
        ({"action": {"type": "http"}}, False),
        ({"notify": {"on": ["success", "recovered"]}}, False),
        ({"notify": {"stale_after": 5.0}}, False),
        ({"enabled": False}, False),
    ],
)
def test_what_is_plain(document: dict[str, Any], plain: bool) -> None:
    assert is_plain(document) == plain


@pytest.mark.parametrize("earlier", [(1, 5), (900, 99), (86_399, 86_399 * 86_400_046), (0, 17)])
def test_a_batch_adds_to_counts_exactly(thirty: World, earlier: tuple[int, int]) -> None:
    """Counts of a day are larger than the exact integers of Lua."""
    when, before = thirty.due, DayCount(*earlier)
    day = f"{keys.COUNT_PREFIX}{int(when // DAY)}"
    thirty.redis.hset(day, "7", before.packed)
    thirty.fire()
    thirty.work()
    one = DayCount.unpack(count_one(when))
    counts = {job: DayCount.unpack(int(n)) for job, n in thirty.redis.hgetall(day).items()}
    assert counts.pop("7") == before + one
    assert list(counts.values()) == [one] * 29
