"""The Lua scripts: all of them are loaded, whatever Python strips, and none can do nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from cron_tasks.errors import WriteRefused
from cron_tasks.store import scripts
from cron_tasks.store.scripts import ScriptError, script

NAMES = sorted(f"{path.parts[-3]}/{path.stem}" for path in scripts.ROOT.rglob("*.lua"))


@pytest.mark.parametrize("name", NAMES)
def test_each_script_is_lua_that_the_server_accepts(redis: Redis, name: str) -> None:
    redis.script_load(scripts._source(name))


def test_the_scripts_are_there_where_python_strips_docstrings(redis: Redis, redis_url: str) -> None:
    code = """if True:
        import sys
        from redis import Redis
        from cron_tasks.registry.plan import Policy, plan
        from cron_tasks.registry.fence import sync_lock
        from cron_tasks.registry.registry import Registry
        redis = Redis.from_url(sys.argv[1], decode_responses=True)
        row = {"id": 1, "name": "a", "cron_expression": "* * * * *"}
        with sync_lock(redis) as fence:
            Registry(redis).apply(plan({}, [("row 1", row)], Policy()), lambda: 1.0, fence)
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
    with pytest.raises(ScriptError, match=r"silent\.lua answered nothing"):
        script("ours/silent")(redis, [], [])
    with pytest.raises(WriteRefused, match="not now"):
        script("ours/refusing")(redis, [], [])
