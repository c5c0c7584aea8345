"""A whole system with TLS, a Redis user with few rights, and a secret in every place for one.

Redis and the REST service are behind TLS with a certificate authority of our own. Every service
repeats the secrets that it gets, in many spellings, in answers of all kinds.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from flower_process import Flower
from helpers import NEVER_DUE, ended_runs, wait_until
from otlp_sink import OtlpSink
from processes import Celery, Process, Valkey, celery_processes
from redis import Redis
from rest_server import JOBS_PATH, Handler, RestServer, reply
from spellings import spellings
from telegram_server import TelegramServer, error
from tls_front import Authority, TlsFront

from cron_tasks.registry.registry import Registry
from cron_tasks.settings import PREFIX
from cron_tasks.store.client import connect

ROOT = Path(__file__).parents[1]
#: The secrets that each service knows, because they are sent to it.
REST_KNOWS = ("rest_token", "rest_header")
SERVICE_KNOWS = ("secret_file", "userinfo", "header", "cookie", "query", "job_heartbeat")


def make_canary(place: str) -> str:
    """A secret that occurs nowhere else, with characters that encodings write differently."""
    return f"kanarie.{place}/+&=Zx9%40"


def make_plain_canary(place: str) -> str:
    """Return the same for a place that accepts no such characters, such as the path of a URL."""
    return f"kanarie-{place}-Zx9y8w7v6"


class Canaries:
    """The secrets, by the place in which they are used."""

    def __init__(self) -> None:
        self.rest_token = make_canary("rest-token")
        self.rest_header = make_canary("rest-header")
        self.telegram = "4242:" + make_plain_canary("telegram")
        self.heartbeat = make_plain_canary("heartbeat")
        self.flower = make_plain_canary("flower")
        self.redis = make_plain_canary("redis")
        self.secret_file = make_canary("secret-file")
        self.userinfo = make_plain_canary("userinfo")
        self.header = make_plain_canary("header")
        self.cookie = make_plain_canary("cookie")
        self.query = make_plain_canary("query")
        self.collector = make_plain_canary("collector")
        self.job_heartbeat = make_plain_canary("job-heartbeat")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(vars(self).items())


def read_acl() -> dict[str, list[str]]:
    """Return the rules of each user in docs/users.acl, without those of `default`."""
    users = [line.split()[1:] for line in (ROOT / "docs" / "users.acl").read_text().splitlines()]
    return {name: rules for name, *rules in users if name != "default"}


def create_users(redis: Redis, password: str) -> None:
    """Create the users of docs/users.acl in a Redis."""
    for name, rules in read_acl().items():
        given = [f">{password}" if rule == ">PASSWORD" else rule for rule in rules]
        redis.execute_command("ACL", "SETUSER", name, "reset", *given)


class World:
    """The processes, the servers around them, and the outputs that they wrote."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.canaries = folder, Canaries()
        self.valkey = Valkey(folder)
        stack.callback(self.valkey.stop)
        self.admin: Redis = stack.enter_context(connect(self.valkey.url))
        create_users(self.admin, self.canaries.redis)
        authority = self.authority = Authority(folder)
        front = stack.enter_context(TlsFront(authority.server_context(), self.valkey.port))
        self.redis_url = f"rediss://cron_tasks:{self.canaries.redis}@127.0.0.1:{front.port}/0"
        self.redis_url += f"?ssl_ca_certs={authority.bundle}"
        self.service = stack.enter_context(RestServer(tls=authority.server_context()))
        self.service.answer = self._echo
        self.rest = stack.enter_context(RestServer(self._rows(), tls=authority.server_context()))
        self.rest.answer = self._answer_list
        self.rest.answer_patch = lambda handler: reply(422, self._repeat(handler))(handler)
        self.rest_is_well = True
        self.telegram = stack.enter_context(TelegramServer())
        self.spans = stack.enter_context(OtlpSink())
        self.env = self._environment(authority)
        self.celery: Celery = stack.enter_context(celery_processes(self.env, folder))
        self.beat = self.celery.start("beat", "-l", "DEBUG")
        self.worker = self.celery.start(
            "worker", *("-c", "1", "-l", "DEBUG", "-n", "w@test"), CRON_TASKS_LOG_FORMAT="ecs"
        )
        options = ("--inspect_timeout=500", "--logging=debug")
        environment = self.env | {"CRON_TASKS_LOG_FORMAT": "console"}
        login = f"ann:{self.canaries.flower}"
        self.flower = Flower(environment, folder, *options, login=login)
        stack.callback(self.flower.process.end)
        command = [sys.executable, "-m", "cron_tasks.bot", "--telegram", "--name", "b"]
        self.env_of_bot = self.env | {"CRON_TASKS_REDIS_URL": self.url_of("cron_tasks_bot")}
        self.bot = Process(command, self.env_of_bot, folder / "bot.log")
        stack.callback(self.bot.end)
        others = {name: self.env[name] for name in self.env if not name.startswith(PREFIX)}
        stack.enter_context(patched_environment(**others))
        ours = {name.removeprefix(PREFIX): each for name, each in self.env.items()}
        ours = {name: each for name, each in ours.items() if name not in others}
        self.cli = CommandLine(folder, **ours)
        stack.callback(self.cli.end)

    def url_of(self, user: str) -> str:
        """Return the URL of Redis for another user of docs/users.acl."""
        return self.redis_url.replace("//cron_tasks:", f"//{user}:")

    def _environment(self, authority: Authority) -> dict[str, str]:
        secrets = self.folder / "secrets"
        secrets.mkdir()
        (secrets / "KEY").write_text(self.canaries.secret_file)
        url = f"https://127.0.0.1:{self.service.port}"
        settings = {
            "REDIS_URL": self.redis_url,
            "REST_URL": f"https://127.0.0.1:{self.rest.port}",
            "REST_AUTH_SCHEME": "Basic",
            "REST_TOKEN": f"ann:{self.canaries.rest_token}",
            "REST_HEADERS": json.dumps({"X-Api-Key": self.canaries.rest_header}),
            "REST_REPORT_PATH": JOBS_PATH + "{id}",
            "TELEGRAM_TOKEN": self.canaries.telegram,
            "TELEGRAM_URL": self.telegram.url,
            "HEARTBEAT_URL": f"{url}/hb/{self.canaries.heartbeat}",
            "HEARTBEAT_INTERVAL": "1",
            "SECRETS_DIR": str(secrets),
            "SYNC_INTERVAL": "1",
            "HTTP_ALLOW": "127.0.0.1",
            "TASKS_ALLOW": "guest.*",
            "LOG_LEVEL": "DEBUG",
            "CHAT_ID": "100",
        }
        env = {f"CRON_TASKS_{name}": value for name, value in settings.items()}
        env |= {"CRON_TASKS_OTEL": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": self.spans.url}
        env |= {"OTEL_EXPORTER_OTLP_HEADERS": f"x-key={self.canaries.collector}"}
        return env | {"REQUESTS_CA_BUNDLE": str(authority.bundle)}

    def _rows(self) -> list[dict[str, Any]]:
        """Jobs whose requests carry secrets, and rows that are rejected with secrets in them."""
        url = f"https://127.0.0.1:{self.service.port}"
        with_user = url.replace("//", f"//ann:{self.canaries.userinfo}@")
        template = "$name: $status $error"
        notify = {"on": ["success", "failure", "retry"], "template": template}
        common = {"every": 3, "notify": notify, "timeout": 5}
        common |= {"heartbeat_url": f"{url}/ping/{self.canaries.job_heartbeat}"}
        common |= {"retry": {"max_attempts": 2, "backoff": 1}}
        headers = {
            "Authorization": f"Bearer {self.canaries.header}",
            "Cookie": f"session={self.canaries.cookie}",
        }
        rows = []
        for ending in ("well", "fails", "redirect", "drop", "garbage", "elsewhere"):
            query = f"{ending}?token={self.canaries.query}"
            for kind, action in {
                "file": {"url": f"{url}/{query}", "headers": {"X-Key": "${secret:KEY}"}},
                "body": {"url": f"{url}/{ending}", "body": "a ${secret:KEY} b"},
                "user": {"url": f"{with_user}/{query}"},
                "head": {"url": f"{url}/{query}", "headers": headers},
            }.items():
                action |= {"type": "http"}
                rows.append({"id": f"{kind}-{ending}", "name": kind, "action": action} | common)
        bad = {"url": f"{with_user}/{query}".replace("https", "htps"), "type": "http"}
        bad |= {"headers": headers | {"Host": "a b"}}
        rows += [
            {"id": "bad-action", "name": "x", "every": 60, "action": bad},
            {"id": "bad-url", "name": "x", "every": 60, "action": {"type": "http"}}
            | {"heartbeat_url": f"hc/{self.canaries.job_heartbeat}"},
            {"id": "never", "name": "By hand", **NEVER_DUE},
            *({"id": f"plain-{n}", "name": "Quick", "every": 3} for n in range(20)),
        ]
        return rows

    def _repeat(self, handler: Handler) -> bytes:
        """Return the answer of a service that repeats its input, and all spellings of its
        secrets."""
        known = SERVICE_KNOWS if handler.rest is self.service else REST_KNOWS
        found = [f"{handler.path} {handler.headers}"]
        for name in known:
            found += spellings(getattr(self.canaries, name)).values()
        return "\n".join(found).encode()

    def _echo(self, handler: Handler) -> bool:
        """Answer the request of a job, or a ping."""
        said, path = self._repeat(handler), handler.path.partition("?")[0]
        location = said.decode("latin-1").replace("\r", "").replace("\n", "")[:8000]
        match path.rpartition("/")[2]:
            case "redirect":
                return reply(307, b"", Location=f"https://127.0.0.1:1/{location}")(handler)
            case "elsewhere":
                return reply(307, b"", Location=f"https://[{location}")(handler)
            case "drop":
                handler.reset()
                return True
            case "garbage":
                handler.wfile.write(said[:4000].replace(b"\n", b" ") + b"\r\n\r\n")
                handler.close_connection = True
                return True
            case "well":
                return reply(200, said, X_Echo=location[:500])(handler)
        return reply(503, said, Content_Type="text/html")(handler)

    def _answer_list(self, handler: Handler) -> bool:
        """Answer well at first. Then fail differently from sync to sync."""
        if self.rest_is_well:
            return False
        said = self._repeat(handler)
        line = said.decode("latin-1").replace("\r", "").replace("\n", "")[:3000]
        count = len(self.rest.requests) % 5
        if count == 4:
            handler.reset()
            return True
        answers = (
            reply(500, said),
            reply(302, b"", Location=f"https://127.0.0.1:1/{line}"),
            reply(200, b'{"jobs": "' + said.replace(b"\n", b"")),
            reply(401, said, WWW_Authenticate=f'Basic realm="{line[:200]}"'),
        )
        return answers[count](handler)

    def refuse_notifications(self) -> None:
        """Make Telegram answer with the token, like a proxy in front of it might."""
        spelled = spellings(self.canaries.telegram).values()
        self.telegram.answer = lambda _: error(400, "\n".join(spelled))

    def wait_for_runs(self) -> None:
        """Wait until each job has run, and was reported and notified."""
        ids = [row["id"] for row in self.rest.jobs if row.get("every") == 3]

        def have_ended() -> bool:
            return all(ended_runs(self.admin, each) for each in ids)

        wait_until(have_ended, "runs of all jobs")
        wait_until(lambda: len(self.rest.patches) > 3, "reports")
        wait_until(lambda: len(self.telegram.sent) + len(self.telegram.refused) > 3, "posts")
        wait_until(lambda: any("/ping/" in path for _, path, _ in self.service.requests), "pings")
        wait_until(lambda: len(self.spans.spans) > 20, "spans")
        wait_until(lambda: any("/hb/" in path for _, path, _ in self.service.requests), "heartbeat")

    def slow_down(self, *but: str) -> None:
        """Let the jobs that call the service, `but` some, be due once a minute.

        Each has run, so more of the same runs would only take time from what reads their traces.
        """
        slow = [row for row in self.rest.jobs if "heartbeat_url" in row and row.get("every") == 3]
        slow = [row for row in slow if row["id"] not in but]
        for row in slow:
            row |= {"every": 60, "tags": ["slow"]}
        ids = [row["id"] for row in slow]

        def are_slow() -> bool:
            return all(each.job.tags == ("slow",) for each in Registry(self.admin).read_jobs(ids))

        wait_until(are_slow, "the sync")


@contextmanager
def patched_environment(**variables: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@contextmanager
def make_world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(folder, stack)
