"""A canary in every place for a secret must appear nowhere else (docs/security.md)."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from html import unescape

import pytest
from guarded_world import World, make_world
from helpers import ended_runs, wait_until
from kombu import Connection
from processes import Process
from redis.exceptions import RedisError
from spellings import spellings
from tls_front import TlsFront

from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.store.urls import parse_redis_url

#: A name and a text.
Place = tuple[str, str]
#: Where a job's own secrets stand because they are sent from there (docs/security.md).
DEFINITIONS = re.compile(r"redbeat:cron_tasks:.*|cron_tasks:pings")
OF_JOBS = {"userinfo", "header", "cookie", "query", "job_heartbeat"}
JOB = "head-fails"
COMMANDS = (
    ("settings",),
    ("doctor",),
    ("health",),
    ("jobs", "list"),
    *(("jobs", "show", f"{kind}-fails") for kind in ("file", "body", "user", "head")),
    ("jobs", "rejected"),
    ("runs",),
    ("runs", JOB),
    ("runs", "--status", "failed"),
    ("audit", "--since", "1h"),
    ("sync", "--dry-run"),
    ("sync",),
    ("next", JOB),
    ("why", JOB, "--at", "1m"),
    ("backfill", JOB, "--from", "2m", "--to", "1m", "--dry-run"),
)
#: Commands whose text is searched too.
IN_TEXT = {("settings",), ("doctor",), ("jobs", "show"), ("jobs", "rejected"), ("sync",)}
PAGES = (
    *("/health", "/jobs", "/upcoming", "/", "/workers", "/tasks", "/broker", "/metrics"),
    *(f"/jobs/{kind}-fails" for kind in ("file", "body", "user", "head")),
    *("/worker/w@test", "/api/workers?refresh=1", "/api/tasks", "/api/task/types"),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("canary")) as made:
        made.wait_for_runs()
        made.refuse_notifications()
        wait_until(lambda: len(made.telegram.refused) > 3, "posts that fail")
        made.slow_down(JOB)
        made.rest_is_well = False
        syncs = len(made.rest.requests)
        wait_until(lambda: len(made.rest.requests) > syncs + 8, "syncs that fail")
        yield made


def read_logs(world: World) -> Iterator[Place]:
    """Read the logs in the formats json, ecs and console, at the level DEBUG."""
    for path in sorted(world.folder.glob("*.log")):
        yield f"log {path.name}", path.read_text(errors="replace")


def read_redis(world: World) -> Iterator[Place]:
    redis = world.admin
    for key in redis.scan_iter(count=1000):
        match redis.type(key):
            case "list":
                found = redis.lrange(key, 0, -1)
            case "hash":
                found = [text for pair in redis.hgetall(key).items() for text in pair]
            case "zset":
                found = redis.zrange(key, 0, -1)
            case "set":
                found = list(redis.smembers(key))
            case "stream":
                found = [str(entry) for entry in redis.xrange(key)]
            case "string":
                found = [str(redis.get(key))]
            case _:
                continue  # It has gone.
        yield f"key {key}", "\n".join([key, *map(str, found)])


def read_pages(world: World) -> Iterator[Place]:
    world.flower.wait_ready()
    for path in PAGES:
        if path.startswith("/worker/"):
            # A busy worker may not answer Flower in time.
            wait_until(lambda p=path: world.flower.get(p).status == 200, path)
        page = world.flower.get(path)
        assert page.status == 200, path
        yield f"page {path}", f"{page.headers}\n{page.text}\n{unescape(page.text)}"


def read_commands(world: World) -> Iterator[Place]:
    for command in COMMANDS:
        done = world.cli.attempt(*command, "--json")
        assert "Traceback" not in done.stderr, done.stderr
        yield f"command {' '.join(command)} --json", done.stdout + done.stderr
        if command[:2] in IN_TEXT:
            yield f"command {' '.join(command)}", world.cli.on_terminal(*command)


def read_celery(world: World) -> Iterator[Place]:
    for command in (("inspect", "conf", "with_defaults=1"), ("report",)):
        done = world.celery.run(*command)
        yield f"celery {' '.join(command)}", done.stdout + done.stderr


def read_messages(world: World) -> Iterator[Place]:
    yield "notifications", str(world.telegram.sent + world.telegram.refused)
    yield "reports", str(world.rest.patches)


def read_spans(world: World) -> Iterator[Place]:
    yield "spans", "\n".join(map(str, world.spans.spans))


#: What writes for people and programs.
PLACES = (
    *(read_logs, read_redis, read_pages, read_commands, read_celery, read_messages),
    read_spans,
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("read", PLACES, ids=lambda read: read.__name__)
def test_no_secret_is_found(world: World, read: Callable[[World], Iterator[Place]]) -> None:
    found = [
        f"{place}: {name} ({how})"
        for place, text in read(world)
        for name, how in find_secrets(world, text)
        if not (name in OF_JOBS and DEFINITIONS.fullmatch(place.removeprefix("key ")))
    ]
    assert not found, "\n".join(found[:60])


def find_secrets(world: World, text: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each secret in a text, and its spelling there."""
    lower = text.lower()
    for name, secret in world.canaries:
        # A part of a secret that was cut off is a leak too.
        forms = {"beginning": secret[:14], **spellings(secret)}
        if how := next((how for how, form in forms.items() if form.lower() in lower), None):
            at = lower.index(forms[how].lower())
            yield name, f"{how}: {text[max(0, at - 60) : at + 30]!r}"


