"""Checks of a server that goes elsewhere."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

from checks import (
    AGAIN_S, AT_ONCE_S, BACK_S, Unanswered, Wrong, check, each_once, require, short, unique, unique_seconds,
)  # fmt: skip

CALLERS = 4
MOVED_S = 20


@check(fresh=True)
def moved(bench):
    """It goes on at another port, and its entry is edited: nobody notices, and no call is carried out twice."""
    tools, running, old = bench.tools, bench.running, bench.running.pid
    arguments = tools.slow_arguments(unique_seconds(4))
    with ThreadPoolExecutor(1) as pool, calling(bench) as texts:
        call = pool.submit(bench.rest.invoke, tools.slow, arguments, MOVED_S)
        begun = bench.journal.wait_for(lambda: bench.journal.ran(tools.slow, arguments, old), AT_ONCE_S)
        require(begun, "the call did not reach the server")
        running.move()
        bench.rest.edit(running.url)
        there = bench.journal.wait_for(lambda: bench.journal.ran(tools.echo, pid=running.pid), MOVED_S)
        require(there, f"no call has reached {running.url} after {MOVED_S} s")
        code, answer, _took = call.result()
        require(code == 200, f"the call that was under way: {code} {short(answer)}")
        running.leave()
        first_left = len(bench.journal.ran(tools.echo, pid=running.pid))
        bench.journal.wait_for(lambda: len(bench.journal.ran(tools.echo, pid=running.pid)) > first_left, MOVED_S)
    require(len(bench.journal.ran(tools.slow, arguments)) == 1, "the call that was under way was made again")
    each_once(bench, texts)


@check(fresh=True)
def came_back(bench):
    """It is gone, and comes back at another port: a call that waits for it gets there once the entry is edited."""
    bench.echoed(unique("before it is gone"))
    bench.running.kill()
    text = unique("while it is gone")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(bench.echoed, text, MOVED_S)
        bench.wait_until(["backoff"], BACK_S)
        bench.running.move()
        bench.rest.edit(bench.running.url)
        call.result()
    each_once(bench, [text])
    bench.wait_until(["ready"], AGAIN_S)


@contextlib.contextmanager
def calling(bench):
    """Some callers who call all the time, one call after the other. Raises the first thing that was wrong."""
    texts, wrong, over = [], [], threading.Event()

    def call():
        while not over.is_set() and not wrong:
            texts.append(text := unique("all the time"))
            try:
                bench.echoed(text)
            except (Wrong, Unanswered) as error:
                wrong.append(str(error))

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(call) for _ in range(CALLERS)]
        try:
            yield texts
        finally:
            over.set()
        for caller in callers:
            caller.result()
    require(not wrong, wrong[0] if wrong else "")
