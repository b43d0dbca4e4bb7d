"""The table of cases: each file of cases adds its own, and the name of a case is what is promised."""

from __future__ import annotations

from collections.abc import Callable

from harness import Case

Body = Callable[[Case], None]

CASES: list[tuple[str, str, Body]] = []


def promise(group: str, name: str) -> Callable[[Body], Body]:
    """Adds a function as a case."""

    def add(body: Body) -> Body:
        if any(name == other and group == of for of, other, _ in CASES):
            raise ValueError(f"there are two cases {group}: {name}")
        CASES.append((group, name, body))
        return body

    return add