def test_the_secrets_were_sent(world: World) -> None:
    """Each secret reached its service, so the search above looks for real secrets."""
    heard = [f"{path} {headers}" for _, path, headers in world.service.requests]
    heard += [body.decode() for body in world.service.bodies]
    for name in ("secret_file", "heartbeat", "job_heartbeat", "header", "cookie", "query"):
        assert any(getattr(world.canaries, name) in each for each in heard), name
    assert any(world.canaries.telegram in path for path in world.telegram.paths)
    asked = str([headers for _, _, headers in world.rest.requests])
    assert world.canaries.rest_header in asked
    assert world.canaries.collector in str([dict(each) for each in world.spans.headers])
    assert ended_runs(world.admin, JOB)


def test_the_rights_of_the_users_suffice(world: World) -> None:
    """The users are permitted to do everything that people and programs do."""
    world.rest_is_well = True
    world.telegram.answer = None
    with connect(world.url_of("rest_service")) as service:
        service.lpush(keys.POKE, "never")
        wait_until(lambda: not world.admin.exists(keys.POKE), "the poke")
    for command in (
        ("sync", "--force"),
        ("jobs", "pause", "never", "--reason", "tried"),
        ("jobs", "resume", "never"),
        ("jobs", "skip-next", "never"),
        ("backfill", "plain-1", "--from", "20s", "--to", "1s"),
        ("jobs", "run", "never", "--wait"),
        ("jobs", "list", "--sort", "next", "--search", "hand"),
    ):
        world.cli.run(*command)
    (failed, *_) = world.cli.json("runs", "--status", "failed")
    world.cli.json("runs", "retry", failed["run_id"])
    world.cli.attempt("runs", "cancel", failed["run_id"])  # It may have ended.
    assert world.flower.post(("action", "pause"), ("id", "never"), ("reason", "x")).status == 303
    assert world.flower.post(("action", "resume"), ("id", "never")).status == 303
    read_a_stream(world)
    log = world.admin.execute_command("ACL", "LOG", "100")
    # doctor asks how Redis stores hashes, and takes no for an answer.
    assert [each for each in log if each["object"] != "config|get"] == []


def read_a_stream(world: World) -> None:
    """Let a bot read a stream, as the user of bots."""
    message = {"id": "x", "chat_id": 1, "response": "through a stream", "status": "success"}
    world.admin.xadd("queue:stream", {"data": json.dumps(message)})
    env = world.env_of_bot | {"CRON_TASKS_NOTIFY_TRANSPORT": "stream"}
    command = [sys.executable, "-m", "cron_tasks.bot", "--queue", "queue:stream", "--name", "s"]
    bot = Process(command, env, world.folder / "stream.log")
    try:
        bot.wait_for("through a stream")
        wait_until(lambda: world.admin.xlen("queue:stream") == 0, "the end of the message")
    finally:
        bot.end()


@pytest.mark.parametrize(
    ("host", "query"), [("127.0.0.1", ""), ("127.0.0.2", "?ssl_ca_certs={bundle}")]
)
def test_a_redis_that_cannot_prove_its_name_is_refused(world: World, host: str, query: str) -> None:
    """Both our client and the broker refuse another CA, and a certificate for another host."""
    bundle = world.authority.bundle
    with TlsFront(world.authority.server_context(), world.valkey.port, host) as front:
        url = f"rediss://cron_tasks:{world.canaries.redis}@{host}:{front.port}/0"
        url += query.format(bundle=bundle)
        with connect(url) as redis, pytest.raises(RedisError, match="certificate verify failed"):
            redis.ping()
        broker = Connection(parse_redis_url(url).for_kombu)
        with broker, pytest.raises(broker.connection_errors, match="certificate verify failed"):
            broker.connect()
        error = world.cli.error("jobs", "list", REDIS_URL=url)
        assert "certificate" in error
        assert world.canaries.redis not in error


def test_a_rest_service_of_another_authority_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    done = world.cli.run("sync", "--dry-run", code=1)
    assert "certificate" in done.stderr
