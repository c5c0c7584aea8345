"""Parse an answer from the bytes of a connection. Pure.

httptools (llhttp, the parser of Node.js) parses the bytes. This module decides when the answer
ends, how much of it is read, and whether another request may follow over the connection.
"""

import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httptools

from cron_tasks.http.deadline import MAX_INTERIM, NoFinalAnswer, is_clearly_framed

#: The most bytes of an answer, including interim answers, before enough of its body has come.
MOST = 1 << 20
_SWITCHING = 101
#: The charset in a Content-Type (RFC 9110, section 8.3.1). Its length bounds what is looked up.
_CHARSET = re.compile(r";[ \t]*charset=\"?([\w.:+-]{1,40})(?:[\";\s]|$)", re.IGNORECASE | re.ASCII)
#: Characters of a Content-Type that are read.
_MOST_OF_TYPE = 1_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response and the beginning of its body. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def charset(self) -> str:
        """The charset that Content-Type names, or utf-8."""
        found = _CHARSET.search(self.headers.get("content-type", "")[:_MOST_OF_TYPE])
        return found[1] if found else "utf-8"

    @property
    def coding(self) -> str | None:
        """The coding that Content-Encoding names, or None if the body is as it is."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        return None if coding in ("", "identity") else coding


class AnswerReader:
    """Reads the answer to one request, and at most about `most` bytes of its body.

    `has_begun` is whether any byte has come, and `is_clean` whether another answer may follow. The
    methods `on_…` are called by the parser.
    """

    def __init__(self, method: str, most: int) -> None:
        self.has_begun = self.is_clean = False
        self._is_to_head, self._most = method == "HEAD", most
        self._status = self._interim = self._size = self._received = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._has_head = self._is_over = False
        self._failure: http.client.HTTPException | None = None
        self._parser = httptools.HttpResponseParser(self)
        # Such answers exist. If the end of one is not certain, its connection is not kept.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_keep_alive=True,  # An interim answer may say that the connection closes.
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, data: bytes) -> Answer | None:
        """Add bytes. Return the answer once it is over, or long enough. Raises HTTPException."""
        self.has_begun = True
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail_for_upgrade()
        except httptools.HttpParserError as error:
            # Bytes after the end of an answer are not part of it.
            self.is_clean = False
            if not self._is_over and self._failure is None:
                self._failure = http.client.BadStatusLine(str(error))
        if self._failure:
            raise self._failure
        if self._is_over or self._size >= self._most:
            return self._make_answer()
        if self._received > MOST:
            raise http.client.LineTooLong("answer")
        return None

    def end(self) -> Answer:
        """Return the answer, which ends with the connection. Raises HTTPException."""
        if not self.has_begun:
            raise http.client.RemoteDisconnected("")
        if not self._status:
            raise http.client.BadStatusLine("")
        if not self._has_head or self._lengths or self._codings:
            raise http.client.IncompleteRead(b"")
        return self._make_answer()

    @property
    def _lengths(self) -> list[str]:
        return self._values(b"content-length")

    @property
    def _codings(self) -> list[str]:
        return self._values(b"transfer-encoding")

    def _values(self, wanted: bytes) -> list[str]:
        return [value.decode("latin-1") for name, value in self._headers if name.lower() == wanted]

    def _make_answer(self) -> Answer:
        headers: dict[str, str] = {}
        for name, value in self._headers:
            headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1").strip())
        return Answer(self._status, headers, b"".join(self._body)[: self._most])

    def _fail_for_upgrade(self) -> None:
        text = "the service switched protocols (101) without being asked"
        self._failure = NoFinalAnswer(text)

    def on_message_begin(self) -> None:
        if self._is_over:
            self.is_clean = False

    def on_status(self, _text: bytes) -> None:
        if not self._is_over:
            self._status = self._parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # Otherwise it is a trailer.
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._is_over:
            return
        self._status = self._parser.get_status_code()
        if self._status == _SWITCHING:
            self._fail_for_upgrade()
        elif self._status < 100:
            self._failure = http.client.BadStatusLine(str(self._status))
        elif self._status < 200:
            self._headers.clear()
            self._interim += 1
            if self._interim > MAX_INTERIM:
                text = f"the service sent more than {MAX_INTERIM} interim responses"
                self._failure = NoFinalAnswer(text)
        else:
            self._has_head = True
            if self._is_to_head:
                self._end()

    def on_body(self, body: bytes) -> None:
        if self._is_over:
            self.is_clean = False
            return
        self._body.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self._has_head and not self._is_over:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self.is_clean = self._parser.should_keep_alive() and is_clearly_framed(
            self._status, self._is_to_head, self._lengths, self._codings
        )
