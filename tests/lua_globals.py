"""Find the globals that a Lua script reads and assigns, in the byte code that the server compiles.

An assignment to a global raises in Redis, but only when the line runs. A misspelled local is read
as a global, and is nil. Byte code shows both without running a line.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from redis import Redis

#: The globals that Redis gives to a script, as far as ours may use them.
OFFERED = {
    *("ARGV", "KEYS", "cjson", "error", "ipairs", "math", "pairs", "pcall", "redis", "string"),
    *("table", "tonumber", "tostring", "type", "unpack"),
}
#: Instructions of Lua 5.1 are the lowest 6 bits. Bits 14 to 31 are the number of a constant.
_GET_GLOBAL, _SET_GLOBAL = 5, 7
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


@dataclass
class Globals:
    read: set[str] = field(default_factory=set)
    assigned: set[str] = field(default_factory=set)


def find_globals(redis: Redis, source: str) -> Globals:
    """Return the globals of a script. `redis` must not decode replies."""
    dump = "return string.dump(assert(loadstring(ARGV[1])))"
    chunk = redis.eval(dump, 0, source)  # type: ignore[no-untyped-call]
    found = Globals()
    _Chunk(chunk).function(found)
    return found


class _Chunk:
    """Reads a chunk of Lua 5.1 on a 64-bit machine: `lundump.c` of Lua."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        assert data[:6] == b"\x1bLua\x51\x00"
        assert data[7:11] == bytes((4, 8, 4, 8)), "sizes of int, size_t, instruction and number"
        self.at = 12

    def take(self, form: str) -> int:
        [value] = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return int(value)

    def text(self) -> str:
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length : self.at - 1].decode()

    def function(self, found: Globals) -> None:
        self.text()
        self.at += 4 + 4 + 4  # First and last line, then upvalues, parameters, varargs and stack.
        instructions = [self.take("I") for _ in range(self.take("I"))]
        constants = list(self.constants())
        for _ in range(self.take("I")):
            self.function(found)
        for instruction in instructions:
            if instruction & 0x3F in (_GET_GLOBAL, _SET_GLOBAL):
                is_read = instruction & 0x3F == _GET_GLOBAL
                (found.read if is_read else found.assigned).add(constants[instruction >> 14])
        for _ in range(self.take("I")):  # The line of each instruction.
            self.at += 4
        for _ in range(self.take("I")):  # The names of locals.
            self.text()
            self.at += 8
        for _ in range(self.take("I")):  # The names of upvalues.
            self.text()

    def constants(self) -> Iterator[str]:
        for _ in range(self.take("I")):
            kind = self.take("B")
            if kind == _STRING:
                yield self.text()
            else:
                self.at += {_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}[kind]
                yield ""
