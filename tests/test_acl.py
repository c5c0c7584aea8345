"""The users of docs/users.acl have exactly the rights that they need."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarded_world import create_users, read_acl
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

PACKAGE = Path(__file__).parents[1] / "cron_tasks"
#: A command in a script, with its subcommand if it has one.
CALL = re.compile(r"redis\.p?call\(\s*['\"](\w+)['\"](?:,\s*['\"]([A-Z]+)['\"])?")
CONTAINERS = {"XGROUP", "XINFO", "CLIENT", "SCRIPT"}
#: What an intruder with the password of a user would try.
NOT_NEEDED = (
    *("FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "CONFIG SET dir /tmp", "SAVE", "MONITOR"),
    *("DEBUG SLEEP 0", "SHUTDOWN NOSAVE", "ACL LIST", "ACL SETUSER x", "REPLICAOF a 1"),
    *("CLIENT LIST", "CLIENT KILL ID 1", "CLIENT PAUSE 1", "SCRIPT FLUSH", "MODULE LIST"),
    *("FUNCTION LIST", "SWAPDB 0 1", "RENAME cron_tasks:poke cron_tasks:a", "SLOWLOG GET"),
    *("MIGRATE a 1 k 0 1", "RESTORE cron_tasks:a 0 x", "OBJECT FREQ cron_tasks:poke"),
    *("SORT cron_tasks:poke", "DUMP cron_tasks:poke", "COPY cron_tasks:poke cron_tasks:a"),
)
USERS = ("cron_tasks", "cron_tasks_bot", "rest_service")


@pytest.fixture
def admin(redis: Redis) -> Iterator[Redis]:
    create_users(redis, "pw")
    yield redis
    redis.execute_command("ACL", "DELUSER", *USERS)


def log_in(redis: Redis, url: str, user: str) -> Redis:
    return Redis.from_url(url.replace("redis://", f"redis://{user}:pw@"))


def test_each_command_of_a_script_is_permitted() -> None:
    """The list in the file cannot become older than the scripts."""
    used = set()
    for path in PACKAGE.rglob("*.lua"):
        for name, sub in CALL.findall(path.read_text()):
            used.add((f"{name}|{sub}" if name in CONTAINERS else name).lower())
    permitted = {rule[1:] for rule in read_acl()["cron_tasks"] if rule.startswith("+")}
    assert len(used) > 40
    assert used - permitted == set()


def test_users_get_single_commands_only() -> None:
    for name, rules in read_acl().items():
        assert "-@all" in rules, name
        assert not [rule for rule in rules if rule.startswith("+@")], name
        assert not {"~*", "allkeys", "&*", "allchannels", "nopass"} & set(rules), name


@pytest.mark.parametrize("user", USERS)
def test_what_is_not_needed_is_refused(admin: Redis, redis_url: str, user: str) -> None:
    with log_in(admin, redis_url, user) as client:
        for command in NOT_NEEDED:
            with pytest.raises(ResponseError, match=r"permission|DEBUG command not allowed"):
                client.execute_command(*command.split())


@pytest.mark.parametrize("user", USERS[:2])
def test_keys_of_others_are_refused(admin: Redis, redis_url: str, user: str) -> None:
    with log_in(admin, redis_url, user) as client:
        for key in ("other", "celebrity", "queues", "redbeat", "xcron_tasks:jobs", "_kombu"):
            script = f"return redis.call('GET', '{key}')"
            for call in (("GET", key), ("DEL", key), ("RPUSH", key, "1"), ("EVAL", script, 0)):
                with pytest.raises(ResponseError, match=r"No permissions to access a key|NOPERM"):
                    client.execute_command(*call)


def test_the_bot_reaches_its_queue_alone(admin: Redis, redis_url: str) -> None:
    with log_in(admin, redis_url, "cron_tasks_bot") as bot:
        assert bot.llen("queue:to_telegram") == 0
        for key in ("cron_tasks:jobs", "redbeat::schedule", "cron_tasks:poke", "cron_tasks"):
            with pytest.raises(NoPermissionError):
                bot.get(key)


def test_the_service_can_only_poke(admin: Redis, redis_url: str) -> None:
    with log_in(admin, redis_url, "rest_service") as service:
        assert service.lpush("cron_tasks:poke", "42") == 1
        for call in (("LRANGE", "cron_tasks:poke", 0, -1), ("LPUSH", "queue:to_telegram", "x")):
            with pytest.raises(NoPermissionError):
                service.execute_command(*call)


def test_no_user_publishes_to_channels_of_others(admin: Redis, redis_url: str) -> None:
    with log_in(admin, redis_url, "cron_tasks") as client, pytest.raises(NoPermissionError):
        client.publish("news", "x")
    with log_in(admin, redis_url, "cron_tasks_bot") as bot, pytest.raises(NoPermissionError):
        bot.publish("/0.celery.pidbox", "x")
