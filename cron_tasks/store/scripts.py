"""Lua scripts: the files in the `lua/` folder of a package, loaded at import, called as functions.

The script `ledger/claim` is the file `cron_tasks/ledger/lua/claim.lua`. Its header (lua_header.py)
names the keys, arguments and rows that it works with. Python passes them by these names:

    claim = script("ledger/claim")
    granted = claim(redis, holder="w1", lease=60.0, runs=[("7@2026-11-23T09:00:00Z", "7")])
"""

from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Protocol, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from cron_tasks.errors import WriteRefused
from cron_tasks.store import keys
from cron_tasks.store.lua_header import Header, HeaderError, read_header

ROOT = Path(__file__).parent.parent
#: The error of a script that refuses a caller who must no longer write.
_REFUSED = "REFUSED "

Reply = TypeVar("Reply", covariant=True)


class ScriptError(Exception):
    """A script is missing, empty or has a wrong header, or it returned nothing."""


class Script(Protocol[Reply]):
    """Runs a script on the server, with a value for each name that its header declares.

    `given` keys and `args` are single values, `rows` a sequence of tuples: the columns of a row,
    then each of its lists as a sequence of tuples. An argument that is False is '' in Lua, and one
    that is True is '1'. Raises TypeError for missing or unknown names, WriteRefused if the script
    refuses to write, and ScriptError if it returns nothing, because each of our scripts returns
    something.
    """

    def __call__(self, redis: Redis, **values: Any) -> Reply: ...


def script(name: str) -> Script[Any]:
    """Load the script `<package>/<name>`. Raises ScriptError when it cannot be used."""
    source, header = load(name)
    run = _make_runner(name, source)
    fixed_keys = [_find_constant(name, key.upper()) for key in header.keys]
    fixed_args = [_find_constant(name, f"{prefix.upper()}_PREFIX") for prefix in header.prefixes]
    given, args, rows = header.given, header.args, header.rows
    expected = {*given, *args, *([rows.name] if rows else [])}

    def call(redis: Redis, **values: Any) -> Any:
        if values.keys() != expected:
            raise TypeError(f"{name}.lua takes {sorted(expected)}, not {sorted(values)}")
        given_keys = [*fixed_keys, *(values[key] for key in given)]
        slots = [*fixed_args, *(_to_argument(values[arg]) for arg in args)]
        if rows:
            slots.extend(rows.flatten(values[rows.name]))
        return run(redis, given_keys, slots)

    return call


def _make_runner(name: str, source: str) -> Callable[[Redis, Sequence[str], Sequence[Any]], Any]:
    digest = sha1(source.encode(), usedforsecurity=False).hexdigest()

    def run(redis: Redis, names: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            try:
                reply = redis.evalsha(digest, len(names), *names, *args)
            except NoScriptError:
                # A restarted server has no scripts.
                reply = redis.eval(source, len(names), *names, *args)
        except ResponseError as error:
            if str(error).startswith(_REFUSED):
                raise WriteRefused(str(error).removeprefix(_REFUSED)) from None
            raise
        if reply is None:
            raise ScriptError(f"the script {name}.lua returned nothing")
        return reply

    return run


def load(name: str) -> tuple[str, Header]:
    """Return the whole text of a script and its declarations.

    The text is the named locals, then each used script, then the script itself. Raises ScriptError.
    """
    texts: dict[str, str] = {}
    header = _collect_texts(name, texts)
    try:
        header.check()
    except HeaderError as error:
        raise ScriptError(f"{name}.lua: {error}") from None
    return "\n".join([header.write_prelude(), *texts.values()]), header


def _collect_texts(name: str, texts: dict[str, str]) -> Header:
    """Add the texts of a script and of those it uses to `texts`. Return their declarations."""
    package, _, file = name.partition("/")
    path = ROOT / package / "lua" / f"{file}.lua"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{path} cannot be read: install cron-tasks again ({error})") from None
    if not text.strip():
        raise ScriptError(f"{path} is empty: install cron-tasks again")
    try:
        header = read_header(text)
        for used in header.uses:
            if used not in texts:
                header.include(_collect_texts(used, texts))
    except HeaderError as error:
        raise ScriptError(f"{path}: {error}") from None
    texts[name] = text
    return header


def _to_argument(value: Any) -> Any:
    return ("1" if value else "") if isinstance(value, bool) else value


def _find_constant(script: str, constant: str) -> str:
    value = getattr(keys, constant, None)
    if not isinstance(value, str):
        raise ScriptError(f"{script}.lua names a key that is not in store/keys.py: {constant}")
    return value
