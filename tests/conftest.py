"""Fixtures: a real Valkey, a real REST service, real Celery processes, and a clean Redis after."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import processes
import pytest
from command_line import CommandLine, Quick
from driven import Beat, driven_beat
from live import Live, Service
from preloaded import LIBRARIES, OURS, Preloaded
from processes import Celery, Valkey, celery_processes
from redis import Redis
from rest_server import RestServer
from start_order import deal

from cron_tasks.health.system import System
from cron_tasks.settings import Settings
from cron_tasks.store.client import connect
from cron_tasks.sync.reconciler import Reconciler

#: Keys that may stay without a time to live; docs/keys.md says why.
LASTING = re.compile(
    r"redbeat:.*|cron_tasks:(jobs|edits|changes|rejected|set_aside|source|generation|reports|reports:errors"
    r"|reports:refused|open|batches|fired|deadlines|poke|failing|untold|going|queued|attempts|dropped"
    r"|metrics|expected|leaders)$"
    r"|queue:.*|celery|cron_tasks(\.sync)?|_kombu\..*|unacked.*|(celery|cron_tasks)\x06.*"
)
#: Before the name of each queue to which something was sent, or from which something was read.
BINDING = "_kombu.binding."


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Refuse cases that come from a set, because each process would collect them in another
    order."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        if any(isinstance(values, set | frozenset) for values in mark.args):
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: sort the set of cases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each of several processes begin with tests that take long."""
    if (processes := getattr(config, "workerinput", {}).get("workercount", 1)) > 1:
        items[:] = deal(items, lambda item: item.path.name, processes)


@pytest.fixture(scope="session", autouse=True)
def heeded_interrupts() -> Iterator[None]:
    """Make the processes that tests start obey SIGINT, even if the tests themselves ignore it.

    A shell without job control starts background processes with SIGINT ignored, and a child
    inherits that. It does not inherit a handler, so the tests ignore SIGINT with a handler.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def preloaded(heeded_interrupts: None) -> Iterator[None]:
    """Have the Python programs that tests start forked, which saves their imports."""
    every = Preloaded(LIBRARIES + OURS), Preloaded(LIBRARIES, "PYTHONPATH")
    processes.preloaded = every
    yield
    processes.preloaded = ()
    for each in every:
        each.end()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One Valkey for all tests of a process. Tests that damage theirs start another one."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey: Valkey) -> Iterator[str]:
    """The URL of an empty Redis. Fails a test that leaves a key without a time to live."""
    with connect(valkey.url) as redis:
        redis.flushall()
        yield valkey.url
        immortal = [key for key in redis.scan_iter(count=1000) if redis.ttl(key) == -1]
        redis.flushall()
    # A message may have waited for a worker when the test ended its processes.
    bound = {key.removeprefix(BINDING) for key in immortal if key.startswith(BINDING)}
    lasting = [key for key in immortal if LASTING.fullmatch(key) or key.split("\x06")[0] in bound]
    forgotten = set(immortal).difference(lasting)
    assert not forgotten, f"keys without a time to live: {forgotten}"


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def rest() -> Iterator[RestServer]:
    with RestServer([]) as server:
        yield server


@pytest.fixture
def system(redis: Redis, redis_url: str, rest: RestServer) -> System:
    """The system as `cron-tasks doctor` checks it."""
    return System(Settings(redis_url=redis_url, rest_url=rest.url), redis, time.time())


@pytest.fixture
def cli(redis_url: str, rest: RestServer, tmp_path: Path) -> Iterator[CommandLine]:
    commands = CommandLine(tmp_path, REDIS_URL=redis_url, REST_URL=rest.url)
    yield commands
    commands.end()


@pytest.fixture
def quick(cli: CommandLine) -> Quick:
    return Quick(cli.folder, **cli.settings)


@pytest.fixture
def synced(redis: Redis, rest: RestServer) -> Callable[..., None]:
    """Make the REST service list these rows, and the registry contain them."""

    def sync(*rows: dict[str, Any]) -> None:
        rest.jobs = list(rows)
        report = Reconciler(redis, Settings(rest_url=rest.url)).sync(time.time)
        assert report is not None
        assert report.state == "ok"

    return sync


@pytest.fixture
def celery(redis_url: str, rest: RestServer, tmp_path: Path) -> Iterator[Celery]:
    env = {
        "CRON_TASKS_REDIS_URL": redis_url,
        "CRON_TASKS_REST_URL": rest.url,
        "CRON_TASKS_CHAT_ID": "100",
    }
    with celery_processes(env, tmp_path) as processes:
        yield processes


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        yield server


@pytest.fixture
def live(redis: Redis, rest: RestServer, celery: Celery, service: Service) -> Live:
    return Live(redis, rest, celery, service)


@pytest.fixture
def beat(redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beat]:
    with driven_beat(redis, redis_url, monkeypatch) as driven:
        yield driven
