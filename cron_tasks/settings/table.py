"""Print the table of docs/settings.md: `python -m cron_tasks.settings.table`."""

from cron_tasks.settings.fields import Settings


def render_markdown() -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    # These defaults depend on the machine. Their meanings describe them.
    for row in Settings(log_format="json", secrets_dir=None).rows():
        default = f"`{row.value}`" if row.value else "none"
        lines.append(f"| `{row.variable}` | {default} | {row.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render_markdown(), end="")
