"""The reference bot keeps its promises for each message, whichever process dies at any moment."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from helpers import PATIENCE, free_port, wait_until
from processes import Process, Valkey
from redis import Redis
from redis.exceptions import RedisError
from telegram_server import TelegramServer, error

from cron_tasks.bot import Bot, ListReader, Pace, Permanent, Reader, StreamReader, TryAgain, loop
from cron_tasks.bot import reader as bot_reader
from cron_tasks.bot.telegram import Telegram, cut_text, telegram_pace
from cron_tasks.errors import CronTasksError
from cron_tasks.settings import Settings
from cron_tasks.store.client import connect

QUEUE = "queue:to_telegram"
TOKEN = "123456:telegram-s3cret"
KINDS: list[type[ListReader] | type[StreamReader]] = [ListReader, StreamReader]
both = pytest.mark.parametrize("kind", ["list", "stream"])


def message(number: int, chat: Any = None, **more: Any) -> str:
    chat = number if chat is None else chat
    return json.dumps({"chat_id": chat, "response": f"m{number}", "id": f"{number}"} | more)


def put(redis: Redis, kind: str, *messages: str) -> None:
    for text in messages:
        each = text.encode("utf-8", "surrogateescape")
        if kind == "list":
            redis.rpush(QUEUE, each)
        else:
            redis.xadd(QUEUE, {"data": each})


def unacknowledged(redis: Redis, kind: str, name: str = "a") -> int:
    if kind == "list":
        return redis.llen(f"{QUEUE}:processing:{name}")
    return redis.xpending(QUEUE, "bot")["pending"] if redis.exists(QUEUE) else 0


def let_leases_run_out(redis: Redis, name: str = "*") -> None:
    """Expire the leases, like the 15 seconds after all bots were killed, or that of one bot."""
    for key in redis.scan_iter(f"{QUEUE}*:alive:{name}"):
        redis.delete(key)


def dead(redis: Redis) -> list[tuple[str, str]]:
    entries = [json.loads(each) for each in redis.lrange(f"{QUEUE}:dead", 0, -1)]
    return [(each["message"], each["reason"]) for each in entries]


class Bots:
    """Starts `python -m cron_tasks.bot …` processes and ends them all."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {"LOG_FORMAT": "json"} | settings
        self.processes: list[Process] = []

    def start(self, *arguments: str, ready: bool = True, **settings: str) -> Process:
        log = self.folder / f"bot-{len(self.processes)}.log"
        env = {f"CRON_TASKS_{k}": v for k, v in (self.settings | settings).items()}
        bot = Process([sys.executable, "-m", "cron_tasks.bot", *arguments], env, log)
        self.processes.append(bot)
        if ready:
            bot.wait_for("bot.waiting")
        return bot

    def end(self) -> None:
        for process in self.processes:
            process.end()
            assert TOKEN not in process.output
            assert "Traceback" not in process.output


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server


@pytest.fixture
def bots(redis_url: str, telegram: TelegramServer, tmp_path: Path) -> Iterator[Bots]:
    bots = Bots(tmp_path, REDIS_URL=redis_url, TELEGRAM_TOKEN=TOKEN, TELEGRAM_URL=telegram.url)
    yield bots
    bots.end()


@both
def test_killed_between_taking_and_sending(
    bots: Bots, telegram: TelegramServer, redis: Redis, kind: str
) -> None:
    telegram.answer = lambda _: error(429, "Too Many Requests", retry_after=60)
    put(redis, kind, message(1, chat=7), message(2, chat=7))
    bot = bots.start("--telegram", "--name=a", NOTIFY_TRANSPORT=kind)
    wait_until(lambda: unacknowledged(redis, kind) == 2, "both to be taken")
    bot.wait_for("bot.put_off")
    bot.kill()
    assert telegram.refused == [(7, "m1")]
    telegram.answer = None
    let_leases_run_out(redis)
    bots.start("--telegram", "--name=a", NOTIFY_TRANSPORT=kind)
    wait_until(lambda: telegram.sent == [(7, "m1"), (7, "m2")], "both in their order")
    wait_until(lambda: not unacknowledged(redis, kind), "acknowledgement")
    assert telegram.paths == {f"/bot{TOKEN}/sendMessage"}


