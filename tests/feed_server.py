"""A REST service with a feed of changes, on top of RestServer.

with FeedServer() as rest:
    rest.put({"id": 1, ...}); rest.remove(1); rest.touch(1)   # each is listed and in the feed
    rest.polls                        # the queries that asked the feed
    rest.answer_feed = status(503)    # from now on; None: behave again
"""

import json
import threading
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rest_server import JOBS_PATH, Answer, Handler, RestServer

FEED_PATH = JOBS_PATH + "changes"


class FeedServer(RestServer):
    """Names its feed in the list's answer, unless `link` is "". Cursors begin with `era`.

    An answer of the feed has at most `most` changes.
    """

    def __init__(self, jobs: Iterable[Any] = (), **options: Any) -> None:
        super().__init__(jobs, **options)
        self.answer = self._serve
        self.link = FEED_PATH + "?cursor={cursor}"
        self.changes: list[dict[str, Any]] = []
        self.era = "a"
        self.most = 1000
        self.heeds_wait = True
        self.answer_feed: Answer | None = None
        self.answer_list: Answer | None = None
        self.polls: list[dict[str, str]] = []
        self.waiting = 0
        self.changed = threading.Condition()

    @property
    def cursor(self) -> str:
        return f"{self.era}-{len(self.changes)}"

    def put(self, row: dict[str, Any], **change: Any) -> None:
        """Add or replace a row, and add this to the feed, as `change` if that is given."""
        with self.changed:
            self.jobs = [*(each for each in self.jobs if each["id"] != row["id"]), row]
            self.tell(change or {"id": row["id"], "job": row})

    def remove(self, *ids: Any) -> None:
        with self.changed:
            self.jobs = [each for each in self.jobs if each["id"] not in ids]
            for each in ids:
                self.tell({"id": each, "deleted": True})

    def tell(self, *changes: Any) -> None:
        """Add changes to the feed only."""
        with self.changed:
            self.changes += changes
            self.changed.notify_all()

    def restart(self, era: str = "a") -> None:
        """Forget the changes, as a service that keeps them in memory."""
        with self.changed:
            self.changes, self.era = [], era
            self.changed.notify_all()

    def _serve(self, handler: Handler) -> bool:
        parts = urlsplit(handler.path)
        if parts.path == FEED_PATH:
            query = {name: value[0] for name, value in parse_qs(parts.query).items()}
            self.polls.append(query)
            if self.answer_feed is None or not self.answer_feed(handler):
                self._feed(handler, query)
            return True
        if parts.path != JOBS_PATH:
            return False
        cursor = self.cursor
        if self.answer_list and self.answer_list(handler):
            return True
        link = {"Link": f'<{self.link.format(cursor=cursor)}>; rel="changes"'} if self.link else {}
        handler.reply(200, json.dumps(self.jobs).encode(), **link)
        return True

    def _feed(self, handler: Handler, query: dict[str, str]) -> None:
        era, _, number = query["cursor"].partition("-")
        if era != self.era:
            handler.reply(410, b'{"detail": "Gone"}')
            return
        until = time.monotonic() + (float(query["wait"]) if self.heeds_wait else 0)
        with self.changed:
            self.waiting += 1
            while len(self.changes) <= int(number) and not self.stopping.is_set():
                left = until - time.monotonic()
                if left <= 0 or (era != self.era):
                    break
                self.changed.wait(min(left, 0.1))
            self.waiting -= 1
            found = self.changes[int(number) :][: self.most]
            cursor = f"{self.era}-{min(int(number), len(self.changes)) + len(found)}"
        handler.reply(200, json.dumps({"changes": found, "cursor": cursor}).encode())
