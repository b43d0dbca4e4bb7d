"""Logins of a person: with a client that is registered on the way, with one that is known, and by pasting."""

import secrets

from checks import require, short, unique
from trials import CLIENT_ID, LOGIN, ODD, READY_S, WANTS_LOGIN, log_in, logged_in, trial


def desk(method, **more):
    """A client for people, as the authorization server knows it from before."""
    grants = ["authorization_code", "refresh_token"]
    fixed = {"application_type": "native", "response_types": ["code"], "grant_types": grants}
    redirects = {"redirect_uris": ["http://127.0.0.1/callback"]}
    return {"client_id": CLIENT_ID, "token_endpoint_auth_method": method, **fixed, **redirects, **more}


def is_logged_in(site, registrations, proof="none", **how):
    """Before the login it wants one, and after it calls are answered."""
    site.wait_until(["unauthorized"], READY_S)
    require(site.cause() == f"unauthorized: {WANTS_LOGIN}", f"it says {site.cause()!r}")
    log_in(site, **how)
    site.opened()
    for _ in range(5):
        site.echoed(unique("after a login"))
    granted = [(t["grant"], t["status"], t["proof"], t["resource"]) for t in site.authority.tokens()]
    wanted = [("authorization_code", 200, proof, site.running.url)]
    require(granted == wanted, f"the tokens are {short(granted)}")
    count = site.authority.trusted()["register"]
    require(count == registrations, f"{count} clients were registered")


@trial("login", short=True)
def registered(lab):
    with lab.site(LOGIN) as site:
        is_logged_in(site, registrations=1)
        page = (site.folder / "page.html").read_text()
        require("You are logged in to r." in page, f"the page says {page}")


@trial("login")
def configured(lab):
    with lab.site({**LOGIN, "client_id": CLIENT_ID}, clients=[desk("none")]) as site:
        is_logged_in(site, registrations=0)


@trial("login")
def confidential(lab):
    """A client that is known from before and has a secret."""
    secret = secrets.token_urlsafe(32) + ODD
    auth = {**LOGIN, "client_id": CLIENT_ID, "client_secret": lab.secret("client_secret", secret)}
    with lab.site(auth, clients=[desk("client_secret_basic", client_secret=secret)]) as site:
        is_logged_in(site, registrations=0, proof="basic")


@trial("login", short=True)
def paste(lab):
    with lab.site(LOGIN) as site:
        is_logged_in(site, registrations=1, paste=True)


@trial("login")
def offline(lab):
    """OpenID's own rule: a refresh token is for whoever asks for `offline_access`, and for consent."""
    with lab.site(LOGIN, refresh="offline") as site:
        logged_in(site)
        require(site.authority.events("refresh_token.saved"), "the login has no refresh token")


@trial("login")
def denied(lab):
    with lab.site(LOGIN) as site:
        code, said = site.log_in(refuse=True)
        require(code != 0 and "the authorization server says access_denied" in said, f"{code}: {said}")
        require(site.cause() == f"unauthorized: {WANTS_LOGIN}", f"it says {site.cause()!r}")
        require(not site.authority.tokens(), "a token was asked for")
