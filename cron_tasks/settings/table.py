"""The table of docs/settings.md: `python -m cron_tasks.settings.table` prints it."""

from cron_tasks.settings.fields import Settings, said, text_of, variable


def markdown() -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = said(name, "default")
        if not default:
            default = "none" if field.default is None else f"`{text_of(field.default)}`"
        lines.append(f"| `{variable(name)}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
