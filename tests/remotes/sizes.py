"""Checks of what is large: answers within the limit and beyond it."""

from pathlib import Path

from checks import BACK_S, MEGABYTE, check, require, short, unique

MEBIBYTE = 1024 * 1024
# What the daemon takes unless it is told otherwise (`max_answer`).
LIMIT = 16 * MEBIBYTE
# Within it also where an SDK says everything twice, as text and as `structuredContent`.
LARGE = 7 * MEBIBYTE
HUGE = 64 * MEBIBYTE
# A body that grows by doubling is there twice for a moment, so this is far below what was sent.
GROWTH = 3 * LIMIT
PATIENCE_S = 120


@check
def large(bench):
    code, answer, _took = bench.rest.invoke("big", {"bytes": LARGE}, PATIENCE_S)
    require(code == 200, f"{code} {short(answer)}")
    [block] = answer["data"]["content"]
    require(block["text"] == "x" * LARGE, f"{len(block['text'])} bytes came, beginning with {block['text'][:20]}")


@check
def huge(bench):
    """An answer beyond the limit is refused, is never in memory as a whole, and costs no other call anything."""
    before = _reset_peak(bench.daemon.pid)
    code, answer, took = bench.rest.invoke("big", {"bytes": HUGE}, PATIENCE_S)
    after, peak = (_memory(bench.daemon.pid, what) for what in ("VmRSS", "VmHWM"))
    _refused(code, answer)
    memory = f"memory before {_mb(before)}, at most {_mb(peak)}, then {_mb(after)} MB"
    require(peak - before < GROWTH, memory)
    bench.echoed(unique("after a huge answer"), BACK_S)
    return f"{_form(bench)}, refused after {took:.1f} s; {memory}"


@check
def too_large(bench):
    """Who called is told what the limit is, and where it is set."""
    code, answer, _took = bench.rest.invoke("big", {"bytes": LIMIT + MEBIBYTE}, PATIENCE_S)
    message = _refused(code, answer)["message"]
    require(f"more than {LIMIT} bytes" in message and "max_answer" in message, short(message))
    bench.echoed(unique("after a large answer"), BACK_S)


def _refused(code, answer):
    """The error, which has to say that nobody knows whether the call was carried out."""
    error = answer.get("error", {})
    phase = (error.get("details") or {}).get("phase")
    require((code, error.get("code"), phase) == (502, "mcp_unreachable", "in_flight"), f"{code} {short(answer)}")
    return error


def _form(bench):
    """How the server began the answer that was asked for last."""
    if bench.server.is_sse:
        return "an event on the stream of all answers"
    request = [r for r in bench.journal.requests() if r["method"] == "tools/call" and r["status"] == 200][-2]
    if request["type"].startswith("text/event-stream"):
        return "an event"
    return f"JSON, {request['length']} bytes announced" if request["length"] else "JSON of a length that is not said"


def _reset_peak(pid):
    """Has the kernel forget the highest use of memory, and returns the present one."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def _memory(pid, what):
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def _mb(amount):
    return round(amount / MEGABYTE)
