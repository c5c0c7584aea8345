"""Installing a distribution that offers actions."""

from pathlib import Path


def install(folder: Path, name: str, code: str, *points: str) -> None:
    """A distribution of one module, as an installer leaves it."""
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join(["[cron_tasks.actions]", *points]) + "\n")
