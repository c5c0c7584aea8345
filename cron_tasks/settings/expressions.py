"""Compile and check the expressions of `CRON_TASKS_REST_MAPPING`. Pure.

An expression is JMESPath (https://jmespath.org/specification.html) with the functions of
functions.py. JMESPath looks up a function only when it evaluates the expression, on a row. So wrong
calls are found here, where they stop the start and not each row.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from cron_tasks.settings.functions import MappingFunctions
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of
from cron_tasks.text.suggestions import suggest_nearest

_OPTIONS = jmespath.Options(custom_functions=MappingFunctions())


def compile_expression(text: str) -> Callable[[Any], Any]:
    """Return a function that evaluates `text`. A plain key takes a tenth of JMESPath's time.

    The function raises ValueError, TypeError, ArithmeticError or RecursionError on a value that the
    expression does not fit.
    """
    key = find_plain_key(text)
    if key is None:
        compiled = jmespath.compile(text)
        return lambda value: compiled.search(value, _OPTIONS)
    return lambda value: value.get(key) if isinstance(value, dict) else None


def find_plain_key(text: str) -> str | None:
    """Return the key if the expression is a plain key, else None."""
    node = jmespath.compile(text).parsed
    return node["value"] if node["type"] == "field" else None


def find_leading_keys(text: str) -> tuple[str, ...]:
    """Return the keys that the expression begins with: `("hits", "hits")` of `hits.hits[].job`."""
    tree: Any = jmespath.compile(text).parsed
    return _find_keys(tree)[0]


def _find_keys(node: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Return the leading keys of a node, and whether the node is nothing else."""
    if node["type"] == "field":
        return (node["value"],), True
    if not node["children"] or not isinstance(node["children"][0], dict):
        return (), False
    keys, is_whole = _find_keys(node["children"][0])
    for child in node["children"][1:]:
        if node["type"] != "subexpression" or not is_whole:
            return keys, False
        more, is_whole = _find_keys(child)
        keys += more
    return keys, is_whole


def list_compared_fields(text: str) -> frozenset[str]:
    """Return the fields that the expression compares with one another, or with a value.

    `status != "paused"` compares two fields, because texts have single quotes. A comparison with
    null is left out, because it only checks that a field exists.
    """
    tree: Any = jmespath.compile(text).parsed
    return frozenset(_walk_compared(tree))


def _walk_compared(node: dict[str, Any]) -> Iterator[str]:
    sides = node["children"]
    if node["type"] == "comparator":
        if not any(side["type"] == "literal" and side["value"] is None for side in sides):
            yield from (side["value"] for side in sides if side["type"] == "field")
    elif node["type"] in ("and_expression", "or_expression", "not_expression"):
        for side in sides:
            yield from _walk_compared(side)


def explain_fault(text: str) -> str | None:
    """Return what is wrong with an expression, or None."""
    try:
        tree: Any = jmespath.compile(text).parsed
    except JMESPathError as error:
        return printable(str(error).splitlines()[0])
    except RecursionError:
        return "it is nested too deep"
    return next(filter(None, map(_explain_call, _walk_calls(tree))), None)


def _walk_calls(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the node of each call of a function, the outer one first."""
    if node["type"] == "function_expression":
        yield node
    for child in node["children"]:
        if isinstance(child, dict):  # A slice has numbers.
            yield from _walk_calls(child)


def _explain_call(node: dict[str, Any]) -> str | None:
    """Return why there is no such call, or None."""
    name, given = node["value"], len(node["children"])
    known = MappingFunctions.FUNCTION_TABLE.get(name)
    if known is None:
        near = suggest_nearest(name, sorted(MappingFunctions.FUNCTION_TABLE))
        return f"there is no function {printable(name)}(){near}"
    signature = known["signature"]
    wanted, is_open = len(signature), bool(signature) and signature[-1].get("variadic", False)
    if given == wanted or (is_open and given > wanted):
        return None
    least = "at least " if is_open else ""
    return f"{name}() takes {least}{number_of(wanted, 'argument')}, got {given}"
