"""Alert rules and dashboard: promtool runs the rules, and every name is that of a metric."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import click
import pytest
from alerting import ALERTS, RULES, expect_alerts, promtool, run_tests
from guide import ANCHORS, Guide

from cron_tasks.cli import main
from cron_tasks.metrics import catalogue
from cron_tasks.pages.index import STATES
from cron_tasks.telemetry.events import EVENTS

FOLDER = Path(__file__).parents[1] / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
NAMES = [
    "NothingFires", "NoLeader", "NoStandby", "TicksLost", "ListStale", "ListRefused", "Failing",
    "Missed", "OutgrewInterval", "WorkersBusy", "NoWorkers", "BotSilent", "NotificationsDropped",
    "JobsRejected", "LeaderFlaps", "Watchdog",
]  # fmt: skip
#: A metric in an expression, with the suffixes of a histogram.
METRIC = re.compile(r"\bcron_tasks_\w+")
#: All is well for an hour: values every 15 s, as promtool writes them. `NOW` is the time itself.
WELL = {
    "due_oldest_age_seconds": "0x240",
    "leader": "1x240",
    "beats": "2x240",
    "ticks_lost": "0x240",
    "sync_success_timestamp_seconds": "0+15x240",
    'sync_state{state="refused"}': "0x240",
    "jobs_failing": "0x240",
    'ticks_total{outcome="missed"}': "0x240",
    'ticks_total{outcome="missed", reason="coalesced"}': "4x240",
    'ticks_total{outcome="missed", reason="edited"}': "4+1x240",
    'ticks_total{outcome="skipped"}': "0x240",
    'ticks_total{outcome="skipped", reason="overlap"}': "0+1x9 9x230",
    'slots{worker="a"}': "4x240",
    'slots{worker="b"}': "4x240",
    'slots_busy{worker="a"}': "4x240",
    'slots_busy{worker="b"}': "3x240",
    "workers": "2x240",
    'queue_oldest_age_seconds{queue="q", kind="notifications"}': "20x240",
    'queue_oldest_age_seconds{queue="cron_tasks", kind="runs"}': "4000x240",
    'notifications_dropped_total{queue="q"}': "7x240",
    'jobs{state="rejected"}': "0x240",
    "leader_changes_total": "1x120 2x120",
}
#: What has to happen for an alert: a series, its values, and when the alert fires.
WRONG = {
    "NothingFires": ("due_oldest_age_seconds", "0x20 15+15x220", "10m"),
    "NoLeader": ("leader", "1x20 0x220", "6m"),
    "NoStandby": ("beats", "2x20 1x220", "11m"),
    "TicksLost": ("ticks_lost", "0x20 1x220", "16m"),
    "ListStale": ("sync_success_timestamp_seconds", "0x240", "12m"),
    "ListRefused": ('sync_state{state="refused"}', "0x20 1x220", "7m"),
    "Failing": ("jobs_failing", "0x20 3x220", "16m"),
    "Missed": ('ticks_total{outcome="missed", reason="outside_window"}', "_x20 1x220", "7m"),
    "OutgrewInterval": ('ticks_total{outcome="skipped", reason="overlap"}', "0+1x240", "25m"),
    "WorkersBusy": ('slots_busy{worker="b"}', "3x20 4x220", "16m"),
    "NoWorkers": ("workers", "1x20 0x220", "7m"),
    "BotSilent": (
        'queue_oldest_age_seconds{queue="q", kind="notifications"}',
        "0+15x240",
        "8m",
    ),
    "NotificationsDropped": ('notifications_dropped_total{queue="q"}', "7x20 8x220", "7m"),
    "JobsRejected": ('jobs{state="rejected"}', "0x20 2x220", "16m"),
    "LeaderFlaps": ("leader_changes_total", "1x20 2x4 3x4 4x4 5x4 6x200", "12m"),
}
#: Metrics of one worker, which no other instance shows.
WORKERS_OWN = ("slots", "slots_busy")


def write_test(series: dict[str, str], firing: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Return a test of promtool: series of two instances with the same numbers, and the alerts that
    fire."""
    return {
        "interval": "15s",
        "input_series": [
            {"series": _with_instance(name, instance), "values": values}
            for name, values in series.items()
            for instance in (("a",) if name.startswith(WORKERS_OWN) else ("a", "b"))
        ],
        "promql_expr_test": [expect_alerts(at, expected) for at, expected in firing.items()],
    }


def _with_instance(name: str, instance: str) -> str:
    metric, _, labels = name.removesuffix("}").partition("{")
    every = [label for label in (labels, f'instance="{instance}"', 'job="cron_tasks"') if label]
    return f"cron_tasks_{metric}{{{', '.join(every)}}}"


def test_where_all_is_well_only_the_watchdog_fires(tmp_path: Path) -> None:
    run_tests(tmp_path, [write_test(WELL, {"5m": {}, "30m": {}, "59m": {}})])


