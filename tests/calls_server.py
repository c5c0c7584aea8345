"""A service that holds hundreds of calls at a time, and records how each ended."""

import asyncio
import re
import threading
from collections import Counter, defaultdict
from types import TracebackType
from typing import Any, Self

from cron_tasks.worker.event_loop import EventLoop

_RUN = re.compile(rb"\r\nidempotency-key: ([^\r]+)\r\n")
_PATH = re.compile(rb"[A-Z]+ /([^ ]*) ")


class Call(asyncio.Protocol):
    """A connection, over which one call follows the other."""

    def __init__(self, service: "CallsServer") -> None:
        self.service = service
        self.run_id = ""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        run_id, path = _RUN.search(data), _PATH.match(data)
        assert run_id
        assert path
        self.run_id = run_id[1].decode()
        self.service.came(self, path[1].decode())

    def answer(self, body: bytes) -> None:
        if not self.transport.is_closing():
            self.service.ended(self, "answered")
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )

    def connection_lost(self, _: Exception | None) -> None:
        self.service.ended(self, "cut off")


class CallsServer:
    """Answers calls unless their path is in `held`. `release` answers those that are held.

    `saw` has the ends of the calls of each run. `overlapping` has the run ids of calls that came
    while another call of the same run was in flight.
    """

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.body = b"ok"
        self.saw: dict[str, list[str]] = defaultdict(list)
        self.overlapping: list[str] = []
        self._going: dict[Call, str] = {}
        self._lock = threading.Lock()
        self._loop = EventLoop()
        self._server: asyncio.Server = self._loop.run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: Call(self), "127.0.0.1", 0, backlog=4000)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._loop.call(self._close)

    def _close(self) -> None:
        self._server.close()
        for call in list(self._going):
            call.transport.abort()

    @property
    def going(self) -> list[str]:
        """Return the run ids of the calls in flight."""
        with self._lock:
            return list(self._going.values())

    def ends(self) -> Counter[str]:
        """Return the number of calls by their kind of end."""
        with self._lock:
            return Counter(how for ends in self.saw.values() for how in ends)

    def release(self) -> None:
        """Answer the held calls, and hold no more."""
        self.held.clear()
        self._loop.call(lambda: [call.answer(self.body) for call in list(self._going)])

    def came(self, call: Call, path: str) -> None:
        with self._lock:
            if call.run_id in self._going.values():
                self.overlapping.append(call.run_id)
            self._going[call] = call.run_id
        if path not in self.held:
            call.answer(self.body)

    def ended(self, call: Call, how: str) -> None:
        with self._lock:
            if self._going.pop(call, None) is not None:
                self.saw[call.run_id].append(how)
