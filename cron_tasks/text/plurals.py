"""Numbers of things, as people write them. Pure."""


def number_of(count: int, noun: str) -> str:
    """Return "1 row", "2,000 rows", "3 entries"; a noun of several words ends in its last one."""
    if count == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{count:,} {plural}"


def none_or(count: int, noun: str) -> str:
    """Return the same, with "No rows" for zero, to begin a sentence with."""
    return number_of(count, noun) if count else f"No {number_of(0, noun).removeprefix('0 ')}"
