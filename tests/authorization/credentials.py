"""Client credentials: by a secret, however the authorization server wants it, and by a key."""

import json
import secrets
import subprocess

from checks import require, short, unique
from lab import HERE
from trials import BRIEF_S, CLIENT_ID, ODD, READY_S, call_for, refused_for, trial


def client(method, **more):
    """A client that is a program, as the authorization server knows it."""
    fixed = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    return {"client_id": CLIENT_ID, "token_endpoint_auth_method": method, **fixed, **more}


def own(member, reference):
    return {"type": "client_credentials", "client_id": CLIENT_ID, member: reference}


def by_secret(lab, method, **settings):
    """A site whose server is reached by a secret; `method` is the only way to send that."""
    secret = secrets.token_urlsafe(32) + ODD
    usual = {"methods": [method], "clients": [client(method, client_secret=secret)]}
    return lab.site(own("client_secret", lab.secret("client_secret", secret)), **usual | settings)


def is_granted(site, proof):
    """It is ready by one token, which was for this server, and no request went without it."""
    site.opened()
    for _ in range(5):
        site.echoed(unique("with a token"))
    granted = [(t["status"], t["proof"], t["resource"], t["scope"]) for t in site.authority.tokens()]
    require(granted == [(200, proof, site.running.url, "mcp")], f"the tokens are {short(granted)}")
    require(site.running.refusals() == 0, f"{site.running.refusals()} requests went without a token")


@trial("credentials", short=True)
def basic(lab):
    with by_secret(lab, "client_secret_basic") as site:
        is_granted(site, "basic")


@trial("credentials", short=True)
def post(lab):
    with by_secret(lab, "client_secret_post") as site:
        is_granted(site, "post")


def by_key(lab, alg):
    command = ["node", HERE / "servers/key.mjs", alg]
    key = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
    auth = own("private_key", lab.secret("private_key", key["pem"]))
    known = client("private_key_jwt", jwks={"keys": [key["jwk"]]}, token_endpoint_auth_signing_alg=alg)
    with lab.site(auth, methods=["private_key_jwt"], clients=[known]) as site:
        is_granted(site, "assertion")


@trial("credentials", short=True)
def key_es256(lab):
    by_key(lab, "ES256")


@trial("credentials")
def key_eddsa(lab):
    by_key(lab, "EdDSA")


@trial("credentials")
def key_rs256(lab):
    by_key(lab, "RS256")


@trial("credentials", takes=20)
def renewed(lab):
    """Tokens that end are got again, one at a time."""
    with by_secret(lab, "client_secret_basic", life=BRIEF_S) as site:
        site.opened()
        seconds = 2.5 * BRIEF_S
        call_for(site, seconds)
        count = len(site.authority.tokens())
        require(2 <= count <= 2 + seconds / BRIEF_S, f"{count} tokens in {seconds} s")


@trial("credentials")
def refused(lab):
    """A secret that is wrong is not shown again, whoever calls."""
    known = client("client_secret_basic", client_secret=secrets.token_urlsafe(32))
    with by_secret(lab, "client_secret_basic", clients=[known]) as site:
        site.wait_until(["unauthorized"], READY_S)
        issuer = site.authority.issuer
        wanted = f"unauthorized: got no token from {issuer}: it answered HTTP 401 (invalid_client)"
        require(site.cause() == wanted, f"it says {site.cause()!r}")
        refused_for(site, 2)
        count = site.authority.trusted()["token"]
        require(count == 1, f"the secret was shown {count} times")
