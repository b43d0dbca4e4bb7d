"""Derives the synchronous client from the asynchronous one: two files, each from the one with `async` in its name.

    python derive_sync.py            writes the files
    python derive_sync.py --check    exit code 1 if a file is not what would be written

Files that are written by hand twice would come apart, and the one that fewer people use would be the wrong one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "src" / "mcpvisor"
SOURCES = ("_async_sender.py", "_async_client.py")

# In this order.
RULES = [
    (r"await asyncio\.sleep", "time.sleep"),
    (r"import asyncio\nimport random\n", "import random\nimport time\n"),
    (r"AsyncGenerator, AsyncIterator, Awaitable, ", "Generator, Iterator, "),
    (r"AsyncGenerator\[T, None\]", "Generator[T, None, None]"),
    (r"Awaitable\[((?:\w|\.)+(?:\[T\])?)\]", r"\1"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\banext\(", "next("),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\baclose\b", "close"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\b_async_", "_"),
    (r"\bAsync(?=[A-Z])", ""),
]
LEFT_OVER = re.compile(r"async|await|\banext\b", re.IGNORECASE)


def derived(name: str) -> str:
    """The text of the file that is derived from this one."""
    text = (PACKAGE / name).read_text(encoding="utf-8")
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    if found := LEFT_OVER.search(text):
        raise SystemExit(f"{name}: no rule takes {found.group()!r} out, which is left at character {found.start()}")
    head, _, rest = text.partition("\n")
    return f"{head}\n\n# Made by `derive_sync.py` from `{name}`: edit that one.\n{rest}"


def main() -> int:
    """The exit code."""
    drifted = 0
    for name in SOURCES:
        output = PACKAGE / name.replace("_async_", "_")
        text = derived(name)
        if "--check" not in sys.argv[1:]:
            output.write_text(text, encoding="utf-8")
        elif not output.exists() or output.read_text(encoding="utf-8") != text:
            print(f"{output.name} is not what {name} says: run derive_sync.py", file=sys.stderr)
            drifted = 1
    return drifted


if __name__ == "__main__":
    sys.exit(main())
