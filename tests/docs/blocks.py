"""What a Markdown page has for a reader to type, and what it says comes of it. Pure: no files, no processes.

    ```console            `$ ` begins a command, `> ` goes on with it; what follows is its output
    ```sh                 commands; a block of text or JSON right behind it is their output
    ```sh background      goes on running until the page is through, its output has these lines in this order
    ```sh skip=REASON     is not run, and counted under that reason
    <!-- docs-test ... -->  commands that a reader need not see; `docs-test background` keeps running, until its port answers
    (exit code 4)         behind the output of a command that does not end with 0
"""
import re
from dataclasses import dataclass, field

# Why a block may not be run. Anything else is a mistake of the page.
REASONS = {
    "account": "needs an account, a key or a host of somebody's own",
    "browser": "a person logs in at a browser",
    "build": "builds the program; .ci/run and `make release` do that",
    "client": "needs a client that is not installed here",
    "docker": "needs Docker; `make image-test` runs the steps",
    "model": "needs a model's endpoint",
    "peer": "is a command of another program, which one comes from",
    "root": "changes the machine; `make deb-test` runs it in a root of its own",
    "service": "needs a service beside the daemon",
    "fixture": "shows a server that only the tests have",
}
LANGUAGES = {"sh", "console", "bash"}
OUTPUT_LANGUAGES = {"text", "json", "yaml", ""}
EXIT = re.compile(r"^\(exit code (\d+)\)$")
FENCE = re.compile(r"^(\s*)```+\s*([^`]*)$")


class PageError(Exception):
    """A block whose marks nobody understands."""


@dataclass
class Step:
    """Commands that are run together, and what is to come of them; `expected` is None where the page says nothing."""

    line: int
    commands: str
    expected: list[str] | None = None
    code: int = 0
    background: bool = False
    skip: str | None = None
    hidden: bool = False


@dataclass
class Fence:
    """A fenced block of a page."""

    line: int
    language: str
    marks: list[str]
    lines: list[str] = field(default_factory=list)
    alone: bool = True  # something other than blank lines stands between it and the one before


def fences(text: str) -> list[Fence | Step]:
    """Every block and hidden step of a page, in order."""
    found: list[Fence | Step] = []
    current: Fence | None = None
    hidden: Step | None = None
    indent, between = "", True
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if hidden is not None:
            if line.strip() == "-->":
                found.append(hidden)
                hidden = None
            else:
                hidden.commands += line + "\n"
        elif current is not None:
            if fence and not fence.group(2).strip():
                found.append(current)
                current, between = None, False
            else:
                current.lines.append(line.removeprefix(indent))
        elif fence:
            indent = fence.group(1)
            words = fence.group(2).split()
            current = Fence(number, words[0] if words else "", words[1:], alone=between)
        elif line.strip() in ("<!-- docs-test", "<!-- docs-test background"):
            hidden, between = Step(number, "", hidden=True, background=line.endswith("background")), True
        elif line.strip():
            between = True
    if current is not None or hidden is not None:
        raise PageError("a block is never closed")
    return found


def steps(text: str) -> list[Step]:
    """Every step that a page has somebody take."""
    taken: list[Step] = []
    waiting: Step | None = None  # one of `sh`, whose output may follow
    for block in fences(text):
        if isinstance(block, Step):
            taken.append(block)
            waiting = None
        elif block.language in LANGUAGES:
            made = of_block(block)
            taken.extend(made)
            waiting = made[-1] if block.language != "console" and made else None
        else:
            if waiting and not block.alone and block.language in OUTPUT_LANGUAGES:
                waiting.expected, waiting.code = output(block.lines)
            waiting = None
    return taken


def of_block(block: Fence) -> list[Step]:
    background, skip = False, None
    for mark in block.marks:
        if mark == "background":
            background = True
        elif mark.startswith("skip=") and mark[5:] in REASONS:
            skip = mark[5:]
        else:
            raise PageError(f"line {block.line}: '{mark}' is no mark of a block; there are background and skip={'|'.join(REASONS)}")
    if block.language == "console":
        made = console(block)
    else:
        made = [Step(block.line, "\n".join(block.lines) + "\n")]
    for step in made:
        step.background, step.skip = background, skip
    return made


