"""Which connections of `http` actions are kept for the next request."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from helpers import PATIENCE, event_loop, wait_until

from cron_tasks.actions.answers import Answer
from cron_tasks.actions.client import Client
from cron_tasks.actions.request import Origin, Request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: A body that fits into no buffer of a socket.
LARGE = b"x" * (20 << 20)


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection in a thread. Yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


async def send(client: Client, port: int, seconds: float, body: bytes | None = None) -> Answer:
    origin = Origin("http", "127.0.0.1", port)
    request = Request("POST", origin, "/", {}, body, frozenset(), False, "POST /")
    return await client.send(request, time.monotonic() + seconds, 1000)


def test_an_answer_that_comes_before_the_request_is_sent_ends_the_connection() -> None:
    """The server does not read the rest of it, and so would not read the next request."""
    held = []

    def answer_early(connection: socket.socket) -> None:
        held.append(connection)
        connection.recv(100)
        connection.sendall(OK)

    async def send_two(port: int) -> list[int]:
        client = Client(("127.0.0.1",))
        return [(await send(client, port, PATIENCE, body)).status for body in (LARGE, b"small")]

    with serving(answer_early) as port:
        assert event_loop().run(send_two(port)) == [200, 200]
    assert len(held) == 2
    for connection in held:
        connection.close()


def test_a_kept_connection_that_a_cancelled_request_took_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cron_tasks.actions.idle.SETTLE", 60.0)
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while connection.recv(9999):
                connection.sendall(OK)
        ended.set()

    async def send_two(port: int) -> None:
        client = Client(("127.0.0.1",))
        await send(client, port, PATIENCE)
        # It waits until the connection is settled.
        with pytest.raises(TimeoutError):
            await send(client, port, 0.05)

    with serving(answer) as port:
        event_loop().run(send_two(port))
        wait_until(ended.is_set, "the end of the connection")