def test_each_alert_fires_once_for_its_cause_and_no_other_does(tmp_path: Path) -> None:
    assert [*WRONG, "Watchdog"] == NAMES
    tests = [
        write_test(WELL | {series: values}, {"4m": {}, at: {name: 1}})
        for name, (series, values, at) in WRONG.items()
    ]
    run_tests(tmp_path, tests)


def test_every_alert_fires_where_nobody_shows_its_metric(tmp_path: Path) -> None:
    """All beats, Flower and workers are gone, or Prometheus cannot reach them."""
    gone = write_test({"build_info": "1x240"}, {"30m": dict.fromkeys(WRONG, 1)})
    run_tests(tmp_path, [gone])


def test_one_instance_that_is_gone_fires_nothing(tmp_path: Path) -> None:
    test = write_test(WELL, {"30m": {}})
    for series in test["input_series"]:
        if 'instance="b"' in series["series"]:
            series["values"] = "0x4"
    # At the first minute both show other numbers; later the one that is left counts.
    run_tests(tmp_path, [test])


def test_a_redis_that_restarts_fires_nothing(tmp_path: Path) -> None:
    """Nobody shows a metric of the system meanwhile."""
    test = write_test(WELL, {at: {} for at in ("5m15s", "5m30s", "6m")})
    for series in test["input_series"]:
        start, step = re.match(r"(\d+)(\+\d+)?x", series["values"]).groups(default="+0")
        after = int(start) + 22 * int(step)
        series["values"] = f"{start}{step}x20 stale _ {after}{step}x200"
    run_tests(tmp_path, [test])


def test_the_rules_and_the_example_are_valid() -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", str(FOLDER / "prometheus" / "prometheus.yml"))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_a_rule_is_complete(rule: dict[str, Any]) -> None:
    assert rule["alert"] in NAMES
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    notes = rule["annotations"]
    assert notes["command"].startswith("cron-tasks ")
    path, _, query = notes["page"].partition("?")
    assert path in ("/health", "/jobs")
    assert query.removeprefix("state=") in STATES
    guide = Guide(rule["alert"])
    assert notes["runbook"] == f"docs/operations.md#{guide.anchor}"
    assert guide.parts.keys() == {"Cause", "Page", "Log", "Cure"}
    assert notes["command"] in guide.commands
    if rule["alert"] != "Watchdog":
        assert "absent(" in rule["expr"]
        _check_expression(rule["expr"])


def test_each_alert_has_a_section_of_the_guide_and_each_section_an_alert() -> None:
    runbooks = [rule["annotations"]["runbook"] for rule in ALERTS]
    assert runbooks == [f"docs/operations.md#{anchor}" for anchor in ANCHORS]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_the_guide_names_commands_and_events_that_exist(rule: dict[str, Any]) -> None:
    guide, known = Guide(rule["alert"]), {each.name for each in EVENTS}
    assert set(guide.events) <= known
    for command in guide.commands:
        words, found = command.split()[1:], cast("click.Command", main)
        while isinstance(found, click.Group) and words and not words[0].startswith("-"):
            subcommand = found.get_command(click.Context(found), words.pop(0))
            assert subcommand is not None, command
            found = subcommand
        if isinstance(found, click.Group):  # `runs --status …` is short for `runs list --status …`.
            found = cast("click.Command", found.get_command(click.Context(found), "list"))
        options = {name for each in found.params for name in each.opts}
        assert {word for word in words if word.startswith("-")} <= options, command


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_of_the_dashboard_is_made_of_our_metrics(expression: str) -> None:
    if "build_info" not in expression:
        _check_expression(expression)


def _check_expression(expression: str) -> None:
    """Check that each metric exists with these labels, and is that of the system or of one
    worker."""
    known = {metric.full_name: metric for metric in catalogue.ALL}
    for name in METRIC.findall(expression):
        assert re.sub(r"_(bucket|sum|count)$", "", name) in known or name in known, name
    without_absent = re.sub(r"absent\([^)]*\)", "", expression)
    inner = re.findall(r"max without \(instance\) \((?:(?:rate|increase)\()?(\w+)", without_absent)
    assert inner == METRIC.findall(without_absent), "each metric is within max without (instance)"
    for name, labels in re.findall(r"(cron_tasks_\w+)\{([^}]*)\}", expression):
        metric = known[re.sub(r"_(bucket|sum|count)$", "", name)]
        assert set(re.findall(r"(\w+)\s*[=!]~?", labels)) <= {*metric.labels, "le"}


def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(path))


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["query"]) == ("datasource", "prometheus")
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["refId"] and target["expr"] for target in panel["targets"])
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
        assert one["x"] + one["w"] <= 24


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for expression in EXPRESSIONS for name in METRIC.findall(expression)}
    shown |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {metric.full_name for metric in catalogue.ALL} <= shown
