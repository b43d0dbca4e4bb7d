"""Logins that are over: taken back, or of an authorization server that the server does not name any more."""

import json

from checks import require, short, unique
from credentials import by_secret
from lab import Authority, Settings
from trials import BRIEF_S, LOGIN, READY_S, WANTS_LOGIN, log_in, logged_in, outlive, refused_for, trial

# How soon it is seen that somebody has logged in.
SEEN_S = 5


def lose(site, seconds):
    """Logs in, has that taken back, and makes calls for so long; what the last caller was told."""
    logged_in(site)
    site.authority.revoke()
    outlive(site)
    return refused_for(site, seconds)[1]


@trial("end", short=True, takes=75)
def revoked(lab):
    """A grant that was taken back: a login is asked for, and the authorization server is left alone."""
    seconds = 8 if lab.short else 60
    with lab.site(LOGIN, life=BRIEF_S) as site:
        said = lose(site, seconds)
        require(WANTS_LOGIN in said, f"the caller is told {said!r}")
        state, remarks = site.rest.status()["state"], site.rest.status()["supervision"].get("remarks")
        # One that serves is not taken down by a call's refusal.
        seen = state == "unauthorized" or (state, remarks) == ("degraded", [WANTS_LOGIN])
        require(seen, f"the server is {site.cause()}, with {remarks}")
        count = len(site.authority.tokens("refresh_token"))
        require(count == 1, f"{count} requests with a refresh token in {seconds} s")
        log_in(site)
        site.echoed(unique("after another login"))
        site.wait_until(["ready"], READY_S)


@trial("end")
def healed(lab):
    """After the next login the state says so, without a call."""
    with lab.site(LOGIN, life=BRIEF_S) as site:
        lose(site, 1)
        log_in(site)
        site.wait_until(["ready"], SEEN_S)


@trial("end", short=True)
def issuer(lab):
    """The server names another authorization server: the login is dropped, and nothing of it goes there."""
    with lab.site(LOGIN, life=BRIEF_S) as site, another(site) as other:
        logged_in(site)
        before = site.authority.trusted()
        site.running.trust(other)
        site.running.restart()
        _code, error = site.refused(unique("after another issuer"))
        require(WANTS_LOGIN in error["message"], f"the caller is told {error['message']!r}")
        site.daemon.terminate()
        site.daemon.ended()
        site.restart()
        site.wait_until(["unauthorized"], READY_S)
        require(not other.trusted(), f"the other one was asked for {dict(other.trusted())}")
        site.authority = other
        logged_in(site)
        site.echoed(unique("after another login"))
        again = site.authorities[0].trusted() - before
        require(not again, f"the first one was asked again: {dict(again)}")
        count = other.trusted()["register"]
        require(count == 1, f"{count} clients were registered at the other one")
        sent = [line["refresh"] for line in other.tokens() if line.get("refresh")]
        require(not sent, f"{len(sent)} refresh tokens were sent to the other one")


@trial("end")
def issuer_credentials(lab):
    """The same with client credentials: the other one is shown the secret when somebody says so."""
    with by_secret(lab, "client_secret_basic", life=BRIEF_S) as site, another(site) as other:
        site.opened()
        site.running.trust(other)
        site.running.restart()
        _code, error = site.refused(unique("after another issuer"))
        wanted = "names another authorization server than before; if that is right, restart it"
        require(wanted in error["message"], f"the caller is told {error['message']!r}")
        require(not other.trusted(), f"the other one was asked for {dict(other.trusted())}")
        status, answer = site.rest.send("POST", "/v1/mcps/r/restart")
        require(status == 200, f"the restart: {status} {short(answer)}")
        site.opened()
        site.echoed(unique("after a restart"))
        require(len(other.tokens()) == 1, f"{len(other.tokens())} tokens were asked for at the other one")


def another(site):
    """A second authorization server, which gives out tokens for the same server to the same clients."""
    settings = json.loads((site.folder / "authority/settings.json").read_text())
    kept = {name: settings[name] for name in vars(Settings())}
    other = Authority(site.folder / "other", Settings(**kept), site.running.url)
    site.authorities.append(other)
    return other