@both
def test_killed_between_sending_and_remembering(
    bots: Bots, telegram: TelegramServer, redis: Redis, kind: str
) -> None:
    telegram.hold.clear()
    bot = bots.start("--telegram", "--name=a", NOTIFY_TRANSPORT=kind)
    put(redis, kind, message(1), message(2), message(3))
    wait_until(lambda: telegram.sent == [(1, "m1")], "the first message")
    bot.kill()
    telegram.hold.set()
    let_leases_run_out(redis)
    bots.start("--telegram", "--name=b", NOTIFY_TRANSPORT=kind)
    wait_until(lambda: len(telegram.sent) == 4, "the others, and the first once more")
    assert sorted(telegram.sent) == [(1, "m1"), (1, "m1"), (2, "m2"), (3, "m3")]


@both
def test_two_share_a_queue(bots: Bots, redis: Redis, kind: str) -> None:
    pair = [bots.start(NOTIFY_TRANSPORT=kind, TELEGRAM_TOKEN="") for _ in range(2)]
    numbers = count()

    def printed() -> list[list[str]]:
        return [
            [line for line in bot.output.splitlines() if line.startswith("None ")] for bot in pair
        ]

    def both_print() -> bool:
        put(redis, kind, message(next(numbers)))
        return all(printed())

    wait_until(both_print, "a message that the second bot gets")
    put(redis, kind, *map(message, islice(numbers, 300)))
    total = next(numbers)
    wait_until(lambda: sum(map(len, printed())) >= total, "all to be printed")
    assert [bot.terminate() for bot in pair] == [0, 0]
    first, second = printed()
    assert sorted(first + second) == sorted(f"None {n}: m{n}" for n in range(total))


def test_an_unreachable_telegram_and_the_token_is_not_shown(bots: Bots, redis: Redis) -> None:
    put(redis, "list", message(1))
    url = f"http://127.0.0.1:{free_port()}"
    bot = bots.start("--telegram", TELEGRAM_URL=url, LOG_LEVEL="DEBUG")
    bot.wait_for('"seconds": 2')
    assert "Telegram: ConnectionError" in bot.output
    assert bot.terminate() == 0
    assert redis.lrange(QUEUE, 0, -1) == [message(1)]


@both
def test_it_survives_a_restart_of_redis(
    bots: Bots, telegram: TelegramServer, tmp_path: Path, kind: str
) -> None:
    server = Valkey(tmp_path / "own", appendfsync="always")
    try:
        bot = bots.start("--telegram", "--name=a", REDIS_URL=server.url, NOTIFY_TRANSPORT=kind)
        with connect(server.url) as redis:
            telegram.hold.clear()
            put(redis, kind, message(1), message(2))
            wait_until(lambda: telegram.sent, "the first message")
            server.kill()
            telegram.hold.set()
            bot.wait_for("redis.away")
            server.start()
            wait_until(lambda: len(telegram.sent) == 2, "the other")
            wait_until(lambda: not unacknowledged(redis, kind), "its acknowledgement")
            telegram.hold.clear()
            put(redis, kind, message(3), message(4))
            wait_until(lambda: len(telegram.sent) == 3, "the third")
            redis.config_set("maxmemory", 1)
            telegram.hold.set()
            wait_until(lambda: bot.output.count("redis.away") == 2, "that it is not remembered")
            redis.config_set("maxmemory", 0)
            wait_until(lambda: len(telegram.sent) == 4, "the fourth")
            wait_until(lambda: not unacknowledged(redis, kind), "acknowledgement")
        assert telegram.sent == [(1, "m1"), (2, "m2"), (3, "m3"), (4, "m4")]
        assert bot.output.count("redis.away") == 2
        assert bot.terminate() == 0
    finally:
        server.stop()


