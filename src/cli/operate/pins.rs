//! `mcpvisor pins`: how tools differ from what was approved, and their approval.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use reqwest::Method;
use serde_json::{Value, json};

use super::console::Console;
use super::screen::{Colour, Format, Style};
use super::words::{plain, shell_word};
use crate::cli::client::Problem;
use crate::text::count_of;

/// States of tools that are as they were approved.
const SAME: [&str; 2] = ["pinned", "reordered"];

/// Command about pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pins {
    /// Shows how tools differ: of a server, or of all.
    Diff(Option<String>),
    /// Approves tools of a server; none named for all.
    Approve {
        /// Name of the server.
        server: String,
        /// Names of the tools.
        tools: Vec<String>,
        /// Digest of what was looked at. `None` to look at it now, and to be asked.
        digest: Option<String>,
    },
}

/// Carries a command about pins out.
pub(super) async fn run(console: &Console, pins: &Pins) -> Result<(), Problem> {
    match pins {
        Pins::Diff(Some(server)) => {
            let report = report(console, server).await?;
            console.screen.show(&report, |style| text(server, &report, style))
        }
        Pins::Diff(None) => {
            let mut reports = serde_json::Map::new();
            for server in console.servers().await? {
                let name = plain(&server["name"]);
                let report = report(console, &name).await?;
                reports.insert(name, report);
            }
            let document = Value::Object(reports);
            console.screen.show(&document, |style| all(&document, style))
        }
        Pins::Approve { server, tools, digest } => {
            let digest = match digest {
                Some(digest) => digest.clone(),
                None => looked_at(console, server).await?,
            };
            let mut body = json!({"digest": digest});
            if !tools.is_empty() {
                body["tools"] = json!(tools);
            }
            let report = console.of_server(Method::POST, server, "pins/approve", Some(&body)).await?;
            console.screen.show(&report, |style| text(server, &report, style))
        }
    }
}

async fn report(console: &Console, server: &str) -> Result<Value, Problem> {
    console.of_server(Method::GET, server, "pins", None).await
}

/// Shows the differences to a person, and returns their digest once that person has agreed.
async fn looked_at(console: &Console, server: &str) -> Result<String, Problem> {
    let ask = || {
        let server = shell_word(server);
        format!(
            "pins approve needs --digest, which `mcpvisor pins diff {server}` shows, where nobody can be asked"
        )
    };
    if !(io::stdin().is_terminal() && console.screen.is_terminal() && console.screen.format == Format::Table)
    {
        return Err(Problem::Usage(ask()));
    }
    let report = report(console, server).await?;
    if !differs(&report) {
        return Err(Problem::refused(format!("all tools of {server} are as they were approved")));
    }
    console.screen.write(&format!("{}Approve this? [y/N] ", text(server, &report, &console.screen.style)))?;
    let mut answer = String::new();
    io::stdin().lock().take(64).read_line(&mut answer)?;
    match matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(plain(&report["digest"])),
        false => Err(Problem::refused("nothing was approved")),
    }
}

fn is_other(tool: &Value) -> bool {
    !SAME.iter().any(|same| tool["state"] == **same)
}

fn differs(report: &Value) -> bool {
    report["tools"].as_array().into_iter().flatten().any(is_other)
}

/// Returns the differences of all servers that have some.
fn all(reports: &Value, style: &Style) -> String {
    let others: Vec<_> =
        reports.as_object().into_iter().flatten().filter(|(_, report)| differs(report)).collect();
    match others.as_slice() {
        [] => "all tools are as they were approved, or are not compared\n".to_owned(),
        others => {
            others.iter().map(|(server, report)| text(server, report, style)).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Returns the differences of a server's tools, and what approves them.
fn text(server: &str, report: &Value, style: &Style) -> String {
    let tools: Vec<&Value> = report["tools"].as_array().into_iter().flatten().collect();
    let name = style.foreign(server);
    if report["pin"] == "off" {
        return format!("{name}: tools are not compared (\"pin\": \"off\")\n");
    }
    let others: Vec<&&Value> = tools.iter().filter(|tool| is_other(tool)).collect();
    if others.is_empty() {
        return format!("{name}: {} as approved\n", count_of(tools.len() as u64, "tool"));
    }
    let mut text = String::new();
    for tool in others {
        text += &of_tool(&name, tool, style);
    }
    let word = style.foreign(&shell_word(server)).into_owned();
    text + &format!("\nmcpvisor pins approve {word} --digest {}\n", plain(&report["digest"]))
}

fn of_tool(server: &str, tool: &Value, style: &Style) -> String {
    let state = plain(&tool["state"]);
    let target = format!("{server}.{}", plain(&tool["name"]));
    let approved = match (tool["approved_at"].as_str(), tool["approved_by"].as_str()) {
        (Some(at), Some(by)) => format!(", approved {at} by {by}"),
        (Some(at), None) => format!(", first seen {at}"),
        (None, _) => String::new(),
    };
    let mut text = format!(
        "{} is {}{approved}\n",
        style.paint(Colour::Bold, &style.foreign(&target)),
        style.paint(Colour::Yellow, &state)
    );
    for place in tool["differences"].as_array().into_iter().flatten() {
        text += &format!("  {}\n", style.foreign(&plain(&place["path"])));
        for (sign, member, colour) in [('-', "before", Colour::Red), ('+', "after", Colour::Green)] {
            if let Some(value) = place.get(member) {
                // Quoted, so that a line end in it is none here.
                let told = super::json::safe(&value.to_string());
                text += &format!("  {}\n", style.paint(colour, &format!("{sign} {told}")));
            }
        }
    }
    if tool["more_differences"] == true {
        text += "  … and more\n";
    }
    let hidden: Vec<String> = tool["hidden_characters"].as_array().into_iter().flatten().map(plain).collect();
    if !hidden.is_empty() {
        text += &format!(
            "  {}\n",
            style.paint(Colour::Red, &format!("has characters that nobody sees: {}", hidden.join(", ")))
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_with_what_approves_them() {
        let report = json!({"pin": "warn", "digest": "sha256:ab", "tools": [
            {"name": "echo", "state": "pinned", "differences": []},
            {"name": "add", "state": "changed", "approved_at": "2026-11-30T08:00:00Z", "approved_by": null, "more_differences": false,
                "differences": [{"path": "/description", "before": "Adds", "after": "Adds\u{202e}\nand"}], "hidden_characters": ["U+202E"]},
            {"name": "rm", "state": "new", "differences": [], "hidden_characters": []},
        ]});
        assert_eq!(
            text("demo", &report, &Style::PLAIN),
            "demo.add is changed, first seen 2026-11-30T08:00:00Z\n  /description\n  - \"Adds\"\n  + \"Adds\\u202e\\nand\"\n  \
             has characters that nobody sees: U+202E\ndemo.rm is new\n\nmcpvisor pins approve demo --digest sha256:ab\n"
        );
        assert_eq!(
            text("x", &json!({"pin": "off", "tools": []}), &Style::PLAIN),
            "x: tools are not compared (\"pin\": \"off\")\n"
        );
        let same = json!({"pin": "warn", "tools": [{"state": "pinned"}, {"state": "reordered"}]});
        assert_eq!(text("x", &same, &Style::PLAIN), "x: 2 tools as approved\n");
        assert_eq!(
            all(&json!({"x": same}), &Style::PLAIN),
            "all tools are as they were approved, or are not compared\n"
        );
    }
}
