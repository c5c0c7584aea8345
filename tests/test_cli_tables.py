"""Tables fit a terminal, ids stay whole, and programs get everything."""

import json
import re
from collections.abc import Callable, Sequence

import pytest
from command_line import CommandLine, Quick
from redis import Redis
from rich.cells import cell_len

from cron_tasks.cli.tables import lay_out, lay_out_plain
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.outcomes import write_record
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.store import keys

UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
RUN = f"{UUID}@2026-11-23T09:00:00.123456Z"
RUNS = ("run", "status", "attempt", "ended", "took", "name", "worker", "reason")
JOBS = ("id", "name", "schedule", "timezone", "next", "last")
#: Wide characters, an emoji of several code points, no spaces, and a long line.
NAMES = ("Report", "水やり" * 15, "👩‍🌾🌱 garden", "x" * 300, "many words " * 12)


def row_of_run(run_id: str, name: str) -> tuple[str, ...]:
    worker, reason = "worker1@a-long-host/1234/abcdef", "HTTP 503: the service is away"
    return (run_id, "failed", "2", "2026-11-23T10:00:00+01:00", "0.004 s", name, worker, reason)


def row_of_job(job_id: str, name: str) -> tuple[str, ...]:
    rule = "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=9;BYMINUTE=0"
    return (job_id, name, rule, "America/Argentina/Buenos_Aires", "2026-11-23T10:00:00+01:00", "ok")


@pytest.mark.parametrize("width", [70, 80, 120, 200])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("heading", "rows"),
    [
        (RUNS, lambda name: [row_of_run(RUN, name), row_of_run("7@2026-11-23T09:00:00Z", "b")]),
        (RUNS, lambda name: [row_of_run("7@2026-11-23T09:00:00Z", name)]),
        (JOBS, lambda name: [row_of_job(UUID, name), row_of_job("7", "b")]),
    ],
)
def test_a_terminal_gets_lines_that_fit_with_whole_ids(
    heading: Sequence[str],
    rows: Callable[[str], list[tuple[str, ...]]],
    name: str,
    width: int,
) -> None:
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in lay_out(heading, rows(name), width)]
    assert max(map(cell_len, lines)) <= width, "\n".join(lines)
    for row in rows(name):
        assert any(line.split()[:1] == [row[0]] for line in lines), "\n".join(lines)


def test_an_id_beside_which_nothing_fits_has_a_line_of_its_own() -> None:
    rows = [row_of_run(RUN, "Report"), row_of_run("7@2026-11-23T09:00:00Z", "水やり")]
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in lay_out(RUNS, rows, 80)]
    assert lines == [
        "run",
        "  status  took     name    reason",
        RUN,
        "  failed  0.004 s  Report  HTTP 503: the service is away",
        "7@2026-11-23T09:00:00Z",
        "  failed  0.004 s  水やり  HTTP 503: the service is away",
    ]


def test_a_program_gets_one_whole_line_for_each_row() -> None:
    for name in NAMES:
        rows = [row_of_run(RUN, name), row_of_run("7@2026-11-23T09:00:00Z", "b")]
        heading, *lines = lay_out_plain(RUNS, rows)
        assert heading.split() == [title.upper() for title in RUNS]
        assert len(lines) == len(rows)
        assert name.strip() in lines[0]


def test_wide_characters_keep_the_columns_aligned() -> None:
    lines = list(lay_out_plain(("name", "last"), [("水やり", "ok"), ("garden", "failed")]))
    assert lines == ["NAME    LAST", "水やり  ok", "garden  failed"]


def test_a_list_without_entries_says_none(quick: Quick, synced: Callable[..., None]) -> None:
    for command in ("jobs list", "jobs rejected", "runs", "runs --status failed"):
        assert re.match("none: ", quick.run(*command.split()).stdout), command
        assert quick.json(*command.split()) == []
    synced({"id": 7, "name": "Plants", "every": "1h"})
    assert quick.lines("jobs", "list", "--tag", "x") == ["none: no job matches"]
    assert quick.lines("jobs", "ls", "--search", "zz") == ["none: no job matches"]
    assert quick.lines("runs", "7") == ["none: no run matches"]


