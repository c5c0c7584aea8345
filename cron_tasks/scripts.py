"""Lua as typed functions: the docstring of a decorated function is its script."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError

Reply = TypeVar("Reply")
Script = Callable[[Redis, Sequence[str], Sequence[Any]], Reply]


def script(*parts: Callable[[], None]) -> Callable[[Callable[[], Reply]], Script[Reply]]:
    """Make `call(redis, keys, args)` of a function whose docstring is Lua.

    Before it come the docstrings of `parts`, Lua functions that several scripts share. The server
    knows a script by its digest; one that was restarted is told it again.
    """

    def decorate(function: Callable[[], Reply]) -> Script[Reply]:
        from hashlib import sha1

        source = "\n".join(inspect.cleandoc(each.__doc__ or "") for each in (*parts, function))
        digest = sha1(source.encode(), usedforsecurity=False).hexdigest()

        @functools.wraps(function)
        def call(redis: Redis, keys: Sequence[str], args: Sequence[Any]) -> Any:
            try:
                return redis.evalsha(digest, len(keys), *keys, *args)
            except NoScriptError:
                return redis.eval(source, len(keys), *keys, *args)

        return call

    return decorate
