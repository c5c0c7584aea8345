"""The alert rules, run by promtool: on series that a test writes, and on real scrapes."""

import json
import re
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from programs import find_program
from scraping import Scrape, scrape_text

RULES = Path(__file__).parents[1] / "monitoring" / "prometheus" / "rules.yml"
ALERTS = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
#: Metrics that the rules name.
NAMED = set(re.findall(r"\bcron_tasks_\w+", RULES.read_text()))
#: Seconds between two scrapes.
STEP = 15
#: The scrapes of a healthy system before the incident, and the scrapes from then on.
BEFORE, AFTER = 120, 120
#: Metrics whose value is a time.
TIMES = "cron_tasks_sync_success_timestamp_seconds"
Samples = Mapping[str, float]


def promtool(*arguments: str) -> None:
    command = [find_program("promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run_tests(folder: Path, tests: list[dict[str, Any]]) -> None:
    content = {"rule_files": [str(RULES)], "evaluation_interval": f"{STEP}s", "tests": tests}
    path = folder / "test.yml"
    path.write_text(json.dumps(content))
    promtool("test", "rules", str(path))


def expect_alerts(at: str, expected: Mapping[str, int]) -> dict[str, Any]:
    """Expect that these alerts, each this many times, and the watchdog fire at a time."""
    return {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": at,
        "exp_samples": [
            {"labels": f'{{alertname="{name}"}}', "value": number}
            for name, number in {"Watchdog": 1, **expected}.items()
        ],
    }


def scrape(ports: Mapping[str, int]) -> dict[str, float]:
    """Scrape instances like Prometheus. An instance that does not answer has no samples.

    A time becomes the number of seconds since then.
    """
    found = {}
    for instance, port in ports.items():
        with suppress(OSError):
            now = time.time()
            for sample in Scrape(scrape_text(port, timeout=2)).samples:
                if sample.name in NAMED:
                    labels = {**sample.labels, "instance": instance, "job": "cron_tasks"}
                    text = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
                    is_time = sample.name == TIMES
                    value = now - sample.value if is_time else sample.value
                    found[f"{sample.name}{{{text}}}"] = value
    return found


def check_alerts(
    folder: Path, well: Samples, then: Samples, expected: Mapping[int, set[str]]
) -> None:
    """Check which alerts fire if the values scraped `then` last, after a time as in `well`.

    `expected` are the names of alerts by the seconds after which they fire. No others may fire.
    """
    is_synced = any("sync_state" in name and '"ok"' in name and then[name] for name in then)
    series = [
        {"series": name, "values": _write_values(name, well.get(name), then.get(name), is_synced)}
        for name in sorted({*well, *then})
    ]
    checks = [
        expect_alerts(f"{(BEFORE + 1) * STEP + seconds}s", dict.fromkeys(names, 1))
        for seconds, names in expected.items()
    ]
    test = {"interval": f"{STEP}s", "input_series": series, "promql_expr_test": checks}
    run_tests(folder, [test])


def _write_values(name: str, well: float | None, then: float | None, is_synced: bool) -> str:
    """Write a series for promtool, whose time begins at 0. A series that ends is stale."""
    if name.startswith(TIMES):
        start = (BEFORE + 1) * STEP
        first = "_" if well is None else f"{-well:.3f}+{STEP}"
        # While syncs succeed, the time of the last one goes on.
        second = "" if then is None else f"{start - then:.3f}" + f"+{STEP}" * is_synced
    else:
        first = "_" if well is None else f"{well:g}"
        second = "" if then is None else f"{then:g}"
    return f"{first}x{BEFORE} {f'{second}x{AFTER}' if second else 'stale'}"
