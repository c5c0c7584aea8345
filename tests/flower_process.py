"""A real Flower, and requests to it without a browser."""

import http.client
import re
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from helpers import PATIENCE, free_port
from processes import Process

Pairs = Sequence[tuple[str, str]]


@dataclass
class Reply:
    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Flower:
    """`celery -A cron_tasks flower` on 127.0.0.1, with these options."""

    def __init__(
        self, env: Mapping[str, str], folder: Path, *options: str, login: str = "", prefix: str = ""
    ) -> None:
        self.port = free_port()
        self.login = login
        self.prefix = prefix
        self.origin = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "celery", "-A", "cron_tasks", "flower", *options]
        command += [f"--port={self.port}", "--address=127.0.0.1"]
        command += [f"--basic-auth={login}"] if login else []
        command += [f"--url_prefix={prefix}"] if prefix else []
        env = {"CRON_TASKS_LOG_FORMAT": "json", **env}
        self.process = Process(command, env, folder / f"flower-{self.port}.log")

    def wait_ready(self) -> "Flower":
        self.process.wait_for("Visit me")
        return self

    def url(self, path: str) -> str:
        return f"{self.origin}{self.prefix}{path}"

    def get(self, path: str, **headers: str) -> Reply:
        return self._request("GET", path, None, headers)

    def post(self, *fields: tuple[str, str], token: bool = True, **headers: str) -> Reply:
        """Post a form to the address of actions. With `token`, like our own forms."""
        body = list(fields)
        if token:
            page = self.get("/jobs")
            value = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
            assert value, page.text
            body.append(("_xsrf", value[1]))
            headers |= {"Cookie": page.headers["Set-Cookie"].split(";")[0]}
        headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request("POST", "/cron-tasks/act", urlencode(body), headers)

    def _request(
        self, method: str, path: str, body: str | None, headers: Mapping[str, Any]
    ) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.login and "Authorization" not in given:
            given["Authorization"] = "Basic " + b64encode(self.login.encode()).decode()
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        ) as connection:
            connection.request(method, self.prefix + path, body, given)
            answer = connection.getresponse()
            return Reply(answer.status, answer.read().decode(), dict(answer.getheaders()))
