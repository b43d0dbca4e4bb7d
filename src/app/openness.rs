//! Logs at a start who may do what without a key, and warns about conditions that widen this unexpectedly.

use std::net::IpAddr;
use std::path::Path;

use crate::http::{ApiAuth, Settings};
use crate::process;

/// Logs for whom `/api`, the interface that can run programs, is open.
pub(super) fn say(http: &Settings, address: IpAddr, socket: Option<&Path>) {
    match http.api_auth {
        ApiAuth::Off => tracing::warn!(
            "api.auth is \"off\": whoever can connect may define servers, which is running programs"
        ),
        ApiAuth::Required => tracing::info!("api.auth is \"required\": /api asks everybody for a key"),
        ApiAuth::Auto => {
            let uid = process::user();
            let socket = socket.map(|path| path.display().to_string());
            tracing::info!(
                uid,
                socket,
                "/api is open without a key to this user's own programs on this machine, and to nobody else"
            );
        }
    }
    if http.mcp.auth == ApiAuth::Off {
        tracing::warn!("mcp.auth is \"off\": whoever can connect may use every server at /mcp");
    }
    if let Some(oidc) = &http.oidc {
        tracing::info!(issuer = oidc.issuer, "access tokens of this issuer are accepted beside keys");
    }
    for reason in concerns(http, address, process::is_root()) {
        tracing::warn!("{reason}");
    }
}

/// Returns warnings that an operator should consider.
fn concerns(http: &Settings, address: IpAddr, is_root: bool) -> Vec<&'static str> {
    let mut concerns = Vec::new();
    if http.api_auth != ApiAuth::Off && !address.is_loopback() {
        concerns
            .push("listening beyond this machine: from there /api needs a key with the right to administer");
    }
    // Allowed hosts are configured for a proxy before the daemon.
    if http.api_auth == ApiAuth::Auto && !http.allowed_hosts.is_empty() {
        concerns.push(
            "http.allowed_hosts names somebody, so requests are passed on to here: a forwarder that runs as this \
             user and adds no header (ssh -L, socat, haproxy in tcp mode) cannot be told from this user; \
             api.auth = \"required\" asks for a key then, too (docs/reverse-proxy.md)",
        );
    }
    if http.oidc.as_ref().is_some_and(|oidc| !oidc.lets_call()) {
        concerns.push(
            "no access token may call a tool: set auth.oidc.roles, or auth.oidc.default_role = \"member\"",
        );
    }
    if is_root && http.api_auth == ApiAuth::Auto {
        concerns.push(
            "running as root: servers run as root, and programs of root need no key; a user of its own is safer",
        );
    }
    concerns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::oidc::OidcSettings;

    #[test]
    fn what_makes_the_door_wider_is_said() {
        let (here, everywhere) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0]));
        let count = |http: &Settings, address, is_root| concerns(http, address, is_root).len();
        let plain = Settings::default();
        assert_eq!(count(&plain, here, false), 0);
        assert_eq!((count(&plain, everywhere, false), count(&plain, here, true)), (1, 1));
        let proxied = Settings { allowed_hosts: vec!["mcp.example".into()], ..Settings::default() };
        assert_eq!(count(&proxied, here, false), 1);
        let mut oidc = OidcSettings::new("https://id.example".to_owned(), "https://gw.example".to_owned());
        let told = |oidc: &OidcSettings| Settings { oidc: Some(oidc.clone().into()), ..Settings::default() };
        assert_eq!(count(&told(&oidc), here, false), 1);
        oidc.default_role = Role::Member;
        assert_eq!(count(&told(&oidc), here, false), 0);
        let required = Settings { api_auth: ApiAuth::Required, ..proxied };
        assert_eq!(count(&required, here, true), 0);
    }
}
