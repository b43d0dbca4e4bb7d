"""What the checks have in common: how they are told of, and what several of them do. They are in
credentials.py, logins.py, renewals.py and endings.py, a function each, which raises `Wrong` with the reason
where something is not as it should be. Each has a site of its own (lab.py): no check answers for what
another has left."""

import time
from dataclasses import dataclass

from checks import require, short, unique

# Access tokens that end while a check looks on. No token is renewed ahead of its end sooner than after 30
# seconds, so of such a one it is the server that says that it is over.
BRIEF_S = 4
READY_S = 30
# A call that waits for a token waits no longer than this for an authorization server.
CALL_S = 20
# Of client credentials and of logins alike. Both texts need the form of RFC 6749, appendix B, in a header.
CLIENT_ID, ODD = "gateway+1/a", "+%:/= ?&"
LOGIN = {"type": "login"}
WANTS_LOGIN = "wants a login: mcpvisor login r"


@dataclass
class Trial:
    topic: str
    name: str
    act: object
    # Whether it is among those of a minute.
    short: bool
    # How many seconds it takes, roughly: the longest begin first.
    takes: int


TRIALS = []


def trial(topic, short=False, takes=10):
    def added(act):
        name = act.__name__.replace("_", "-")
        TRIALS.append(Trial(topic, name, act, short, takes))
        return act

    return added


def log_in(site, **how):
    code, said = site.log_in(**how)
    require(code == 0 and said.endswith("\nLogged in to r.\n"), f"the login ended with {code}: {said}")


def logged_in(site):
    """Logs in, and waits until the server is ready."""
    log_in(site)
    site.opened()


def call_for(site, seconds):
    """Makes calls one after the other for so long, each of which must be answered; how many."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        site.echoed(unique("meanwhile"), CALL_S)
        count += 1
        time.sleep(0.1)
    return count


def refused_for(site, seconds, pause=0.25):
    """Makes calls for so long, none of which may be answered; how many, and what the last caller was told."""
    end, count, error = time.monotonic() + seconds, 0, None
    while error is None or time.monotonic() < end:
        code, error = site.refused(unique("in vain"))
        phase = error["details"]["phase"]
        require((code, phase) == (502, "not_sent"), f"the caller is told {code} {short(error)}")
        count += 1
        time.sleep(pause)
    return count, error["message"]


def outlive(site):
    """Waits until the last access token is over; the server refuses it from then on."""
    last = site.authority.tokens()[-1]["at"]
    site.journal.wait_for(lambda: time.time() > last + BRIEF_S + 1, BRIEF_S + 2)


def only_refreshed(site, least, most):
    """So often tokens were renewed, each by a refresh token that was new, with one login at the beginning."""
    site.never_twice()
    count = len(site.authority.tokens("refresh_token"))
    require(least <= count <= most, f"tokens were renewed {count} times, not {least} to {most} times")
    logins = len(site.authority.tokens("authorization_code"))
    require(logins == 1, f"there were {logins} logins")
    bad = [line for line in site.authority.tokens() if line["status"] != 200]
    require(not bad, f"refused: {short(bad)}")
