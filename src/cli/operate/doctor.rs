//! `mcpvisor doctor [SERVER]`: what is wrong and what to do, of a running daemon, or before one is started.

use serde_json::{Value, json};

use super::console::explained;
use super::screen::{Colour, Format, Screen, Style};
use crate::cli::Exit;
use crate::cli::client::{self, Access, Daemon, Problem};
use crate::text::count_of;

/// What to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Doctor {
    /// The daemon.
    pub access: Access,
    /// Form of the output.
    pub format: Format,
    /// Name of a server; `None` for all of them.
    pub server: Option<String>,
}

/// Looks at what the configuration of a daemon that does not run would meet: returns findings as the API has them, and the
/// names of the servers that were looked at.
pub type Beforehand<'a> = dyn Fn() -> (Vec<Value>, Vec<String>) + 'a;

/// Shows what is wrong. Without a running daemon it is what `beforehand` finds, unless the daemon was named.
pub fn run(doctor: &Doctor, beforehand: &Beforehand<'_>) -> Exit {
    let mut found = false;
    let exit = client::run(async {
        let document = match of_daemon(doctor).await {
            Err(Problem::Unreachable { .. })
                if doctor.access.url.is_none() && doctor.access.socket.is_none() =>
            {
                before_a_start(doctor, beforehand)?
            }
            document => document?,
        };
        found = findings(&document).iter().any(|finding| finding["severity"] != "note");
        let screen = Screen::of_stdout(doctor.format);
        screen.write(&screen.text(&document, |style| text(&document, style)))
    });
    if exit == Exit::Graceful && found { Exit::Findings } else { exit }
}

async fn of_daemon(doctor: &Doctor) -> Result<Value, Problem> {
    let daemon = Daemon::find(&doctor.access)?;
    let query: Vec<(&str, &str)> = doctor.server.iter().map(|server| ("server", server.as_str())).collect();
    let mut answer = match daemon.get("/v1/doctor", &query).await {
        Ok(answer) => answer,
        Err(problem) => {
            return Err(explained(&daemon, doctor.server.as_deref().unwrap_or_default(), problem).await);
        }
    };
    let mut document = answer["data"].take();
    document["daemon"] = daemon.shown().into();
    Ok(document)
}

fn before_a_start(doctor: &Doctor, beforehand: &Beforehand<'_>) -> Result<Value, Problem> {
    let (mut findings, servers) = beforehand();
    if let Some(wanted) = &doctor.server {
        if !servers.contains(wanted) {
            return Err(Problem::refused(format!(
                "no daemon runs, and no servers file that it would read has a server {wanted:?}"
            )));
        }
        findings.retain(|finding| {
            finding["server"] == *wanted || finding["severity"] == "error" && finding["server"].is_null()
        });
    }
    Ok(json!({"findings": findings, "daemon": null, "servers": servers.len()}))
}

fn findings(document: &Value) -> &[Value] {
    document["findings"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Returns findings as people read them: what is wrong in a line, and below it what to do.
fn text(document: &Value, style: &Style) -> String {
    let found = findings(document);
    let mut text = String::new();
    for finding in found {
        let told = |member: &str| finding[member].as_str().unwrap_or_default();
        let (colour, word) = match told("severity") {
            "error" => (Colour::Red, "error"),
            "warning" => (Colour::Yellow, "warning"),
            _ => (Colour::Dim, "note"),
        };
        let server = finding["server"].as_str().map(|name| format!("{name} ")).unwrap_or_default();
        let fault = finding["fault"].as_str().map(|fault| format!(" [{fault}]")).unwrap_or_default();
        text += &format!(
            "{}: {}\n  {}{}\n",
            style.paint(colour, word),
            style.paint(Colour::Bold, &style.foreign(&format!("{server}{}", told("place")))),
            style.foreign(told("cause")),
            style.paint(Colour::Dim, &style.foreign(&fault)),
        );
        if let Some(fix) = finding["fix"].as_str() {
            text += &format!("  what to do: {}\n", style.foreign(fix));
        }
        if let Some(command) = finding["command"].as_str() {
            text += &format!("  $ {}\n", style.foreign(command));
        }
        text.push('\n');
    }
    text + &summary(document, found)
}

fn summary(document: &Value, found: &[Value]) -> String {
    let of = |word: &str| found.iter().filter(|finding| finding["severity"] == word).count() as u64;
    let counted: Vec<String> = ["error", "warning", "note"]
        .into_iter()
        .filter(|word| of(word) > 0)
        .map(|word| count_of(of(word), word))
        .collect();
    let whose = match (document["daemon"].as_str(), document["servers"].as_u64()) {
        (Some(daemon), _) => format!("the daemon at {daemon}"),
        (None, servers) => {
            format!(
                "no daemon runs; of the configuration with {}",
                count_of(servers.unwrap_or_default(), "server")
            )
        }
    };
    match counted.is_empty() {
        true => format!("nothing is wrong ({whose})\n"),
        false => format!("{} ({whose})\n", counted.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_is_wrong_where_and_what_to_do() {
        let document = json!({"daemon": "/run/x.sock", "findings": [
            {"severity": "error", "server": "a", "place": "command", "fault": "command-not-found",
             "cause": "could not\u{1b}c be started", "fix": "Install it.", "command": "mcpvisor edit a"},
            {"severity": "note", "server": null, "place": "x", "fault": null, "cause": "c", "fix": null, "command": null},
        ]});
        let narrow = Style { width: Some(80), colours: false };
        assert_eq!(
            text(&document, &narrow),
            "error: a command\n  could not\\u{1b}c be started [command-not-found]\n  what to do: Install it.\n  $ mcpvisor edit a\n\n\
             note: x\n  c\n\n1 error, 1 note (the daemon at /run/x.sock)\n"
        );
        let none = json!({"daemon": null, "servers": 2, "findings": []});
        assert_eq!(
            text(&none, &narrow),
            "nothing is wrong (no daemon runs; of the configuration with 2 servers)\n"
        );
    }
}
