"""Real services, read over HTTP: Django REST Framework under gunicorn, FastAPI under uvicorn."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import free_port
from processes import Process
from pydantic import SecretStr
from reading import failure, read

SERVICES = Path(__file__).parent / "services"


@contextmanager
def running(command: list[str], ready: str, folder: Path, **env: str) -> Iterator[str]:
    """Run a service of the folder `services`, and give its URL."""
    port = free_port()
    command = [sys.executable, "-m", *(each.format(port=port) for each in command)]
    process = Process(command, {"PYTHONPATH": str(SERVICES), **env}, folder / "log")
    try:
        process.wait_for(ready, 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.end()


@pytest.fixture(scope="module")
def drf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("drf")
    command = ["gunicorn", "--bind=127.0.0.1:{port}", "--threads=4", "drf_service:application"]
    with running(command, "Booting worker", folder, JOBS_DATABASE=str(folder / "db")) as url:
        yield url


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("fastapi")
    command = ["uvicorn", "--port={port}", "fastapi_service:app"]
    with running(command, "Uvicorn running", folder) as url:
        yield url
