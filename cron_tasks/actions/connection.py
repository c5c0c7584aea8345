"""A connection to an HTTP server, on an event loop."""

import asyncio
import http.client

from cron_tasks.actions.answers import Answer, AnswerReader


class Connection(asyncio.Protocol):
    """A connection, which carries one request at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._is_open = True
        self._reader: AnswerReader | None = None
        self._answer: asyncio.Future[Answer] | None = None

    async def send(self, data: bytes, reader: AnswerReader) -> Answer:
        """Send a request, and return its answer. Raises OSError and HTTPException."""
        self._reader = reader
        self._answer = asyncio.get_running_loop().create_future()
        if not self._is_open:
            raise ConnectionResetError
        self._transport.write(data)
        return await self._answer

    @property
    def has_heard(self) -> bool:
        """Return whether any byte of the last answer has arrived."""
        return self._reader is not None and self._reader.has_begun

    @property
    def is_reusable(self) -> bool:
        """Return whether another request may follow the last answer.

        A server that answers before it has the whole request need not read the rest of it.
        """
        is_sent = self._transport.get_write_buffer_size() == 0
        return self._is_open and is_sent and self._reader is not None and self._reader.is_clean

    @property
    def is_open(self) -> bool:
        return self._is_open

    def fileno(self) -> int:
        """Return the descriptor of the socket, -1 if it is closed."""
        sock = self._transport.get_extra_info("socket")
        return sock.fileno() if sock else -1

    def close(self) -> None:
        """Close the connection now. Remaining bytes belong to no request."""
        self._is_open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done() or self._reader is None:
            self.close()  # These bytes belong to no request.
            return
        try:
            answer = self._reader.feed(data)
        except http.client.HTTPException as error:
            self._answer.set_exception(error)
            return
        if answer:
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_open = False
        if self._answer is None or self._answer.done() or self._reader is None:
            return
        if error is not None:
            self._answer.set_exception(error)
            return
        try:
            self._answer.set_result(self._reader.end())
        except http.client.HTTPException as cause:
            self._answer.set_exception(cause)
