//! `mcpvisor open`: the dashboard, in a browser. No key goes anywhere: your own browser on this machine needs none, and others
//! are asked for one by the page.

use std::io;

use serde_json::json;

use super::console::Console;
use crate::cli::client::Problem;
use crate::text::visible;

/// The dashboard to open.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// `true` to say where it is, and start nothing.
    pub print: bool,
}

/// Starts the browser of this machine at an address. Returns `false` if there is none.
pub type Browser = dyn Fn(&str) -> io::Result<bool>;

/// Says where the dashboard is, and opens it.
pub(super) async fn run(console: &Console, open: &Open, browser: &Browser) -> Result<(), Problem> {
    let daemon = &console.daemon;
    let address = format!("{}/ui/", daemon.address()?);
    // `/api` knows this user without a key by the same rule as the dashboard does.
    let is_known = match daemon.get("/api/servers", &[]).await {
        Ok(_) => !daemon.has_given_key(),
        Err(Problem::Refused(refusal)) if matches!(refusal.status, 401 | 403) => false,
        Err(problem) => return Err(problem),
    };
    let document = json!({"address": address, "needs_key": !is_known});
    console.screen.show(&document, |_| format!("{}\n", visible(&address, false)))?;
    console.screen.remark(&match is_known {
        true => "your own browser on this machine needs no key there; others sign in with one".to_owned(),
        false => format!("sign in there with a key{}", daemon.about_found_key()),
    });
    if !open.print && !browser(&address)? {
        console.screen.remark("there is no browser here: open the address elsewhere");
    }
    Ok(())
}
