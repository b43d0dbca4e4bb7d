//! What to do about remote servers, by the word of the failure. Pure.

use super::Diagnosis;

/// Words of failures, each with its fix.
const FIXES: [(&str, &str); 21] = [
    ("dns_failed", "Check the name in `url`, and whether this machine resolves it: `getent hosts NAME`."),
    ("refused", "Start the server there; check the port in `url`, and firewalls between."),
    (
        "connect_timeout",
        "Check the way there (address, port, firewall, proxy), or raise `mcpvisor.connect_timeout`.",
    ),
    (
        "tls_failed",
        "Mend its certificate, or name the authority behind it in SSL_CERT_FILE of the daemon's environment.",
    ),
    ("proxy_failed", "Check `mcpvisor.proxy` of the server, or HTTPS_PROXY and NO_PROXY of the daemon."),
    (
        "address_not_allowed",
        "Use another address, or, for servers made over the API, allow it: `remotes.api_addresses`.",
    ),
    ("redirected", "Put the address that it redirects to into `url`, if that is right."),
    (
        "not_mcp",
        "Correct the path in `url`: its page says where MCP is (often `/mcp` or `/sse`); open the address in a browser.",
    ),
    ("host_refused", "Use the name that the server was told it has, or tell it the one in `url`."),
    ("unauthorized", "Put credentials that are good into its `headers`, or log in: `mcpvisor login SERVER`."),
    (
        "login_required",
        "Log in: `mcpvisor login SERVER`; or put a token into its `headers`: `\"Authorization\": \"Bearer ${env:TOKEN}\"`.",
    ),
    ("insufficient_scope", "Give it credentials with more rights (scopes), or log in again."),
    ("forbidden", "Ask who runs it to let these credentials in."),
    (
        "rate_limited",
        "Wait: it is tried again by itself. Fewer calls, or another plan there, help for longer.",
    ),
    ("server_error", "See the log of the server there; it is tried again by itself."),
    (
        "session_lost",
        "Several instances behind one address that do not share sessions do this: make them sticky, or share them.",
    ),
    (
        "stream_lost",
        "See what stands between: proxies cut streams that are quiet. It is tried again by itself.",
    ),
    ("silent", "See the log of the server there, and what stands between; it is tried again by itself."),
    (
        "bad_reply",
        "Check its version and what stands between; what is at `url` may be something else than MCP.",
    ),
    ("too_large", "Raise `mcpvisor.max_answer`, or ask for less."),
    ("unsupported_version", "Set `mcpvisor.era` to what it speaks, or use another version of the server."),
];

/// Ids of the diagnoses that are made here: the words themselves.
pub(super) const IDS: [&str; FIXES.len()] = {
    let mut ids = [""; FIXES.len()];
    let mut at = 0;
    while at < ids.len() {
        ids[at] = FIXES[at].0;
        at += 1;
    }
    ids
};

/// Returns what to do about a failure of a remote server, by its word; `None` for any other word. Its own sentence says
/// what is wrong.
pub fn of_remote(word: &str) -> Option<Diagnosis> {
    let (id, fix) = FIXES.iter().find(|(known, _)| *known == word)?;
    Some(Diagnosis { id, cause: None, fix: (*fix).into(), line: None })
}