def test_a_signal_lets_it_finish_the_current_message(
    bots: Bots, telegram: TelegramServer, redis: Redis
) -> None:
    telegram.hold.clear()
    put(redis, "list", message(1), message(2))
    bot = bots.start("--telegram")
    wait_until(lambda: telegram.sent, "the first message")
    bot.signal(signal.SIGINT)
    assert bot.alive
    telegram.hold.set()
    assert bot.popen.wait(PATIENCE) == 0
    assert telegram.sent == [(1, "m1")]
    assert redis.lrange(QUEUE, 0, -1) == [message(2)]
    assert set(redis.scan_iter()) == {QUEUE, f"cron_tasks:bot:sent:{QUEUE}:1"}


BAD_INPUT: list[tuple[list[str], dict[str, str], int, str]] = [
    (["--telegram"], {"TELEGRAM_TOKEN": ""}, 1, "CRON_TASKS_TELEGRAM_TOKEN is not set: give"),
    (["--queue=celery"], {}, 2, "names that start with"),
    ([], {"NOTIFY_TRANSPORT": "stream"}, 1, "is a list in Redis, not a stream: check"),
]


def test_bad_input_is_one_sentence(bots: Bots, redis: Redis) -> None:
    put(redis, "list", message(1))
    started = [
        bots.start(*arguments, ready=False, **settings) for arguments, settings, _, _ in BAD_INPUT
    ]
    for bot, (_, _, code, told) in zip(started, BAD_INPUT, strict=True):
        assert bot.popen.wait(PATIENCE) == code
        assert told in bot.output


# The library, in this process.


@pytest.fixture(params=KINDS, ids=["list", "stream"])
def reader(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Callable[..., Reader]]:
    with connect(redis_url, retries=0) as redis:
        yield lambda name, **options: request.param(redis, QUEUE, name, **options)


class Clock:
    """Stands for the module `time`. A test sets its monotonic clock forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of bots and readers."""
    clock = Clock()
    for module in (loop, sys.modules[Reader.__module__]):
        monkeypatch.setattr(module, "time", clock)
    return clock


def run(
    reader: Reader, handler: Callable[[dict[str, Any]], None], pace: Pace | None = None
) -> None:
    bot = Bot(reader, handler, pace)
    bot.stop(when_empty=True)
    bot.run()


def test_the_same_id_is_handled_once(reader: Callable[..., Reader], redis: Redis) -> None:
    first, again = reader("a"), reader("b")
    # Killed after it had remembered 1, before it acknowledged it.
    redis.set(f"cron_tasks:bot:sent:{first.scope}:1", 1, ex=60)
    put(redis, first.kind, message(1), message(2), message(2, text="other"), message(3))
    handled: list[dict[str, Any]] = []
    run(first, handled.append)
    put(redis, first.kind, message(3), message(4))
    run(again, handled.append)
    assert [each["id"] for each in handled] == ["2", "3", "4"]
    assert 86_000 < redis.ttl(f"cron_tasks:bot:sent:{first.scope}:3") <= 86_400
    left = {key for key in redis.scan_iter() if not key.startswith("cron_tasks:bot:sent:")}
    assert left == ({QUEUE} if first.kind == "stream" else set())
    assert first.kind == "list" or redis.xlen(QUEUE) == unacknowledged(redis, "stream") == 0


def test_messages_that_cannot_be_sent_become_dead_letters(
    reader: Callable[..., Reader], telegram: TelegramServer, redis: Redis
) -> None:
    refusals = {
        2: error(400, "Bad Request: chat not found"),
        3: error(403, "Forbidden: bot was blocked by the user"),
    }
    telegram.answer = lambda it: refusals.get(it["chat_id"], (200, {"ok": True}))
    bad = {
        "\x1b[31mno JSON\udcff": "it is not a JSON object",
        "[1]": "it is not a JSON object",
        "[" * 5_000: "it is not a JSON object",
        message(1, chat_id=None): "it has no chat_id",
        message(1, response=None): "it has no text in `response`",
        message(2): "Telegram: 400 Bad Request: chat not found",
        message(3): "Telegram: 403 Forbidden: bot was blocked by the user",
    }
    put(redis, (it := reader("a")).kind, *bad, message(4))
    if it.kind == "stream":
        redis.xadd(QUEUE, {"other": "x"})
        bad["no field `data`: {'other': 'x'}"] = "it is not a JSON object"
    run(it, Telegram(TOKEN, telegram.url), telegram_pace())
    assert dict(dead(redis)) == bad
    assert telegram.sent == [(4, "m4")]
    assert 604_000 < redis.ttl(f"{QUEUE}:dead") <= 604_800
    assert not unacknowledged(redis, it.kind)


