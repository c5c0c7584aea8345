"""The permissions of jobs: the settings, the rejections by a sync, and when it validates again."""

from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rest_server import RestServer

from cron_tasks.actions import secrets
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.plan import Policy, plan_changes
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.settings import Settings
from cron_tasks.sync.reconciler import Reconciler

PERMISSIONS = Permissions(
    ("reports.*", "mail.send"), ("10.0.0.0/8", "*.intern"), frozenset({"API_KEY"})
)
NOTIFY = {"id": 1, "name": "Notify", "every": 60}
HTTP = {"id": 2, "name": "Call", "every": 60, "action": {"type": "http", "url": "http://10.0.0.1"}}


def errors(action: dict[str, Any], permissions: Permissions = PERMISSIONS) -> tuple[str, ...]:
    outcome = validate_row(NOTIFY | {"action": action}, timezone="UTC", permissions=permissions)
    return outcome.errors if isinstance(outcome, Rejected) else ()


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("reports.daily", True),
        ("reports.a.b", True),
        ("mail.send", True),
        ("mail.sends", False),
        ("Reports.daily", False),
        ("os.system", False),
    ],
)
def test_tasks_need_a_permission(name: str, allowed: bool) -> None:
    said = (
        f"`action.name`: jobs may not call the task '{name}'; "
        "CRON_TASKS_TASKS_ALLOW lists the permitted tasks"
    )
    assert errors({"type": "task", "name": name}) == (() if allowed else (said,))
    assert PERMISSIONS.allows_task(name) is allowed
    assert errors({"type": "task", "name": name}, Permissions()) == (said,)


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://example.org/", None),
        ("http://10.0.0.1/", None),
        ("http://api.intern/", None),
        ("http://localhost:8000/", "localhost is a loopback address"),
        ("http://me:pw@192.168.0.1/", "192.168.0.1 is a private address"),
        ("http://2130706433/", "127.0.0.1 is a loopback address"),
        ("http://[::ffff:127.0.0.1]/", "is a loopback address"),
    ],
)
def test_hosts_need_a_permission(url: str, refused: str | None) -> None:
    found = errors({"type": "http", "url": url})
    if refused is None:
        assert found == ()
        return
    [error] = found
    assert error.startswith("`action.url`: ")
    assert error.endswith(f"{refused}, which CRON_TASKS_HTTP_ALLOW does not allow")


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ({"headers": {"X": "a ${secret:API_KEY}"}, "body": "$$${secret:API_KEY}"}, ()),
        (
            {"headers": {"X": "${secret:API_KYE}", "Y": "${secret:API_KYE}"}},
            ("`action.headers`: jobs have no secret 'API_KYE'; did you mean API_KEY?",),
        ),
        (
            {"url": "http://example.org/${secret:x}", "json": {"a": ["${secret:PASSWORD.txt}"]}},
            (
                "`action.url`: jobs have no secret 'x'; "
                "add it to the folder CRON_TASKS_SECRETS_DIR",
                "`action.json`: jobs have no secret 'PASSWORD.txt'; "
                "add it to the folder CRON_TASKS_SECRETS_DIR",
            ),
        ),
        ({"body": "$${secret:x}", "headers": {"X": "$$secret"}}, ()),
    ],
)
def test_secrets_have_to_exist(action: dict[str, Any], found: tuple[str, ...]) -> None:
    assert errors({"type": "http", "url": "http://example.org/"} | action) == found


def test_which_files_are_secrets_of_jobs(tmp_path: Path) -> None:
    for name in ("API_KEY", "token.txt", "CRON_TASKS_REST_TOKEN", "cron_tasks_x", ".hidden", "a b"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "API_KEY")
    assert set(secrets.list_secrets(tmp_path)) == {"API_KEY", "token.txt", "link"}
    assert set(secrets.list_secrets(tmp_path / "gone")) == set(secrets.list_secrets(None)) == set()


def test_changed_permissions_revalidate_only_jobs_with_an_action() -> None:
    rows = [("row 1", NOTIFY), ("row 2", HTTP)]
    changes = plan_changes({}, rows, Policy(permissions=PERMISSIONS))
    changes.judge_candidates()
    current = {each.job.id: each.fingerprint for each in changes.desired}
    assert plan_changes(current, rows, Policy(permissions=PERMISSIONS)).unchanged == 2
    tighter = plan_changes(current, rows, Policy(permissions=Permissions()))
    tighter.judge_candidates()
    assert tighter.desired == []
    assert (tighter.unchanged, [each.id for each in tighter.rejected]) == (1, ["2"])
    assert tighter.removed == []


def test_a_changed_setting_counts_even_if_the_list_is_the_same(
    redis: Redis, rest: RestServer, tmp_path: Path
) -> None:
    def rejected(**values: Any) -> list[str | None]:
        settings = Settings(rest_url=rest.url, secrets_dir=tmp_path, **values)
        report = Reconciler(redis, settings).sync(lambda: 1_800_000_000.0)
        assert report is not None
        not_modified.append(report.not_modified)
        return [each.id for each in read_rejected(redis)]

    rest.jobs = [NOTIFY, HTTP, HTTP | {"id": 3, "action": {"type": "task", "name": "a.b"}}]
    rest.jobs.append(HTTP | {"id": 4, "action": HTTP["action"] | {"body": "${secret:KEY}"}})
    not_modified: list[bool] = []
    assert rejected() == ["2", "3", "4"]
    assert rejected(tasks_allow="a.*") == ["2", "4"]
    assert rejected(tasks_allow="a.*", http_allow="10.0.0.0/8") == ["4"]
    (tmp_path / "KEY").write_text("x")
    assert rejected(tasks_allow="a.*", http_allow="10.0.0.0/8") == []
    assert not_modified == [False] * 4
    assert rejected(tasks_allow="a.*", http_allow="10.0.0.0/8") == []
    assert not_modified[-1]
    stored = Registry(redis).get_job("4")
    assert isinstance(stored, Job)
    assert b"${secret:KEY}" in stored.to_document()
