"""A limit of time for all requests of one read, retries included.

Only the resolver of names is beyond its reach; it has timeouts of its own.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from cron_tasks.deadline import LimitedResponse

RETRY: dict[str, Any] = {
    "total": 3,
    "allowed_methods": {"GET"},
    "status_forcelist": {429, 502, 503, 504},
    "raise_on_status": False,
    "backoff_factor": 0.2,
    "backoff_jitter": 0.3,
}


class TooLate(Exception):
    """Another attempt might help, but not in time."""


class DeadlineAdapter(HTTPAdapter):
    """requests' adapter, which does nothing after `until` on the monotonic clock.

    `until` is asked at the begin of each answer and of each retry; `pool` is how many
    connections are kept; `retry` goes before RETRY.
    """

    def __init__(self, until: Callable[[], float], pool: int = 10, **retry: Any) -> None:
        def response(*args: Any, **kwargs: Any) -> LimitedResponse:
            return LimitedResponse(*args, until=until(), **kwargs)

        class Retries(Retry):
            def sleep(self, response: Any = None) -> None:
                wait = self.get_backoff_time()
                with suppress(InvalidHeader, ValueError, OverflowError):
                    wait = (response and self.get_retry_after(response)) or wait
                if time.monotonic() + wait >= until():
                    raise TooLate(f"the next attempt would be in {wait:.0f} s")
                time.sleep(wait)

        self._response_class = staticmethod(response)
        super().__init__(pool_maxsize=pool, max_retries=Retries(**(RETRY | retry)))

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if "ConnectionCls" not in vars(pool):
            own = {"response_class": self._response_class}
            pool.ConnectionCls = type("Connection", (pool.ConnectionCls,), own)
        return pool

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        if response.is_redirect:  # requests would read its body, of any size, into memory
            response.close()
            response._content = b""
        return response
