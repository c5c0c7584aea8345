"""Keep the data by which a faulty round was judged, so that it can be judged again and
understood."""

import pickle
import tempfile
from pathlib import Path
from typing import Any

from chaos.world import World

#: The name of each file of a kept round. The number is the round's time in seconds.
ROUND, DATABASE = "round-{}.pickle", "round-{}.rdb"


class Evidence:
    """A folder of logs, databases and the data of the checker. It is created when first needed."""

    def __init__(self, world: World, logs: Path) -> None:
        self.world, self.logs = world, logs
        self._kept: Path | None = None

    @property
    def kept(self) -> Path:
        self._kept = self._kept or Path(tempfile.mkdtemp(prefix="chaos-"))
        return self._kept

    def keep_round(self, at: int, **judged: Any) -> None:
        """Save Redis, and the values that the checker compared with it.

        Args:
            at: seconds since the attack began, which name the files.
            judged: what the checker read elsewhere; it is pickled.
        """
        redis = self.world.redis
        redis.save()
        folder = Path(redis.config_get("dir")["dir"])
        database = folder / redis.config_get("dbfilename")["dbfilename"]
        (self.kept / DATABASE.format(at)).write_bytes(database.read_bytes())
        (self.kept / ROUND.format(at)).write_bytes(pickle.dumps(judged))

    def keep_logs(self) -> None:
        """Copy the logs of all processes, and print where they are."""
        for log in (*self.logs.glob("*.log"), *self.logs.glob("*.jsonl")):
            (self.kept / log.name).write_bytes(log.read_bytes())
        print(f"logs and wrong rounds kept in {self.kept}")
