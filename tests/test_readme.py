"""The commands of README's table work when pasted into a shell."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from command_line import SCRIPT, CommandLine
from processes import Celery

README = Path(__file__).parents[1] / "README.md"
PLANTS = {"id": 7, "name": "Water the plants", "cron_expression": "0 9 * * *", "chat_id": 5}
#: Commands that refuse what is impossible now, with what they print.
REFUSED = {
    "cron-tasks runs cancel": "has already ended with status ok",
    "cron-tasks runs retry": "ended ok. Only failed, skipped or missed runs",
}


def commands_of_table() -> list[str]:
    section = README.read_text("utf-8").partition("## Every day")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| .+ \| (`.+`) \|$", section, re.MULTILINE)
    return [command for row in rows for command in re.findall("`([^`]+)`", row)]


def test_each_command_works_as_it_stands(
    cli: CommandLine, synced: Callable[..., None], celery: Celery
) -> None:
    synced(PLANTS)
    celery.beat()
    celery.worker().wait_for("ready")
    env = cli.env({}) | {"PATH": f"{Path(SCRIPT).parent}:/usr/bin:/bin"}
    commands = commands_of_table()
    assert len(commands) > 20
    first = ""
    for command in commands:
        if command.startswith("RUN_ID="):
            first = f"{command}; until cron-tasks runs show $RUN_ID | grep -q 'ok$'; do :; done; "
            continue
        is_endless = "--follow" in command
        line = f"timeout 5 {command}" if is_endless else command
        if command == "cron-tasks doctor":
            # On a busy machine an answer of the worker may be late.
            line = f"until {command}; do :; done"
        done = subprocess.run(
            ["bash", "-c", first + line if "$RUN_ID" in command else line],
            env=env,
            cwd=cli.folder,
            capture_output=True,
            text=True,
        )
        refusal = REFUSED.get(" ".join(shlex.split(command)[:3]))
        expected = 124 if is_endless else 1 if refusal else 0
        assert done.returncode == expected, (command, done.stdout, done.stderr)
        assert (refusal or "") in done.stderr
        assert "Traceback" not in done.stderr, command
