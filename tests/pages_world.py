"""A whole system with jobs that run and fail, and Flowers that show it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flower_process import Flower
from helpers import NEVER_DUE, ended_runs, wait_until
from live import Service
from processes import Celery, Valkey, celery_processes
from redis import Redis
from rest_server import RestServer, reply

from cron_tasks.store import keys
from cron_tasks.store.client import connect

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'job'"
LOGIN = "ann:secret"


def find_chromium() -> str:
    """Return the path of a Chromium. Without one, skip the test, or fail it in CI."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and not os.environ.get("CI"):
        pytest.skip("there is no Chromium")
    assert found, "there is no Chromium; tests/install_chromium installs it"
    return found


class World:
    """Redis, the REST service, beat, a worker, the service that jobs call, and Flowers.

    `flower` has a login. `read_only` has one too, and a prefix. `open` has no login.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.valkey = Valkey(folder)
        stack.callback(self.valkey.stop)
        self.redis: Redis = stack.enter_context(connect(self.valkey.url))
        self.service = stack.enter_context(Service())
        self.service.answers |= {"import": reply(503), "export": reply(503)}
        self.rest = stack.enter_context(RestServer(self._rows()))
        env = {
            "CRON_TASKS_REDIS_URL": self.valkey.url,
            "CRON_TASKS_REST_URL": self.rest.url,
            "CRON_TASKS_CHAT_ID": "100",
            "CRON_TASKS_HTTP_ALLOW": "127.0.0.1",
            "CRON_TASKS_TRACE_URL": "https://traces.example/t?id={trace_id}&view=a",
        }
        celery: Celery = stack.enter_context(celery_processes(env, folder))
        self.beat = celery.beat()
        self.worker = celery.worker(1)
        options = ("--inspect_timeout=100",)
        self.flower = Flower(env, folder, *options, login=LOGIN)
        self.read_only = Flower(env, folder, *options, "--read-only", login=LOGIN, prefix="/flower")
        self.open = Flower(env, folder, *options)
        for each in (self.flower, self.read_only, self.open):
            stack.callback(each.process.end)
        for each in (self.flower, self.read_only, self.open):
            each.wait_ready()
        wait_until(lambda: self.redis.hlen(keys.FAILING) == 2, "two failing jobs")
        wait_until(lambda: len(ended_runs(self.redis, "often")) > 2, "runs")

    def _rows(self) -> list[dict[str, Any]]:
        quiet = {"notify": {"on": []}}
        warehouse = {**quiet, "every": 2, "tags": ["warehouse"]}
        many = [
            {"id": f"many-{n}", "name": f"One of many {n}", **NEVER_DUE, **quiet, "tags": ["many"]}
            for n in range(60)
        ]
        return [
            {"id": "often", "name": "Every second", "every": 1, **quiet},
            {
                "id": "import",
                "name": "Import",
                "action": self.service.action("import"),
                **warehouse,
            },
            {
                "id": "export",
                "name": "Export",
                "action": self.service.action("export"),
                **warehouse,
            },
            {"id": "a/b?c", "name": HOSTILE, "cron_expression": "0 9 * * *", **quiet},
            {
                "id": "plants",
                "name": "Water the plants",
                "cron_expression": "0 9 * * *",
                "timezone": "Europe/Berlin",
                **quiet,
            },
            {"id": "manual", "name": "By hand", **NEVER_DUE, **quiet},
            *many,
        ]


@contextmanager
def make_world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(folder, stack)
