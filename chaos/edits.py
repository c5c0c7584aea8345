"""Edit jobs all the time, during all other faults."""

import json
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from helpers import wait_until
from redis.exceptions import RedisError

from chaos.jobs import EDITS

if TYPE_CHECKING:
    from chaos.world import World

#: The longest pause between two edits, in seconds.
PAUSE = 5.0


class Editor:
    """A thread that switches the edited jobs between two intervals.

    Each edit is applied before the next is made, and `asked.edits` has the times. It pauses while a
    fault holds `listing.quiet`.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._edit, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Wait until the last edit has been applied."""
        self._ended.set()
        self._thread.join()

    def _edit(self) -> None:
        chance = random.Random(self.world.seed)
        edited = [row["id"] for row in self.world.rows if row["id"].startswith("edited-")]
        every = EDITS[0]
        while not self._ended.wait(chance.uniform(0, PAUSE)):
            every = next(each for each in EDITS if each != every)
            with self.world.listing.quiet:
                with self.world.listing.edit() as listing:
                    listing.every = every
                self.world.poke()
                try:
                    arrived = {job: self._arrived(job, every) for job in edited}
                except AssertionError as error:
                    self.world.wrong["stuck"].append(f"an edit did not arrive: {error}")
                    return
                for job, since in arrived.items():
                    self.world.asked.edits[job].append((since, every))

    def _arrived(self, job: str, every: int) -> float:
        """Return when the edit took effect."""
        since: list[float] = []

        def arrived() -> bool:
            with suppress(RedisError, OSError, TypeError):
                entry = self.world.redis.hmget(f"redbeat:cron_tasks:{job}", "definition", "since")
                if json.loads(entry[0])["schedule"]["e"] == every:
                    since.append(float(entry[1]))
            return bool(since)

        wait_until(arrived, f"{job} to come every {every} s", 120)
        return since[0]