@pytest.fixture
def several(redis: Redis, synced: Callable[..., None]) -> None:
    never, later = {"run_at": "2099-01-01T00:00:00Z"}, {"start_at": "2098-01-01T00:00:00Z"}
    synced(
        {"id": 10, "name": "beta", "every": "1h", "timezone": "Asia/Tokyo", **later},
        {"id": 9, "name": "Alpha", **never},
        {"id": UUID, "name": "Straße", "every": "1h", "enabled": False},
        {"id": "x", "name": "gamma", "run_at": "2097-01-01T00:00:00Z"},
    )
    for job_id, ended in (("9", 5.0), ("x", 9.0)):
        by = Attempt(1, ended, ended, "w")
        line = write_record(RunId(job_id, 1_772_452_800.0), Result("ok"), by)
        redis.lpush(keys.HISTORY_PREFIX + job_id, line)
        redis.lpush(keys.RECENT, line)
        redis.expire(keys.HISTORY_PREFIX + job_id, 60)
    redis.expire(keys.RECENT, 60)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["9", "10", UUID, "x"]),
        (["--sort", "id"], ["9", "10", UUID, "x"]),
        (["--sort", "name"], ["9", "10", "x", UUID]),
        (["--sort", "NEXT"], ["x", "10", "9", UUID]),
        (["--sort", "last"], ["x", "9", "10", UUID]),
        (["--search", "A", "--sort", "name"], ["9", "10", "x", UUID]),
        (["--search", "strasse"], [UUID]),
        (["--search", UUID[:8].upper()], [UUID]),
        (["--search", "1"], ["10", UUID]),
    ],
)
@pytest.mark.usefixtures("several")
def test_jobs_are_sorted_and_searched(
    quick: Quick, arguments: list[str], expected: list[str]
) -> None:
    assert [row["id"] for row in quick.json("jobs", "ls", *arguments)] == expected
    lines = quick.lines("jobs", "list", *arguments)[1:]
    assert [line.split()[0] for line in lines] == expected


@pytest.mark.usefixtures("several")
def test_tables_show_local_times_and_json_shows_utc(quick: Quick) -> None:
    for command in ("jobs show 10", "jobs list", "jobs skip-next 10", "jobs resume 10"):
        text = quick.run(*command.split(), "--json").stdout
        assert "+00:00" in text
        assert "+09:00" not in text, command
        assert "+09:00" in quick.run(*command.split()).stdout, command
    quick.run("jobs", "pause", "10", "--reason", "x")
    assert quick.json("jobs", "show", "10")["pause"]["since"].endswith("+00:00")
    assert re.search(r"^paused +since \S+\+09:00: x$", quick.run("jobs", "show", "10").stdout, re.M)
    meant = quick.json("why", "10", "--at", "09:00")["at"]
    assert meant.endswith("T00:00:00+00:00")
    zone = {"TIMEZONE": "Asia/Tokyo"}
    assert quick.json("audit", "--since", "today", **zone)["since"].endswith("T15:00:00+00:00")
    assert "T00:00:00+09:00 to 20" in quick.run("audit", "--since", "today", **zone).stdout


@pytest.mark.usefixtures("several")
def test_a_shell_completes_commands_options_and_statuses(cli: CommandLine) -> None:
    def complete(*words: str) -> set[str]:
        env = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        done = cli.complete({"_CRON_TASKS_COMPLETE": "bash_complete", **env})
        return {line.partition(",")[2] for line in done.splitlines()}

    assert complete("cron-tasks", "se") == {"settings"}
    assert complete("cron-tasks", "jobs", "re") == {"resume", "rejected"}
    assert complete("cron-tasks", "runs", "sh") == {"show"}
    assert {"--status", "--since"} <= complete("cron-tasks", "runs", "--s")
    assert complete("cron-tasks", "runs", "--status", "fa") == {"failed"}
    assert complete("cron-tasks", "jobs", "list", "--sort", "n") == {"name", "next"}
    for shell in ("bash", "zsh", "fish"):
        source = cli.complete({"_CRON_TASKS_COMPLETE": f"{shell}_source"})
        assert f"_CRON_TASKS_COMPLETE={shell}_complete" in source


@pytest.mark.usefixtures("several")
def test_runs_name_their_jobs(cli: CommandLine, quick: Quick, redis: Redis) -> None:
    lines = quick.lines("runs")
    assert re.search(r"  <1 ms  gamma  w +-$", lines[1])
    assert {"job_name", "name"}.isdisjoint(json.loads(quick.run("runs", "--json").stdout)[0])
    redis.hdel(keys.JOBS, "x")
    redis.delete(keys.entry_key("x"))
    redis.zrem(keys.SCHEDULE, keys.entry_key("x"))
    assert re.search(r"  <1 ms  - +w +-$", quick.lines("runs")[1])
    screen = cli.on_terminal("runs", COLUMNS="80", NO_COLOR="1").splitlines()
    assert max(map(len, screen)) <= 80
