//! `mcpvisor export`: the servers as a servers file, which a daemon and other clients take.

use std::io;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Map, Value};

use super::console::{Console, unknown};
use super::json;
use super::screen::Format;
use crate::cli::client::Problem;
use crate::store::write_private;
use crate::text::count_of;

/// A servers file to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// Names of the servers; all if there are none.
    pub servers: Vec<String>,
    /// File to write. `None` for stdout.
    pub to: Option<PathBuf>,
}

/// Most values that a remark names.
const MAX_NAMED: usize = 5;

/// Writes the servers file.
pub(super) async fn run(console: &Console, export: &Export) -> Result<(), Problem> {
    let daemon = &console.daemon;
    let mut file = daemon.ask(Method::POST, daemon.path("/v1/export")?, None).await?;
    let Some(servers) = file["mcpServers"].as_object_mut() else {
        return Err(Problem::BrokenOff("the daemon's answer has no mcpServers".to_owned()));
    };
    choose(servers, &export.servers).map_err(Problem::refused)?;
    let (count, plain) = (servers.len(), written_out(servers));
    let text = match console.screen.format {
        Format::Yaml => console.screen.text(&file, |_| String::new()),
        Format::Table | Format::Json => json::indented(&file.to_string()),
    };
    match &export.to {
        None => console.screen.write(&text)?,
        Some(path) => {
            write_private(path, text.as_bytes()).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write '{}': {error}", path.display()))
            })?;
            let told = format!("wrote {} to {}\n", count_of(count as u64, "server"), path.display());
            console.screen.write(&told)?;
        }
    }
    if !plain.is_empty() {
        console.screen.remark(&warning(&plain));
    }
    Ok(())
}

/// Leaves the servers that are named, in their order in the file; all if none is named.
fn choose(servers: &mut Map<String, Value>, wanted: &[String]) -> Result<(), String> {
    for name in wanted {
        if !servers.contains_key(name) {
            let known: Vec<&str> = servers.keys().map(String::as_str).collect();
            return Err(unknown(name, &known));
        }
    }
    if !wanted.is_empty() {
        servers.retain(|name, _| wanted.contains(name));
    }
    Ok(())
}

/// Returns the places of values of environments and headers that stand in the file themselves, not as references.
fn written_out(servers: &Map<String, Value>) -> Vec<String> {
    let mut places = Vec::new();
    for (server, definition) in servers {
        for member in ["env", "headers"] {
            for (name, value) in definition[member].as_object().into_iter().flatten() {
                if value.as_str().is_some_and(|value| !value.is_empty() && !value.contains("${")) {
                    places.push(format!("{server}.{member}.{name}"));
                }
            }
        }
    }
    places
}

fn warning(plain: &[String]) -> String {
    let named = plain.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match plain.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "note: these values are in it as they were written: {named}{more}; a secret among them is better a reference, \
         ${{env:NAME}} or ${{file:/path}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as of;

    fn servers() -> Map<String, Value> {
        let servers = of!({
            "b": {"command": "x", "env": {"A": "${env:A}", "B": "plain", "C": ""}},
            "a": {"url": "http://h/mcp", "headers": {"Authorization": "Bearer t"}},
        });
        servers.as_object().cloned().expect("an object")
    }

    #[test]
    fn those_that_are_named_are_left_in_their_order() {
        let mut all = servers();
        choose(&mut all, &[]).expect("all");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["b", "a"]);
        choose(&mut all, &["a".to_owned()]).expect("one");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a"]);
        let told = choose(&mut servers(), &["c".to_owned()]).expect_err("unknown");
        assert!(told.contains("there is no server \"c\""), "{told}");
    }

    #[test]
    fn what_is_no_reference_is_named() {
        let plain = written_out(&servers());
        assert_eq!(plain, ["b.env.B", "a.headers.Authorization"]);
        assert!(warning(&plain).contains("as they were written: b.env.B, a.headers.Authorization; a secret"));
        assert!(warning(&vec!["x".to_owned(); 7]).contains(" and 2 more;"));
    }
}
