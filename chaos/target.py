"""The service that slow jobs call: `python -m chaos.target PORT LOG SEED`.

It answers at once, after some seconds, or with 503, as the seed determines for each attempt. It
records in LOG (JSON lines) when a request came and when it ended: with an answer, or because the
client closed the connection.
"""

import json
import os
import random
import select
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

numbers = count()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        call = f"{os.getpid()}-{next(numbers)}"
        run, attempt = self.headers["Idempotency-Key"], int(self.headers["Attempt"])
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        note(call=call, run=run, attempt=attempt)
        chance = random.Random(f"{sys.argv[3]} {run} {attempt}")
        seconds = chance.choice((0, 0, 0, chance.uniform(2, 4), chance.uniform(2, 4)))
        status = 503 if chance.random() < 0.2 else 200
        # The client sends nothing more, so the next read is its end.
        if select.select([self.connection], [], [], seconds)[0]:
            note(call=call, status=0)
            self.close_connection = True
            return
        # Before the client gets the answer, so that its next request is later.
        note(call=call, status=status)
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, because LOG has everything."""


def note(**facts: Any) -> None:
    log.write((json.dumps({"at": time.time(), **facts}) + "\n").encode())


if __name__ == "__main__":
    log = Path(sys.argv[2]).open("ab", buffering=0)  # noqa: SIM115
    note(started=True)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.serve_forever()
