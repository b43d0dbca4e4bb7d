//! Headers that repeat parts of a modern request (spec 2026-07-28, basic/transports/streamable-http), and what has to be
//! known of the tools for them. Pure.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::line::Request;
use crate::mcp::method;
use crate::mcp::translate::{HeaderParam, Members};

/// Maximum number of tools with arguments that are repeated in headers.
const MAX_TOOLS: usize = 4096;

/// Arguments to repeat, by the name of the tool, as last listed.
#[derive(Debug, Default)]
pub(super) struct RepeatedArguments(HashMap<String, Vec<HeaderParam>>);

impl RepeatedArguments {
    /// Learns from the answer to a request for a page of the tools, raw JSON.
    pub(super) fn learn(&mut self, answer: &str) {
        // Nearly no tool has any.
        if self.0.is_empty() && !answer.contains("x-mcp-header") {
            return;
        }
        #[derive(Deserialize)]
        struct Tool<'a> {
            name: Cow<'a, str>,
            #[serde(borrow, rename = "inputSchema")]
            schema: Option<&'a RawValue>,
        }
        let tools = Members::read(answer).and_then(|answer| answer.object("result")?.get("tools"));
        let tools: Option<Vec<&RawValue>> = tools.and_then(|tools| serde_json::from_str(tools.get()).ok());
        for tool in tools.unwrap_or_default() {
            let Ok(tool) = serde_json::from_str::<Tool<'_>>(tool.get()) else { continue };
            let found = tool.schema.map(|schema| HeaderParam::read(schema.get())).unwrap_or_default();
            if found.is_empty() {
                self.0.remove(&*tool.name);
            } else if self.0.len() < MAX_TOOLS {
                self.0.insert(tool.name.into_owned(), found);
            }
        }
    }

    /// Returns the names and values of the headers for a request, given as the line that it came in.
    pub(super) fn headers(&self, request: &Request, line: &str) -> Vec<(String, String)> {
        let version = request.version.clone().unwrap_or_default();
        let mut headers = vec![
            ("mcp-protocol-version".to_owned(), coded(&version)),
            ("mcp-method".to_owned(), coded(&request.method)),
        ];
        let member = match request.method.as_str() {
            method::TOOLS_CALL | method::PROMPTS_GET => "name",
            method::RESOURCES_READ => "uri",
            _ => return headers,
        };
        let params = Members::read(line).and_then(|message| message.object("params")).unwrap_or_default();
        let Some(name) = params.text(member) else { return headers };
        headers.push(("mcp-name".to_owned(), coded(&name)));
        let repeated = self.0.get(&*name).filter(|_| request.method == method::TOOLS_CALL);
        if let Some(repeated) = repeated {
            let arguments = params.get("arguments").and_then(|raw| serde_json::from_str(raw.get()).ok());
            let arguments: Value = arguments.unwrap_or_default();
            let values =
                repeated.iter().filter_map(|one| Some((one.header.clone(), value(one, &arguments)?)));
            headers.extend(values);
        }
        headers
    }
}

/// Returns the header's value for these arguments. `None` if the argument is missing, or nothing that a header can repeat.
fn value(param: &HeaderParam, arguments: &Value) -> Option<String> {
    match param.path.iter().try_fold(arguments, |value, name| value.get(name))? {
        Value::String(text) => Some(coded(text)),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns a text as the value of a header: as it is, or in base64 if it is not visible ASCII or could be taken for base64.
fn coded(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text;
    match is_plain && !text.starts_with("=?base64?") {
        true => text.to_owned(),
        false => format!("=?base64?{}?=", STANDARD.encode(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn headers_of(known: &RepeatedArguments, asked: &str, params: Value) -> Vec<(String, String)> {
        let line = json!({"jsonrpc": "2.0", "id": 1, "method": asked, "params": params}).to_string();
        let version = Some("2026-07-28".to_owned());
        known.headers(&Request { id: "1".to_owned(), method: asked.to_owned(), version }, &line)
    }

    fn listed(tools: Value) -> String {
        json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}).to_string()
    }

    fn tool(name: &str, properties: Value) -> Value {
        json!({"name": name, "inputSchema": {"type": "object", "properties": properties}})
    }

    #[test]
    fn headers_repeat_what_the_body_names() {
        let known = RepeatedArguments::default();
        let names = |asked: &str, params| {
            let headers = headers_of(&known, asked, params);
            headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        let first = ["mcp-protocol-version: 2026-07-28", "mcp-method: tools/list"];
        assert_eq!(names("tools/list", json!({"name": "x"})), first);
        assert_eq!(names("tools/call", json!({"name": "x"}))[2..], ["mcp-name: x"]);
        assert_eq!(names("resources/read", json!({"uri": "a:ü"}))[2..], ["mcp-name: =?base64?YTrDvA==?="]);
        assert_eq!(names("prompts/get", json!({"name": " x"}))[2..], ["mcp-name: =?base64?IHg=?="]);
        assert_eq!(names("tools/call", json!({})).len(), 2, "there is no name to repeat");
    }

    #[test]
    fn arguments_are_repeated_as_the_tools_were_last_listed() {
        let mut known = RepeatedArguments::default();
        let region = json!({"region": {"type": "string", "x-mcp-header": "Region"},
                            "n": {"type": "integer", "x-mcp-header": "N"}});
        known.learn(&listed(json!([tool("a", region.clone()), tool("b", json!({}))])));
        let repeated = |known: &RepeatedArguments, arguments| {
            headers_of(known, "tools/call", json!({"name": "a", "arguments": arguments}))[3..].to_vec()
        };
        let header = |name: &str, value: &str| (format!("mcp-param-{name}"), value.to_owned());
        assert_eq!(
            repeated(&known, json!({"region": "eu", "n": 7})),
            [header("region", "eu"), header("n", "7")]
        );
        assert_eq!(repeated(&known, json!({"region": null})), []);
        known.learn(&listed(json!([tool("c", region)])));
        assert_eq!(repeated(&known, json!({"n": 1})), [header("n", "1")], "another page changes nothing");
        known.learn(&listed(json!([tool("a", json!({}))])));
        assert_eq!(repeated(&known, json!({"n": 1})), []);
    }

    proptest! {
        #[test]
        fn every_text_is_a_header_s_value_that_means_it(text in "\\PC{0,30}|[ -~]{0,30}|=\\?base64\\?[a-zA-Z]{0,4}\\?=") {
            let value = coded(&text);
            prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let back = match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
                Some(coded) => String::from_utf8(STANDARD.decode(coded).expect("base64")).expect("UTF-8"),
                None => value,
            };
            prop_assert_eq!(back, text);
        }

        #[test]
        fn any_answer_is_learnt_from_without_a_panic(text in "[\\[\\]{}:,\"a-z ]{0,60}x-mcp-header") {
            RepeatedArguments::default().learn(&text);
        }
    }
}
