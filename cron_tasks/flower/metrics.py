"""Our metrics in Flower's `/metrics`, after its own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from flower.urls import handlers
from flower.views import monitor
from tornado.web import url

from cron_tasks.metrics.serving import make_renderer
from cron_tasks.settings import Settings


def serve_metrics(settings: Settings) -> None:
    """Add our metrics to the Flower that this process is about to start."""
    render = make_renderer(settings)
    # Flower has one event loop, which must not wait for Redis.
    executor = ThreadPoolExecutor(1, "metrics")

    class Metrics(monitor.Metrics):
        async def get(self) -> None:
            await super().get()
            self.write(await asyncio.get_running_loop().run_in_executor(executor, render))

    # The first matching handler is used, and Flower has one for the same path.
    handlers.insert(0, url(r"/metrics", Metrics))
