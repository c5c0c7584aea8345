"""A real HTTP server on 127.0.0.1 that stands for Telegram's Bot API.

with TelegramServer() as telegram:
    telegram.answer = lambda message: (429, {...})   # from now on; None: accept again
    telegram.hold.clear()                            # answer nothing until it is set
    telegram.interim = [102, 103]                    # sent before each answer
    telegram.sent, telegram.refused, telegram.paths
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from helpers import PATIENCE

#: Status and body, given a message.
Answer = Callable[[dict[str, Any]], tuple[int, Any]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    telegram: "TelegramServer"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code, body = self.telegram.receive(self.path, message)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with suppress(OSError):  # The bot may be dead.
            for interim in self.telegram.interim:
                self.wfile.write(b"HTTP/1.1 %d Wait\r\n\r\n" % interim)
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, so that stderr stays empty."""


class TelegramServer:
    def __init__(self) -> None:
        self.sent: list[tuple[Any, str]] = []
        self.refused: list[tuple[Any, str]] = []
        self.paths: set[str] = set()
        self.answer: Answer | None = None
        self.interim: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        handler = type("BoundHandler", (_Handler,), {"telegram": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True  # A bot keeps its connection open.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def receive(self, path: str, message: dict[str, Any]) -> tuple[int, Any]:
        self.paths.add(path)
        code, body = self.answer(message) if self.answer else (200, {"ok": True, "result": {}})
        sent = code == 200 and isinstance(body, dict)
        (self.sent if sent else self.refused).append((message["chat_id"], message["text"]))
        self.hold.wait(PATIENCE)
        return code, body

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def error(code: int, description: str, **parameters: Any) -> tuple[int, dict[str, Any]]:
    body = {"ok": False, "error_code": code, "description": description}
    return code, body | ({"parameters": parameters} if parameters else {})
