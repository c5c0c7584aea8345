"""The stream of changes: every kind of change is recorded, and `jobs list --follow` shows it."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import SCRIPT, CommandLine, Quick
from helpers import NEVER_DUE, PATIENCE, wait_until
from processes import Valkey
from redis import Redis
from rest_server import RestServer

from cron_tasks.cli.watching import Stream
from cron_tasks.registry.quarantine import quarantine_entry
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.sync.reconciler import Reconciler

Sync = Callable[..., None]


def job(job_id: object, name: str = "x", **fields: object) -> dict[str, Any]:
    return {"id": job_id, "name": name} | NEVER_DUE | fields


def changes(redis: Redis) -> list[tuple[str, str]]:
    """Take the changes that were recorded since the last call."""
    found = redis.xrange(keys.CHANGES)
    redis.delete(keys.CHANGES)
    numbers = [int(fields["edit"]) for _, fields in found]
    assert numbers == sorted(numbers)
    assert all(set(fields) == {"id", "what", "edit"} for _, fields in found)
    return [(fields["id"], fields["what"]) for _, fields in found]


def test_a_sync_notes_each_change(redis: Redis, synced: Sync) -> None:
    synced(job(1), job(2), {"id": 3, "name": "no schedule"})
    assert changes(redis) == [("1", "added"), ("2", "added"), ("3", "rejected")]
    synced(job(1), job(2), {"id": 3, "name": "no schedule"})
    assert changes(redis) == []
    synced(job(1, "new name"), {"id": 3, "name": "no schedule"}, {"name": "no id"})
    assert changes(redis) == [("1", "changed"), ("2", "removed"), ("", "rejected")]
    synced(job(1, "new name"), job(2), job(3))
    assert changes(redis) == [("2", "added"), ("3", "added")]


def test_a_poke_notes_its_rows(redis: Redis, rest: RestServer, synced: Sync) -> None:
    synced(job(1), job(2))
    changes(redis)
    rest.jobs = [job(1, "a"), job(2, "b")]
    Reconciler(redis, Settings(rest_url=rest.url)).sync(time.time, ids=["2"])
    assert changes(redis) == [("2", "changed")]


def test_people_and_beat_change_jobs_too(redis: Redis, synced: Sync, quick: Quick) -> None:
    synced(job(1), {"id": 2, "name": "x", "every": 86_400})
    changes(redis)
    quick.run("jobs", "pause", "1", "--reason", "why")
    quick.run("jobs", "resume", "1")
    quick.run("jobs", "resume", "1")
    quick.run("jobs", "skip-next", "2")
    quick.run("jobs", "skip-next", "2", "--undo")
    quarantine_entry(redis, keys.entry_key("1"), "broken", 60)
    quarantine_entry(redis, "redbeat:of-the-operator", "broken", 60)
    whats = [("1", "paused"), ("1", "resumed"), ("2", "changed"), ("2", "changed")]
    assert changes(redis) == [*whats, ("1", "rejected")]
    redis.delete(keys.SET_ASIDE)


def test_the_stream_stays_short(redis: Redis, synced: Sync) -> None:
    synced(*(job(n) for n in range(12_000)))
    assert 10_000 <= redis.xlen(keys.CHANGES) < 10_200


def test_who_follows_lists_again_after_a_long_list(redis: Redis, synced: Sync) -> None:
    """The stream cannot keep all changes of the list, so most of them are not written to it."""
    synced(job(-1))
    stream = Stream(redis)
    stream.seek_end()
    synced(*(job(n) for n in range(-1, 12_000)))
    assert stream.read() is None
    whole = redis.xrange(keys.CHANGES)
    assert [fields["id"] for _, fields in whole[-10_000:]] == [str(n) for n in range(2000, 12_000)]


@pytest.mark.parametrize("jobs", [11_000, 12_000])
def test_who_followed_an_empty_stream_lists_again_too(
    redis: Redis, synced: Sync, jobs: int
) -> None:
    stream = Stream(redis)
    stream.seek_end()
    synced(*(job(n) for n in range(jobs)))
    assert stream.read() is None


def test_a_key_of_another_type_gives_way(redis: Redis, synced: Sync) -> None:
    redis.set(keys.CHANGES, "garbage")
    synced(job(1))
    assert changes(redis) == [("1", "added")]


class Following:
    """`cron-tasks jobs list --follow`, with the lines that it has printed."""

    def __init__(self, process: "subprocess.Popen[str]", out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    @property
    def lines(self) -> list[str]:
        """Return the lines without one that is still being written."""
        text = self._out.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    @property
    def errors(self) -> str:
        return self._err.read_text()

    def shows(self, *words: str) -> None:
        wait_until(
            lambda: any(all(word in line for word in words) for line in self.lines),
            f"{words} in {self.lines} {self.errors}",
        )


@contextmanager
def following(cli: CommandLine, *options: str) -> Iterator[Following]:
    out, err = cli.folder / "out", cli.folder / "err"
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(
            ["cron-tasks", "jobs", "list", "--follow", *options],
            executable=SCRIPT,
            cwd=cli.folder,
            env=cli.env({}),
            stdout=stdout,
            stderr=stderr,
            text=True,
        )
        try:
            yield Following(process, out, err)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in err.read_text()


def test_follow_lists_and_then_shows_changes(redis: Redis, synced: Sync, cli: CommandLine) -> None:
    synced(job(1, "one"), job(2, "two"))
    with following(cli) as shown:
        shown.shows("2", "two")
        assert len(shown.lines) == 3, "what was before the list is not shown again"
        synced(job(1, "uno"), job(3, "three\x1b"), {"id": 4})
        shown.shows("changed", "1", "uno")
        shown.shows("removed", "2", "two")
        shown.shows("added", "3", "three")
        shown.shows("rejected", "4")
        assert "\x1b" not in "".join(shown.lines)
        cli.run("jobs", "pause", "1", "--reason", "why")
        shown.shows("paused", "uno")


@pytest.mark.parametrize(("command", "lines"), [(("jobs", "list"), 2), (("runs",), 0)])
def test_follow_ends_once_nobody_reads_it(
    redis: Redis, synced: Sync, cli: CommandLine, command: tuple[str, ...], lines: int
) -> None:
    """Nothing changes after the lines that `head` has read."""
    synced(job(1, "one"))
    with cli.start(*command, "--follow") as process:
        assert process.stdout
        assert process.stderr
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""


def test_follow_prints_an_object_a_line(redis: Redis, synced: Sync, cli: CommandLine) -> None:
    synced(job(1, "one", tags=["a"]), job(2, "two"))
    with following(cli, "--json", "--tag", "a") as shown:
        shown.shows("listed", "one")
        synced(job(1, "uno", tags=["a"]), job(2, "dos"), job(3, "three", tags=["a"]))
        shown.shows("added", "three")
        synced(job(2, "dos"))
        shown.shows("removed", "three")
        found = [json.loads(line) for line in shown.lines]
    assert [(each["what"], each["id"]) for each in found] == [
        ("listed", "1"),
        ("added", "3"),
        ("changed", "1"),
        ("removed", "1"),
        ("removed", "3"),
    ]
    assert found[2].keys() == {"time", "what", "id", "name", "edit"}
    assert found[0]["next"] is not None


def test_follow_lists_again_if_it_missed_changes(
    redis: Redis, synced: Sync, cli: CommandLine
) -> None:
    synced(job(1, "one"))
    with following(cli) as shown:
        shown.shows("one")
        shown.process.send_signal(signal.SIGSTOP)
        synced(job(1, "uno"))
        redis.xtrim(keys.CHANGES, maxlen=0, approximate=False)
        synced(job(1, "eins"))
        shown.process.send_signal(signal.SIGCONT)
        shown.shows("eins")
        wait_until(lambda: "missed" in shown.errors, "the note")
        synced(job(1, "un"))
        shown.shows("changed", "un")


def test_follow_goes_on_after_redis_restarts(rest: RestServer, tmp_path: Path) -> None:
    server = Valkey(tmp_path / "valkey", appendfsync="always")
    cli = CommandLine(tmp_path, REDIS_URL=server.url, REST_URL=rest.url)
    with connect(server.url) as redis:
        reconciler = Reconciler(redis, Settings(rest_url=rest.url))
        rest.jobs = [job(1, "one")]
        reconciler.sync(time.time)
        with following(cli) as shown:
            shown.shows("one")
            server.kill()
            wait_until(lambda: "Waiting" in shown.errors, "the note")
            server.start()
            rest.jobs = [job(1, "uno")]
            reconciler.sync(time.time)
            shown.shows("changed", "uno")
    server.stop()


def test_follow_begins_with_an_empty_stream(redis: Redis, synced: Sync, cli: CommandLine) -> None:
    with following(cli) as shown:
        shown.shows("none:")
        synced(job(1, "one"))
        shown.shows("added", "one")
