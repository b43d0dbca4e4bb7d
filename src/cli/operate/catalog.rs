//! `mcpvisor tools`, `mcpvisor resources` and `mcpvisor prompts`: what servers offer.

use reqwest::Method;
use serde_json::{Value, json};

use super::arguments::signature;
use super::call::contents;
use super::console::Console;
use super::json as pretty;
use super::screen::{Colour, Format, Style};
use super::table::{Cell, Fit, Table};
use super::words::{first_line, plain};
use crate::cli::client::Problem;

/// Most pages of a list of prompts.
const MAX_PAGES: usize = 100;
/// States of servers that are not asked unless they are named.
const OUT: [&str; 4] = ["disabled", "failed", "unauthorized", "exited"];

/// Shows the tools of a server, or of all servers; one tool with all that is known of it.
pub(super) async fn tools(
    console: &Console,
    server: Option<&str>,
    tool: Option<&str>,
) -> Result<(), Problem> {
    let mut tools = Vec::new();
    for name in names(console, server).await? {
        let told = console.server(&name).await?;
        if server.is_some() && told["tools"].as_array().is_none_or(Vec::is_empty) {
            remark_none(console, &told, "tool");
        }
        tools.extend(with_server(&name, &told["tools"]));
    }
    let Some(tool) = tool else {
        let document = Value::Array(tools);
        return console.screen.show(&document, |style| tool_table(&document, server.is_none(), style));
    };
    let known = tools.iter().filter_map(|it| it["name"].as_str());
    let near = crate::nearest::closest(tool, known)
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
    let found = tools.iter().find(|it| it["name"] == tool);
    let found = found.ok_or_else(|| Problem::refused(format!("there is no tool {tool:?}{near}")))?;
    console.screen.show(found, |style| whole_tool(found, style))
}

/// Shows the resources of a server, or of all servers.
pub(super) async fn resources(console: &Console, server: Option<&str>) -> Result<(), Problem> {
    let mut resources = Vec::new();
    for name in names(console, server).await? {
        let url = console.daemon.path("/v1/mcp/resources")?;
        let listed = match console.daemon.ask(Method::POST, url, Some(&json!({"mcp_id": name}))).await {
            Ok(listed) => listed,
            Err(problem) if server.is_some() => return Err(console.explained(&name, problem).await),
            // The others have theirs all the same.
            Err(problem) => {
                console.screen.remark(&format!("note: {name}: {problem}"));
                continue;
            }
        };
        for list in ["contents", "resource_templates"] {
            resources.extend(with_server(&name, &listed["data"][list]));
        }
    }
    let document = Value::Array(resources);
    console.screen.show(&document, |style| resource_table(&document, server.is_none(), style))
}

/// Reads a resource, and writes its text as it is.
pub(super) async fn read(console: &Console, server: &str, uri: &str) -> Result<(), Problem> {
    let url = console.daemon.path("/v1/mcp/resources")?;
    let body = json!({"mcp_id": server, "uri": uri});
    let read = console.daemon.ask(Method::POST, url, Some(&body)).await?;
    let read = &read["data"];
    console.screen.show(read, |style| {
        let entries = read["contents"].as_array().into_iter().flatten().filter_map(Value::as_object);
        entries.fold(String::new(), |text, entry| {
            let told = entry.get("text").and_then(Value::as_str).map(str::to_owned);
            let mut told = style.foreign(&told.unwrap_or_else(|| contents(entry))).into_owned();
            if !told.ends_with('\n') {
                told.push('\n');
            }
            text + &told
        })
    })
}

