"""The transport of every requests.Session. It reads only final responses, within a deadline."""

from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter

from cron_tasks.http.deadline import LimitedResponse


class LimitedAdapter(HTTPAdapter):
    """Read responses as LimitedResponse.

    `until` returns the time on the monotonic clock by which a response has to be read, in seconds.
    It is called at the start of each response.
    """

    def __init__(self, until: Callable[[], float], **options: Any) -> None:
        def response(*args: Any, **kwargs: Any) -> LimitedResponse:
            return LimitedResponse(*args, until=until(), **kwargs)

        self._response_class = staticmethod(response)
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if "ConnectionCls" not in vars(pool):
            own = {"response_class": self._response_class}
            pool.ConnectionCls = type("Connection", (pool.ConnectionCls,), own)
        return pool
