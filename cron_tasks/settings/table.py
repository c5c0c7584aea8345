"""The table of docs/settings.md: `python -m cron_tasks.settings.table` prints it."""

from cron_tasks.settings.fields import Settings


def markdown() -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    # What depends on the machine is given here and said in the meaning.
    for row in Settings(log_format="json", secrets_dir=None).rows():
        default = f"`{row.value}`" if row.value else "none"
        lines.append(f"| `{row.variable}` | {default} | {row.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