def test_interim_answers_cause_no_second_sending(
    reader: Callable[..., Reader], telegram: TelegramServer, redis: Redis
) -> None:
    telegram.interim = [102, 103]
    put(redis, (it := reader("a")).kind, message(1), message(2))
    run(it, Telegram(TOKEN, telegram.url))
    assert telegram.sent == [(1, "m1"), (2, "m2")]


def test_a_delayed_chat_does_not_hold_up_others(
    reader: Callable[..., Reader], telegram: TelegramServer, redis: Redis, clock: Clock
) -> None:
    first = iter([error(429, "Too Many Requests: retry after 60", retry_after=60)])

    def answer(it: dict[str, Any]) -> tuple[int, Any]:
        if it["chat_id"] == 4:
            clock.ahead = 60.0
        return next(first, (200, {"ok": True}))

    telegram.answer = answer
    messages = message(1, chat=7), message(2, chat=7), message(3), message(4)
    put(redis, (it := reader("a")).kind, *messages)
    run(it, Telegram(TOKEN, telegram.url))
    assert telegram.refused == [(7, "m1")]
    assert telegram.sent == [(3, "m3"), (4, "m4"), (7, "m1"), (7, "m2")]


def test_the_messages_of_a_dead_reader_go_to_others(
    reader: Callable[..., Reader], redis: Redis, clock: Clock
) -> None:
    first, other = reader("a", lease=60), reader("b", lease=60)
    put(redis, first.kind, message(1), message(2))
    assert first.enter()
    [taken] = first.receive(1)
    assert other.enter()
    assert not reader("a").enter()
    [second] = other.receive(1)
    assert (taken.data, second.data) == (message(1), message(2))
    other.ack(second)
    clock.ahead = 50.0
    let_leases_run_out(redis, "a")
    other.renew()
    [again] = wait_until(lambda: other.receive(0.05), "the message of the reader that is dead")
    assert again.data == message(1)
    assert first.is_overdue
    assert not other.is_overdue
    with pytest.raises(RedisError):
        first.renew()
    other.ack(again)
    other.leave()
    assert first.enter()
    assert first.receive(0.05) == []
    first.leave()


def test_messages_stay_with_a_reader_that_works_long(
    reader: Callable[..., Reader], redis: Redis, clock: Clock
) -> None:
    first, other = reader("a", lease=60), reader("b", lease=60)
    put(redis, first.kind, message(1))
    assert first.enter()
    assert other.enter()
    [taken] = first.receive(1)
    for _ in range(3):
        clock.ahead += 30.0
        (lease,) = redis.scan_iter(f"{QUEUE}*:alive:a")
        redis.expire(lease, 30)
        first.renew()
        assert redis.ttl(lease) > 30
        other.renew()
        assert other.receive(0.05) == []
    first.leave()
    clock.ahead += 30.0
    assert [each.data for each in wait_until(lambda: other.receive(0.05))] == [taken.data]
    other.leave()


def test_a_bot_whose_lease_expires_starts_again(
    reader: Callable[..., Reader], redis: Redis, clock: Clock
) -> None:
    """After a freeze, another bot may have the messages that it held."""
    put(redis, (it := reader("a", lease=60)).kind, message(1), message(2))
    tries: list[str] = []

    def handler(body: dict[str, Any]) -> None:
        tries.append(body["id"])
        if tries == ["1"]:
            raise TryAgain("in an hour", after=3600)
        if len(tries) == 2:
            clock.ahead = 50.0
            let_leases_run_out(redis)
        if len(tries) == 3:
            bot.stop()

    bot = Bot(it, handler)
    bot.run()
    assert tries == ["1", "2", "1"]
    assert not unacknowledged(redis, it.kind)


