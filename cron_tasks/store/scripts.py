"""Lua scripts: the files in the `lua/` folder of a package, loaded at import, called as functions.

The script `ledger/claim` is the file `cron_tasks/ledger/lua/claim.lua`. A file may begin with
`--! uses package/name …`: the files that it needs before it, local functions that several scripts
share.
"""

from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from cron_tasks.errors import WriteRefused

ROOT = Path(__file__).parent.parent
_USES = "--! uses "
#: How a script answers when it changed nothing because its caller must not write any more.
_REFUSED = "REFUSED "

Reply = TypeVar("Reply")
Script = Callable[[Redis, Sequence[str], Sequence[Any]], Reply]


class ScriptError(Exception):
    """A script is missing or empty, or it answered nothing."""


def script(name: str) -> Script[Any]:
    """Return `call(redis, keys, args)` for the script `<package>/<name>`.

    Every script of ours answers something, so an empty answer means that the script did not do its
    work. `call` raises ScriptError for it, and WriteRefused where the script answers with an error
    that begins with `REFUSED`. Raises ScriptError at once when the file is missing or empty.
    """
    source = _source(name)
    digest = sha1(source.encode(), usedforsecurity=False).hexdigest()

    def call(redis: Redis, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            try:
                reply = redis.evalsha(digest, len(keys), *keys, *args)
            except NoScriptError:
                # A server that was restarted has forgotten its scripts.
                reply = redis.eval(source, len(keys), *keys, *args)
        except ResponseError as error:
            if str(error).startswith(_REFUSED):
                raise WriteRefused(str(error).removeprefix(_REFUSED)) from None
            raise
        if reply is None:
            raise ScriptError(f"the script {name}.lua answered nothing")
        return reply

    return call


def _source(name: str) -> str:
    """Return the text of a script after the texts of what it uses, each of them once."""
    texts: dict[str, str] = {}
    _collect(name, texts)
    return "\n".join(texts.values())


def _collect(name: str, texts: dict[str, str]) -> None:
    if name in texts:
        return
    package, _, file = name.partition("/")
    path = ROOT / package / "lua" / f"{file}.lua"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{path} cannot be read: install cron-tasks again ({error})") from None
    if not text.strip():
        raise ScriptError(f"{path} is empty: install cron-tasks again")
    first, _, _ = text.partition("\n")
    for used in first.removeprefix(_USES).split() if first.startswith(_USES) else ():
        _collect(used, texts)
    texts[name] = text
