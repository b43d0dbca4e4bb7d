"""Refresh tokens that are good for one use each, while calls go on, and while the daemon ends in between."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

from callers import Unanswered
from checks import at_once, require, short, unique
from trials import BRIEF_S, CALL_S, LOGIN, READY_S, WANTS_LOGIN
from trials import call_for, logged_in, only_refreshed, outlive, refused_for, trial

# A token that is renewed ahead of its end: after four fifths of its life.
AHEAD_S = 40
# How long an authorization server takes: so that what it gives out is still good, so that nobody may be waiting
# any more, and longer than the daemon's patience of 10 s.
SLOW_S, PATIENT_S, LATE_S = 2, 6, 12
# How soon an authorization server that could not answer may be asked again; a server is after 1 s ± 20 %.
LEAST_S = 0.7
HERD, CALLERS, THOUSAND = 50, 8, 1000
# So often a token may end before all is done, on a machine that is slow.
SLACK = 5


@trial("refresh", short=True, takes=25)
def rotation(lab):
    """Calls go on over several renewals, and each costs one request of the authorization server."""
    rounds = 2 if lab.short else 5
    with lab.site(LOGIN, life=BRIEF_S) as site:
        logged_in(site)
        before = site.running.refusals()
        calls = call_for(site, rounds * BRIEF_S + 1)
        only_refreshed(site, rounds - 1, rounds)
        require(calls > 5 * rounds, f"only {calls} calls were made")
        refusals = site.running.refusals() - before
        require(refusals <= rounds, f"{refusals} requests were made with a token that is over")


@trial("refresh", takes=12)
def herd(lab):
    """Many calls that find the token over cost one renewal."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        logged_in(site)
        outlive(site)
        at_once(HERD, lambda _: site.echoed(unique("of the herd"), CALL_S))
        only_refreshed(site, 1, 1)


@trial("refresh", takes=50)
def ahead(lab):
    """A token is renewed after four fifths of its life, so no request is made with one that is over (R65)."""
    with lab.site(LOGIN, life=AHEAD_S) as site:
        logged_in(site)
        before = site.running.refusals()
        call_for(site, AHEAD_S + 4)
        refusals = site.running.refusals() - before
        only_refreshed(site, 1, 1)
        login, renewal = site.authority.tokens()
        after = renewal["at"] - login["at"]
        told = f"it was renewed {after:.1f} s after it was given for {AHEAD_S} s"
        require(refusals == 0 and after < 0.9 * AHEAD_S, f"{told}, and {refusals} requests were refused")


def in_renewal(site, mode, act):
    """Does something while a call has the daemon renew a token, and the gate is in this mode."""
    outlive(site)
    with ThreadPoolExecutor(1) as pool:
        arguments = {"text": unique("in a renewal")}
        call = site.held(mode, lambda: pool.submit(site.rest.invoke, "echo", arguments))
        act()
        wait([call], CALL_S)


def killed(site):
    site.daemon.kill()
    # Whoever was kept waiting behind the gate has left.
    site.authority.gate("open")


@trial("refresh", short=True, takes=12)
def killed_before(lab):
    """Killed when the authorization server had the refresh token, and had not looked at it yet."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        logged_in(site)
        in_renewal(site, "before", lambda: killed(site))
        site.restart()
        site.opened()
        site.echoed(unique("after a kill"))
        only_refreshed(site, 1, SLACK)


def kill_after(site):
    """Kills the daemon when the token was rotated and the new one had not come; back, it cannot know that."""
    logged_in(site)
    in_renewal(site, "after", lambda: killed(site))
    site.restart()
    site.wait_until(["unauthorized"], READY_S)
    require(site.cause() == f"unauthorized: {WANTS_LOGIN}", f"it says {site.cause()!r}")


@trial("refresh", takes=12)
def killed_after(lab):
    """A login is asked for, nothing is tried more than once, and the next login is good."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        kill_after(site)
        refused_for(site, 2)
        used = Counter(line["refresh"] for line in site.authority.tokens("refresh_token"))
        told = f"refresh tokens were used {list(used.values())} times"
        require(max(used.values()) <= 2 and len(used) == 1, told)
        logged_in(site)
        site.echoed(unique("after another login"))


@trial("refresh", takes=12)
def killed_after_once(lab):
    """The same, and the token is not used again at all."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        kill_after(site)
        site.never_twice()


@trial("refresh", short=True, takes=15)
def stopped(lab):
    """Told to stop in the middle of a renewal: the answer is waited for and kept, and the login goes on."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        logged_in(site)
        in_renewal(site, "after", lambda: stop_slowly(site, SLOW_S))
        goes_on(site)


@trial("refresh", short=True, takes=18)
def farewell(lab):
    """Told to stop when the token is over and nothing waits for one: that costs no refresh token either."""
    # It takes a moment to end, and for so long there is a daemon that may ask for something.
    script = '"$0" demo-server; sleep 1'
    beside = {"slow": {"command": "sh", "args": ["-c", script, str(lab.program.resolve())]}}
    with lab.site(LOGIN, beside, life=BRIEF_S) as site:
        logged_in(site)
        begun = site.journal.wait_for(lambda: state_of(site, "slow") == "ready", READY_S)
        require(begun, f"the server beside it is {state_of(site, 'slow')}")
        outlive(site)
        site.authority.gate("after")
        stop_slowly(site, PATIENT_S)
        goes_on(site)