def test_other_groups_lose_nothing(redis: Redis, redis_url: str) -> None:
    put(redis, "stream", *map(message, range(5)))
    redis.xgroup_create(QUEUE, "audit", "0")
    for group, left in (("bot", 5), ("audit", 0)):
        seen: list[dict[str, Any]] = []
        with connect(redis_url, retries=0) as client:
            run(StreamReader(client, QUEUE, "a", group=group), seen.append)
        assert [each["id"] for each in seen] == list("01234")
        assert redis.xlen(QUEUE) == left


def test_a_handler_that_fails(
    reader: Callable[..., Reader], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LONGEST_WAIT", 0.01)
    tries: list[str] = []

    def handler(body: dict[str, Any]) -> None:
        tries.append(body["id"])
        match body["id"], tries.count(body["id"]):
            case "1", count if count < 3:
                raise OSError("away")
            case "2", _:
                raise KeyError("a bug")
            case "3", count if count < 15:
                raise TryAgain("busy", everyone=True)
            case "4", _:
                raise Permanent("never\never")

    wanted = [message(2), message(1), message(3), message(4), message(5)]
    put(redis, (it := reader("a")).kind, *wanted)
    run(it, handler)
    assert [tries.count(id_) for id_ in "12345"] == [3, 10, 15, 1, 1]
    reasons = dict(dead(redis))
    assert reasons == {
        message(2): "KeyError: 'a bug', 10 times",
        message(4): "never\\never",
    }
    assert not unacknowledged(redis, it.kind)


def test_the_dead_list_is_bounded(
    reader: Callable[..., Reader], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "DEAD_KEPT", 3)
    put(redis, (it := reader("a")).kind, *"abcde")
    run(it, print)
    assert [raw for raw, _ in dead(redis)] == ["c", "d", "e"]


def test_no_more_messages_are_received_than_can_be_held(
    reader: Callable[..., Reader], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MOST_HELD", 4)
    put(redis, (it := reader("a")).kind, *(message(number, chat=7) for number in range(10)))
    held: list[int] = []

    def handler(_: dict[str, Any]) -> None:
        held.append(unacknowledged(redis, it.kind))
        if sum(number >= 4 for number in held) == 10:
            bot.stop()
        raise TryAgain("later", after=0.01)

    bot = Bot(it, handler)
    bot.run()
    assert max(held) == 4


def test_a_queue_of_another_kind_is_refused(redis: Redis, redis_url: str) -> None:
    put(redis, "stream", message(1))
    with pytest.raises(CronTasksError, match="is a stream in Redis, not a list"):
        Bot(ListReader(redis, QUEUE, "a"), print).run()


@pytest.mark.parametrize(
    ("answer", "after", "everyone"),
    [
        (error(429, "Too Many Requests", retry_after=7), 7, False),
        (error(429, "Too Many Requests", retry_after=1.5), 1.5, False),
        (error(429, "Too Many Requests", retry_after=-7), 1, False),
        (error(429, "Too Many Requests", retry_after=10**18), 86_400, False),
        (error(429, "Too Many Requests"), None, True),
        ((400, b"[" * 100_000), None, True),
        ((200, b'{"ok": true, "x": "' + b"x" * 2_000_000 + b'"}'), None, True),
        (error(500, "Internal"), None, True),
        (error(401, "Unauthorized"), None, True),
        ((403, b"<html>of a proxy"), None, True),
        ((400, []), None, True),
        ((302, b""), None, True),
        ((200, b"{}"), None, True),
    ],
)
def test_failures_that_are_not_the_message_s_fault(
    telegram: TelegramServer, answer: tuple[int, Any], after: float | None, everyone: bool
) -> None:
    telegram.answer = lambda _: answer
    with pytest.raises(TryAgain, match=f"^Telegram: {answer[0]}") as caught:
        Telegram(TOKEN, telegram.url)({"chat_id": -1, "response": "x"})
    assert (caught.value.after, caught.value.everyone) == (after, everyone)


MOVED = error(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1005)


def test_a_group_that_has_become_a_supergroup(
    reader: Callable[..., Reader], telegram: TelegramServer, redis: Redis
) -> None:
    telegram.answer = lambda it: MOVED if it["chat_id"] == -5 else (200, {"ok": True})
    put(redis, (it := reader("a")).kind, message(1, chat=-5), message(2, chat=-5))
    run(it, Telegram(TOKEN, telegram.url, it.redis))
    assert telegram.sent == [(-1005, "m1"), (-1005, "m2")]
    assert telegram.refused == [(-5, "m1")]
    assert dead(redis) == []
    assert 2_591_000 < redis.ttl("cron_tasks:bot:moved:-5") <= 2_592_000
    redis.expire("cron_tasks:bot:moved:-5", 100)
    put(redis, it.kind, message(3, chat=-5))
    run(again := reader("b"), Telegram(TOKEN, telegram.url, again.redis))
    assert telegram.sent[2:] == [(-1005, "m3")]
    assert telegram.refused == [(-5, "m1")], "the next bot knows"
    assert redis.ttl("cron_tasks:bot:moved:-5") > 2_591_000, "as long as it is used"


def test_a_moved_chat_without_redis(telegram: TelegramServer, tmp_path: Path) -> None:
    telegram.answer = lambda it: MOVED if it["chat_id"] == -5 else (200, {"ok": True})
    Telegram(TOKEN, telegram.url)({"chat_id": -5, "response": "x"})
    with connect(f"redis://127.0.0.1:{free_port()}/0", retries=0) as away:
        Telegram(TOKEN, telegram.url, away)({"chat_id": -5, "response": "y"})
    assert telegram.sent == [(-1005, "x"), (-1005, "y")]


def test_a_group_that_has_moved_twice(telegram: TelegramServer, redis: Redis) -> None:
    telegram.answer = lambda it: (
        error(400, "moved", migrate_to_chat_id=it["chat_id"] - 1)
        if it["chat_id"] > -7
        else (200, {"ok": True})
    )
    for text in ("x", "y"):
        Telegram(TOKEN, telegram.url, redis)({"chat_id": -5, "response": text})
    assert telegram.sent == [(-7, "x"), (-7, "y")]


@pytest.mark.parametrize(
    ("then", "raised"),
    [
        (error(400, "Bad Request: chat not found"), Permanent),
        (error(400, "moved", migrate_to_chat_id=True), Permanent),
        (error(429, "Too Many Requests", retry_after=7), TryAgain),
        (MOVED, Permanent),
    ],
)
def test_a_moved_chat_may_fail_as_any_other(
    telegram: TelegramServer, then: tuple[int, Any], raised: type[Exception]
) -> None:
    telegram.answer = lambda it: MOVED if it["chat_id"] == -5 else then
    with pytest.raises(raised):
        Telegram(TOKEN, telegram.url)({"chat_id": -5, "response": "x"})
    assert telegram.refused == [(-5, "x"), (-1005, "x")]


def test_how_long_ids_are_remembered_is_a_setting(redis: Redis, redis_url: str) -> None:
    put(redis, "list", message(1))
    with (it := bot_reader(Settings(redis_url=redis_url, bot_remember=90), name="a")).redis:
        run(it, print)
    assert 80 < redis.ttl(f"cron_tasks:bot:sent:{QUEUE}:1") <= 90


def test_pace() -> None:
    telegram = telegram_pace()
    now, sent = 100.0, []
    waiting = [chat for chat in "abc" for _ in range(20)] + [f"chat{n}" for n in range(60)]
    while waiting:
        chat = min(waiting, key=telegram.ready_at)
        now = max(now, telegram.ready_at(chat))
        waiting.remove(chat)
        telegram.note_sent(chat, now)
        sent.append((now, chat))
    for at, chat in sent:
        second = [other for when, other in sent if at <= when < at + 1 - 1e-6]
        assert len(second) <= 30
        assert second.count(chat) == 1
    assert now == pytest.approx(119, abs=0.3)  # the 20 of one chat, and nothing else, take long
    telegram.pause(200)
    assert telegram.ready_at("new") == 200
    assert Pace().ready_at("a") == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("x" * 4096, "x" * 4096),
        ("x" * 4097, "x" * 4095 + "…"),
        ("😀" * 2048, "😀" * 2048),
        ("😀" * 2049, "😀" * 2047 + "…"),
        ("a\ud800b", "a?b"),
    ],
)
def test_a_text_fits(text: str, expected: str) -> None:
    assert cut_text(text) == expected
