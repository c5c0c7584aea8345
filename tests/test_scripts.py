"""The Lua scripts: all can be loaded, and none may do nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lua_globals import OFFERED, find_globals
from redis import Redis

from cron_tasks.errors import WriteRefused
from cron_tasks.store import scripts
from cron_tasks.store.scripts import ScriptError, script

NAMES = sorted(f"{path.parts[-3]}/{path.stem}" for path in scripts.ROOT.rglob("*.lua"))
#: Scripts that Python calls; the others hold functions for them.
CALLED = sorted(
    name
    for path in scripts.ROOT.rglob("*.py")
    for name in re.findall(r'script\("(\w+/\w+)"\)', path.read_text())
)


@pytest.mark.parametrize("name", NAMES)
def test_each_script_is_lua_that_the_server_accepts(redis: Redis, name: str) -> None:
    redis.script_load(scripts.load(name)[0])


@pytest.mark.parametrize("name", CALLED)
def test_each_script_uses_only_locals_and_what_redis_offers(redis_url: str, name: str) -> None:
    with Redis.from_url(redis_url) as raw:
        found = find_globals(raw, scripts.load(name)[0])
    assert found.assigned == set()
    assert found.read <= OFFERED


def test_globals_are_found_wherever_they_are_used(redis_url: str) -> None:
    source = "local function f() wrong = 1.5 return function() return missing end end return f"
    with Redis.from_url(redis_url) as raw:
        found = find_globals(raw, source)
    assert (found.read, found.assigned) == ({"missing"}, {"wrong"})


def test_the_scripts_are_there_where_python_strips_docstrings(redis: Redis, redis_url: str) -> None:
    code = """if True:
        import sys
        from redis import Redis
        from cron_tasks.registry.plan import Policy, plan_changes
        from cron_tasks.registry.fence import sync_lock
        from cron_tasks.registry.writer import Writer
        redis = Redis.from_url(sys.argv[1], decode_responses=True)
        row = {"id": 1, "name": "a", "cron_expression": "* * * * *"}
        with sync_lock(redis) as fence:
            changes = plan_changes({}, [("row 1", row)], Policy())
            Writer(redis, 60, fence).write(changes, lambda: 1.0)
        """
    subprocess.run(
        [sys.executable, "-OO", "-c", code, redis_url],
        check=True,
        env={**os.environ, "PYTHONOPTIMIZE": "2"},
    )
    assert redis.hkeys("cron_tasks:jobs") == ["1"]
    assert redis.zcard("redbeat::schedule") == 1


def test_a_missing_or_empty_script_is_an_error_at_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    folder = tmp_path / "ours" / "lua"
    folder.mkdir(parents=True)
    with pytest.raises(ScriptError, match=r"gone\.lua cannot be read: install cron-tasks again"):
        script("ours/gone")
    (folder / "empty.lua").write_text(" \n")
    with pytest.raises(ScriptError, match=r"empty\.lua is empty: install cron-tasks again"):
        script("ours/empty")


def test_a_script_that_answers_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    folder = tmp_path / "ours" / "lua"
    folder.mkdir(parents=True)
    (folder / "silent.lua").write_text("local done = 1")
    (folder / "refusing.lua").write_text("return redis.error_reply('REFUSED not now')")
    with pytest.raises(ScriptError, match=r"silent\.lua returned nothing"):
        script("ours/silent")(redis)
    with pytest.raises(WriteRefused, match="not now"):
        script("ours/refusing")(redis)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of scripts of a package called `ours`."""
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    folder = tmp_path / "ours" / "lua"
    folder.mkdir(parents=True)
    return folder


def test_a_header_names_keys_arguments_rows_and_their_lists(folder: Path, redis: Redis) -> None:
    (folder / "used.lua").write_text("--! args unit\nlocal function with(n) return n .. unit end")
    (folder / "all.lua").write_text(
        """-- Return all that the header names.
--! keys open
--! prefixes history
--! given queue
--! args now
--! rows runs(run_id state messages(to payload) tags(tag))
--! uses ours/used
local seen = {open, queue, history_prefix, now, with(1)}
for n, run_id, state, messages, tags in runs() do
    seen[#seen + 1] = n .. run_id .. state
    for _, to, payload in each_messages(messages) do seen[#seen + 1] = to .. payload end
    for _, tag in each_tags(tags) do seen[#seen + 1] = tag end
end
return seen"""
    )
    call = script("ours/all")
    rows = [("a", "p", [("q", "1"), ("q", "2")], []), ("b", "r", [], [("x",), ("y",)])]
    assert call(redis, queue="queue:x", now=7, unit="s", runs=rows) == [
        *("cron_tasks:open", "queue:x", "cron_tasks:history:", "7", "1s"),
        *("1ap", "q1", "q2", "2br", "x", "y"),
    ]
    assert call(redis, queue="queue:x", now=7, unit="s", runs=[])[5:] == []


def test_a_call_names_just_what_the_header_declares(folder: Path, redis: Redis) -> None:
    (folder / "one.lua").write_text("--! args now\nreturn now")
    call = script("ours/one")
    with pytest.raises(TypeError, match=r"one\.lua takes \['now'\], not \['later', 'now'\]"):
        call(redis, now=1, later=2)
    with pytest.raises(TypeError, match=r"not \[\]"):
        call(redis)


def test_an_argument_that_is_true_or_false_is_text_in_lua(folder: Path, redis: Redis) -> None:
    (folder / "flags.lua").write_text("--! args yes no zero one\nreturn {yes, no, zero, one}")
    call = script("ours/flags")
    assert call(redis, yes=True, no=False, zero=0, one=1) == ["1", "", "0", "1"]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("--! keys nowhere", "names a key that is not in store/keys.py: NOWHERE"),
        ("--! prefix history", "unknown or repeated line of a header: --! prefix history"),
        ("--! rows a(b)\n--! rows c(d)", "unknown or repeated line"),
        ("--! rows a(b c(d e(f)))", r"rows are written as name\(column"),
        ("--! rows a b", r"rows are written as name\(column"),
        ("--! keys open\n--! args open", r"wrong\.lua: open is declared twice"),
        ("--! args now\n--! rows now(run_id)", "now is declared twice"),
    ],
)
def test_a_wrong_header_is_an_error_at_import(folder: Path, header: str, reason: str) -> None:
    (folder / "wrong.lua").write_text(f"{header}\nreturn 1")
    with pytest.raises(ScriptError, match=reason):
        script("ours/wrong")
