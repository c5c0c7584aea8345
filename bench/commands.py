"""Start-up of the command line: what a person waits for."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.report import seconds, table

RUNS = 7
COMMANDS = (("next", "0 9 * * *"), ("--help",), ("settings",))


def main() -> None:
    script = Path(sys.executable).with_name("cron-tasks")
    rows = []
    for command in COMMANDS:
        times = []
        for _ in range(RUNS):
            begun = time.perf_counter()
            subprocess.run([script, *command], capture_output=True, check=True)
            times.append(time.perf_counter() - begun)
        rows.append(("cron-tasks " + " ".join(command), seconds(median(times))))
    table(("command", "median"), rows)
