"""The transport of every requests.Session: answers within a limit of time, and final ones only."""

from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter

from cron_tasks.deadline import LimitedResponse


class LimitedAdapter(HTTPAdapter):
    """Has connections read answers as LimitedResponse.

    `until` gives the time on the monotonic clock at which an answer has to be there; it is asked at
    the begin of each.
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