def state_of(site, server):
    return site.rest.send("GET", f"/v1/mcps/{server}")[1]["data"]["state"]


def stop_slowly(site, seconds):
    """Stops the daemon; the authorization server answers when it has ended, or else after so long."""
    site.daemon.terminate()
    site.journal.wait_for(lambda: not site.daemon.is_running(), seconds)
    site.authority.gate("open")
    site.daemon.ended()


def goes_on(site):
    site.restart()
    # Nothing heals a login that is over.
    site.wait_until(["ready", "unauthorized"], READY_S)
    require(site.cause() == "ready: None", f"after it was stopped the server is {site.cause()}")
    site.echoed(unique("after a stop"))
    only_refreshed(site, 1, SLACK)


@trial("refresh", takes=35)
def late(lab):
    """An authorization server that answers later than the daemon waits: what it has rotated is not lost."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        logged_in(site)
        in_renewal(site, "after", lambda: answer_late(site))
        site.never_twice()
        site.echoed(unique("after that"), CALL_S)


def answer_late(site):
    """Lets the answer go when nobody waits for it any more, or after longer than the daemon's patience."""
    ended = site.authority.journal
    site.journal.wait_for(lambda: not all(line["whole"] for line in ended.lines("ended")), LATE_S)
    site.authority.gate("open")


@trial("refresh", takes=60)
def thousand(lab):
    """A thousand calls, with the daemon killed in the middle of renewals: none uses a token twice."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        logged_in(site)
        done, over = [], threading.Event()
        with ThreadPoolExecutor(CALLERS) as pool:
            callers = [pool.submit(call_until, site, done, THOUSAND, over) for _ in range(CALLERS)]
            try:
                for part in (1, 2, 3):
                    kill_in_renewal(site, done, part * THOUSAND // 4)
            finally:
                over.set()
            wait(callers)
        require(len(done) >= THOUSAND, f"{len(done)} calls were answered")
        ran = Counter(line["arguments"] for line in site.journal.lines("ran"))
        texts = Counter(f'{{"text":"{text}"}}' for text in done)
        wrong = {text: ran[text] for text in texts if ran[text] != 1}
        require(not wrong, f"not carried out once: {short(wrong)}")
        only_refreshed(site, 3, 30)


def call_until(site, done, number, over):
    """Calls until so many calls of all callers were answered and the daemon is killed no more; while it is away it
    tries others."""
    end = time.monotonic() + 100
    while not (over.is_set() and len(done) >= number) and time.monotonic() < end and not site.is_abandoned:
        text = unique("of a thousand")
        try:
            code, _answer, _took = site.rest.invoke("echo", {"text": text}, CALL_S)
        except Unanswered:
            code = None
        if code == 200:
            done.append(text)
        # So that there are renewals for the calls to fall into.
        time.sleep(0.1)


def kill_in_renewal(site, done, number):
    """Waits for so many answers, then for a renewal, and kills the daemon in it; it is started again."""
    came = site.journal.wait_for(lambda: len(done) >= number or site.is_abandoned, 60)
    require(came, f"{len(done)} calls were answered in 60 s; the server is {site.cause()}")
    site.held("before", lambda: None)
    killed(site)
    site.restart()


def unable(lab, mode):
    """An authorization server that cannot answer ends no login, and is asked again after a while only."""
    seconds = 10
    with lab.site(LOGIN, life=BRIEF_S) as site:
        logged_in(site)
        outlive(site)
        site.authority.gate(mode)
        end, calls = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            site.refused(unique("in vain"), 2)
            calls += 1
            time.sleep(0.1)
        asked = [line["at"] for line in site.authority.journal.lines("held")]
        # It serves, and says that no token is to be had, until a call shows that this is over.
        site.wait_until(["degraded"], READY_S)
        site.authority.gate("open")
        answered_again(site)
        site.wait_until(["ready"], READY_S)
        only_refreshed(site, 1, SLACK)
        told = f"it was asked {len(asked)} times in {seconds} s, by {calls} calls"
        least = min((later - one for one, later in pairwise(asked)), default=seconds)
        require(least > LEAST_S, f"{told}, and once {least * 1000:.0f} ms after it could not")
        require(len(asked) <= seconds, told)


def answered_again(site):
    """Calls until a call is answered: the pause before the next request for a token has to be over."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        code, answer, _took = site.rest.invoke("echo", {"text": unique("after that")}, CALL_S)
        if code == 200:
            return
        time.sleep(0.2)
    require(False, f"no call is answered {READY_S} s after the authorization server is well: {answer}")


@trial("refresh", takes=20)
def busy(lab):
    unable(lab, "busy")


@trial("refresh", takes=20)
def cut(lab):
    unable(lab, "cut")