def console(block: Fence) -> list[Step]:
    made: list[Step] = []
    said: list[list[str]] = []
    for offset, line in enumerate(block.lines, 1):
        if line.startswith("$ "):
            made.append(Step(block.line + offset, line[2:] + "\n"))
            said.append([])
        elif line.startswith("> ") and made and not said[-1]:
            made[-1].commands += line[2:] + "\n"
        elif made:
            said[-1].append(line)
        else:
            raise PageError(f"line {block.line}: a console block begins with `$ `")
    for step, lines in zip(made, said):
        step.expected, step.code = output(lines)
    return made


def output(lines: list[str]) -> tuple[list[str], int]:
    code, kept = 0, []
    for line in lines:
        if exit_code := EXIT.match(line):
            code = int(exit_code.group(1))
        else:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept, code


# What is otherwise each time, and what stands for it. In this order.
VARYING = [(re.compile(pattern), to) for pattern, to in [
    (r"\x1b\[[0-9;]*m", ""),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?", "TIME"),
    (r"\b(mcp|key|req)_[0-9a-f]{20,}", r"\1_ID"),
    (r"\breq_[0-9a-f]+_\d+", "req_ID"),
    (r"(?i)^(mcp-session-id|date|content-length): .*", r"\1: VARYING"),
    (r"pk_live_[\w…]+", "KEY"),
    (r"sha256:[0-9a-f]{64}", "DIGEST"),
    (r"\([^()]* ago\)", "(AGO)"),
    (r"\(in [^()]*\)", "(IN)"),
    (r"PID: \d+ \(.*\)", "PID"),
    (r"\buid=\d+", "uid=N"),
    (r'("[a-z_]*(?:_ms|latency|uptime_seconds|pid|age)":)\d+', r"\1N"),
    (r" waited_ms=\d+", ""),
    (r"\b\d+ ms each", "N ms each"),
    (r"\b(took_ms=|after )\d+( ms)?", r"\1N"),
    (r"\b\d+(\.\d+)? (B|KiB|MiB)\b", "SIZE"),
    (r"\b(\d+d)?(\d+h)?(\d+m)?\d+(ms|s|m|h|d)\b", "SPAN"),
    (r"\bat \d+:\d\d:\d\d [AP]M", "at CLOCK"),
    (r"  +", "  "),
    (r"^  (?=ready  )", "  "),
]]


def plain(line: str, places: list[tuple[str, str]]) -> str:
    """A line without what is otherwise each time."""
    for here, there in places:
        line = line.replace(here, there)
    for pattern, to in VARYING:
        line = pattern.sub(to, line)
    return line.rstrip()


def fits(expected: str, line: str) -> bool:
    """Whether a line is the expected one, where `…` stands for anything."""
    parts = [re.escape(part) for part in expected.split("…")]
    return re.fullmatch(".*".join(parts), line) is not None


def difference(expected: list[str], seen: list[str]) -> str | None:
    """The first place where an output is not the expected one; a line with `…` or `...` alone stands for any number of lines."""

    def match(e: int, s: int) -> bool:
        nonlocal reached
        if e > reached[0] or (e == reached[0] and s > reached[1]):
            reached = (e, s)
        if e == len(expected):
            return s == len(seen)
        if expected[e].strip() in ("…", "..."):
            return any(match(e + 1, at) for at in range(s, len(seen) + 1))
        return s < len(seen) and fits(expected[e], seen[s]) and match(e + 1, s + 1)

    reached = (0, 0)
    if match(0, 0):
        return None
    wanted = expected[reached[0]] if reached[0] < len(expected) else "(the end)"
    was = seen[reached[1]] if reached[1] < len(seen) else "(the end)"
    return f"the page says  {wanted}\n        it is  {was}"


def missing(expected: list[str], seen: list[str]) -> str | None:
    """The first expected line that is not among these, which may stand in any order with others between."""
    left = list(seen)
    for line in expected:
        if line.strip() in ("", "…", "..."):
            continue
        hit = next((at for at, there in enumerate(left) if fits(line, there)), None)
        if hit is None:
            return line
        left.pop(hit)
    return None