/// Shows the prompts of a server, or of all servers, as MCP lists them.
pub(super) async fn prompts(console: &Console, server: Option<&str>) -> Result<(), Problem> {
    let mut prompts = Vec::new();
    for name in names(console, server).await? {
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            let listed = match console.daemon.mcp(&name, "prompts/list", params).await {
                Ok(listed) => listed,
                Err(problem) if server.is_some() => return Err(console.explained(&name, problem).await),
                Err(problem) => {
                    console.screen.remark(&format!("note: {name}: {problem}"));
                    break;
                }
            };
            prompts.extend(with_server(&name, &listed["prompts"]));
            cursor = listed["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
    }
    let document = Value::Array(prompts);
    console.screen.show(&document, |style| prompt_table(&document, server.is_none(), style))
}

/// Returns the name that was given, or those of all servers.
async fn names(console: &Console, server: Option<&str>) -> Result<Vec<String>, Problem> {
    match server {
        Some(name) => Ok(vec![name.to_owned()]),
        // Those that cannot run until somebody does something offer nothing.
        None => {
            let servers = console.servers().await?;
            let runs = servers.iter().filter(|it| !OUT.iter().any(|state| it["state"] == **state));
            Ok(runs.map(|server| plain(&server["name"])).collect())
        }
    }
}

/// Returns what a server lists, each with the server's name in front.
fn with_server<'l>(server: &'l str, list: &'l Value) -> impl Iterator<Item = Value> + 'l {
    list.as_array().into_iter().flatten().map(move |item| {
        let mut told = json!({"server": server});
        for (member, value) in item.as_object().into_iter().flatten() {
            told[member] = value.clone();
        }
        told
    })
}

fn remark_none(console: &Console, server: &Value, thing: &str) {
    let (name, state) = (plain(&server["name"]), plain(&server["state"]));
    if console.screen.format == Format::Table {
        console.screen.remark(&format!("{name} is {state}, and no {thing} of it is known"));
    }
}

fn begin(heads: &[(&'static str, Fit)], has_server: bool) -> Table {
    let heads: Vec<_> =
        [("SERVER", Fit::Cut(8))].iter().filter(|_| has_server).chain(heads).copied().collect();
    Table::new(&heads)
}

fn add(table: &mut Table, item: &Value, has_server: bool, cells: impl IntoIterator<Item = Cell>) {
    let server = has_server.then(|| Cell::from(plain(&item["server"])));
    table.row(server.into_iter().chain(cells));
}

fn items(document: &Value) -> impl Iterator<Item = &Value> {
    document.as_array().into_iter().flatten()
}

fn tool_table(tools: &Value, has_server: bool, style: &Style) -> String {
    let mut table = begin(
        &[("TOOL", Fit::Cut(24)), ("ARGUMENTS", Fit::Cut(12)), ("DESCRIPTION", Fit::Cut(16))],
        has_server,
    );
    for tool in items(tools) {
        let pin = tool["pin"].as_str().filter(|pin| !matches!(*pin, "pinned" | "reordered"));
        let name = plain(&tool["name"]);
        let name = match pin {
            Some(pin) => Cell::painted(&format!("{name} ({pin})"), Some(Colour::Yellow)),
            None => Cell::from(name),
        };
        let arguments = Cell::from(signature(&tool["input_schema"]));
        let description = Cell::from(first_line(tool["description"].as_str().unwrap_or_default()));
        add(&mut table, tool, has_server, [name, arguments, description]);
    }
    table.text(style)
}

/// Returns all that is known of a tool.
fn whole_tool(tool: &Value, style: &Style) -> String {
    let target = format!("{}.{}", plain(&tool["server"]), plain(&tool["name"]));
    let mut text = style.paint(Colour::Bold, &style.foreign(&target)) + "\n";
    if let Some(description) = tool["description"].as_str() {
        text += &format!("\n{}\n", style.foreign(description.trim_end()));
    }
    text + "\n" + &pretty::indented(&tool["input_schema"].to_string())
}

fn resource_table(resources: &Value, has_server: bool, style: &Style) -> String {
    let heads = [
        ("URI", Fit::Cut(24)),
        ("NAME", Fit::Cut(12)),
        ("TYPE", Fit::Optional),
        ("DESCRIPTION", Fit::Cut(16)),
    ];
    let mut table = begin(&heads, has_server);
    for resource in items(resources) {
        let uri = resource["uri"].as_str().or(resource["uriTemplate"].as_str()).unwrap_or_default();
        let name = resource["title"].as_str().or(resource["name"].as_str()).unwrap_or_default();
        let cells = [uri, name, resource["mimeType"].as_str().unwrap_or_default()].map(Cell::from);
        let description = Cell::from(first_line(resource["description"].as_str().unwrap_or_default()));
        add(&mut table, resource, has_server, cells.into_iter().chain([description]));
    }
    table.text(style)
}

fn prompt_table(prompts: &Value, has_server: bool, style: &Style) -> String {
    let heads = [("PROMPT", Fit::Cut(24)), ("ARGUMENTS", Fit::Cut(12)), ("DESCRIPTION", Fit::Cut(16))];
    let mut table = begin(&heads, has_server);
    for prompt in items(prompts) {
        let arguments = prompt["arguments"].as_array().into_iter().flatten().map(|argument| {
            let name = plain(&argument["name"]);
            if argument["required"] == true { name } else { format!("[{name}]") }
        });
        let arguments = Cell::from(arguments.collect::<Vec<_>>().join(" "));
        let description = Cell::from(first_line(prompt["description"].as_str().unwrap_or_default()));
        add(&mut table, prompt, has_server, [Cell::from(plain(&prompt["name"])), arguments, description]);
    }
    table.text(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_have_their_arguments_and_the_first_line_of_their_description() {
        let tools = json!([
            {"server": "demo", "name": "add", "description": "Adds.\nAnd more.", "pin": "pinned", "input_schema": {"properties": {"a": {"type": "number"}}, "required": ["a"]}},
            {"server": "demo", "name": "\u{1b}c", "description": null, "pin": "changed", "input_schema": {}},
        ]);
        assert_eq!(
            tool_table(&tools, true, &Style::PLAIN),
            "SERVER  TOOL               ARGUMENTS  DESCRIPTION\ndemo    add                a:number   Adds.\ndemo    \\u{1b}c (changed)  -          -\n"
        );
        assert_eq!(
            whole_tool(&tools[0], &Style::PLAIN).lines().take(5).collect::<Vec<_>>(),
            ["demo.add", "", "Adds.", "And more.", ""]
        );
    }

    #[test]
    fn resources_and_templates_and_prompts_have_their_lines() {
        let resources = json!([
            {"server": "demo", "uri": "demo://a", "name": "a", "title": "A", "mimeType": "text/plain"},
            {"server": "demo", "uriTemplate": "demo://{x}", "name": "x"},
        ]);
        assert_eq!(
            resource_table(&resources, false, &Style::PLAIN),
            "URI         NAME  TYPE        DESCRIPTION\ndemo://a    A     text/plain  -\ndemo://{x}  x     -           -\n"
        );
        let prompts = json!([{"name": "p", "arguments": [{"name": "a", "required": true}, {"name": "b"}], "description": "P"}]);
        assert_eq!(
            prompt_table(&prompts, false, &Style::PLAIN),
            "PROMPT  ARGUMENTS  DESCRIPTION\np       a [b]      P\n"
        );
    }
}
