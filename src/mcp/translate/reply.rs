//! Results and errors of a child on their way to a client of either era. What needs no change goes through byte for byte.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem;

use super::members::{META, Members, push_member};
use crate::jsonrpc::{Raw, RpcError, push_string};
use crate::mcp::method;
use crate::mcp::result::CAPABILITY_REQUIRED;
use crate::text::json_string;

/// Member of a result's `_meta` with the name and version of the server.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Member with the kind of a result.
const RESULT_TYPE: &str = "resultType";
/// Members that every complete result has in the modern era and none in the legacy one.
const MODERN_ONLY: [&str; 3] = [RESULT_TYPE, "ttlMs", "cacheScope"];

/// Result of a child as far as the gateway looks into it.
#[derive(Debug)]
pub struct Reply<'a> {
    whole: &'a Bytes,
    members: Members<'a>,
}

/// Kind of a result, by its `resultType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// The final answer.
    Complete,
    /// The server needs input first (spec 2026-07-28, basic/patterns/mrtr).
    InputRequired,
    /// A kind that only an extension defines.
    Other,
}

impl<'a> Reply<'a> {
    /// Reads a result; `None` if it is no object.
    pub fn read(result: &'a Bytes) -> Option<Reply<'a>> {
        let text = std::str::from_utf8(result).ok()?;
        Some(Reply { whole: result, members: Members::read(text)? })
    }

    /// Returns the kind; a result without one is complete, as all of the legacy era are.
    pub fn kind(&self) -> ReplyKind {
        match self.members.get(RESULT_TYPE).map(json_string) {
            None => ReplyKind::Complete,
            Some(Some(kind)) if kind == "complete" => ReplyKind::Complete,
            Some(Some(kind)) if kind == "input_required" => ReplyKind::InputRequired,
            Some(_) => ReplyKind::Other,
        }
    }

    /// Reports whether a tool failed (`isError`).
    pub fn is_error(&self) -> bool {
        self.members.get("isError").is_some_and(|value| value.get() == "true")
    }

    /// Returns the members of the result.
    pub fn members(&self) -> &Members<'a> {
        &self.members
    }

    /// Writes the result for a modern client. See [`for_modern_behind`].
    fn for_modern(
        &self,
        push_begin: impl FnOnce(&mut Vec<u8>),
        asked: &str,
        push_server: impl FnOnce(&mut Vec<u8>),
    ) -> ModernResult {
        if self.members.get(RESULT_TYPE).is_some() {
            return ModernResult::Unchanged;
        }
        let mut out = completed(push_begin, asked, self.whole.len());
        let meta = self.members.object(META);
        let names_itself = meta.as_ref().is_some_and(|meta| meta.get(SERVER_INFO).is_some());
        self.members.write(&mut out, |name| name != META && !MODERN_ONLY.contains(&name));
        match meta {
            Some(_) if names_itself => self.members.write(&mut out, |name| name == META),
            meta => push_meta(&mut out, push_server, |out| {
                if let Some(meta) = meta {
                    meta.write(out, |_| true);
                }
            }),
        }
        out.push(b'}');
        ModernResult::Written(out)
    }

    /// Returns a complete result for a legacy client: without the members that its era does not know, and without
    /// structured content that is no object (spec 2025-06-18 on; six of six agent libraries lose such an answer), which
    /// a text block then holds.
    pub fn for_legacy(&self) -> Bytes {
        let structured = self.members.get("structuredContent");
        let is_odd = structured.is_some_and(|value| !value.get().starts_with('{'));
        let modern = |name: &str| MODERN_ONLY.contains(&name);
        if !is_odd && !self.members.iter().any(|(name, _)| modern(name)) {
            return self.whole.clone();
        }
        let content = self.members.get("content");
        let is_untold = is_odd && content.is_none_or(|content| !has_text(content));
        let mut out = vec![b'{'];
        self.members.write(&mut out, |name| {
            !(modern(name) || is_odd && name == "structuredContent" || is_untold && name == "content")
        });
        if let (true, Some(structured)) = (is_untold, structured) {
            push_member(&mut out, "content", &with_text(content, structured.get()));
        }
        out.push(b'}');
        out.into()
    }
}

/// Returns a result for a modern client; `None` if it is no object. A result of the modern era goes through as it is; one
/// of the legacy era is completed with what the modern one demands (spec 2026-07-28, basic/index and
/// server/utilities/caching): invented hints promise nothing. `push_server` writes the JSON of the server's `serverInfo`.
pub fn for_modern(result: &Bytes, asked: &str, push_server: impl FnOnce(&mut Vec<u8>)) -> Option<Bytes> {
    Some(match for_modern_behind(|_| (), result, asked, push_server)? {
        ModernResult::Unchanged => result.clone(),
        ModernResult::Written(written) => written.into(),
    })
}

/// A result as a modern client gets it.
#[derive(Debug)]
pub enum ModernResult {
    /// As it is.
    Unchanged,
    /// Completed, behind the text that it was to begin with.
    Written(Vec<u8>),
}

/// Does the same with a result that is to stand behind what `push_begin` writes, so that it is written once.
pub fn for_modern_behind(
    push_begin: impl FnOnce(&mut Vec<u8>),
    result: &Bytes,
    asked: &str,
    push_server: impl FnOnce(&mut Vec<u8>),
) -> Option<ModernResult> {
    if result.starts_with(b"{\"resultType\":") {
        return Some(ModernResult::Unchanged);
    }
    let Some(members) = plain_members(result) else {
        return Some(Reply::read(result)?.for_modern(push_begin, asked, push_server));
    };
    let mut out = completed(push_begin, asked, result.len());
    if !members.is_empty() {
        out.push(b',');
        out.extend_from_slice(members);
    }
    push_meta(&mut out, push_server, |_| ());
    out.push(b'}');
    Some(ModernResult::Written(out))
}

/// Returns the members of a result without braces where none of them needs a look: no name that means something here is
/// anywhere in it, however it may be written. The result is JSON.
fn plain_members(result: &[u8]) -> Option<&[u8]> {
    let looked_at = LOOKED_AT.iter().any(|name| name.find(result).is_some());
    let members = result.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?.trim_ascii();
    (!looked_at).then_some(members)
}

/// What is looked for in a result before it is read: names that mean something here, and the escape that may hide one.
static LOOKED_AT: LazyLock<[memmem::Finder<'static>; 5]> =
    LazyLock::new(|| ["_meta\"", RESULT_TYPE, "ttlMs", "cacheScope", "\\u"].map(memmem::Finder::new));

/// Begins a complete result of this length behind what `push_begin` writes.
fn completed(push_begin: impl FnOnce(&mut Vec<u8>), asked: &str, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 384);
    push_begin(&mut out);
    out.extend_from_slice(b"{\"resultType\":\"complete\"");
    if is_cacheable(asked) {
        out.extend_from_slice(b",\"ttlMs\":0,\"cacheScope\":\"private\"");
    }
    out
}

/// Writes `_meta` with the server's `serverInfo` and with what `more` adds, after other members.
fn push_meta(out: &mut Vec<u8>, push_server: impl FnOnce(&mut Vec<u8>), more: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":");
    push_server(out);
    more(out);
    out.push(b'}');
}

/// Reports whether a result may say that a tool failed, as far as can be told without reading it. A result that may not
/// says so for certain.
pub fn may_be_error(result: &[u8]) -> bool {
    let says_true = |at: usize| {
        let behind = result[at + IS_ERROR.len()..].trim_ascii_start();
        behind.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
    };
    let [is_error, escape] = &*SAYS_ERROR;
    is_error.find_iter(result).any(says_true) || escape.find(result).is_some()
}

static SAYS_ERROR: LazyLock<[memmem::Finder<'static>; 2]> =
    LazyLock::new(|| [IS_ERROR, b"\\u"].map(memmem::Finder::new));

/// The member that says that a tool failed.
const IS_ERROR: &[u8] = b"\"isError\"";

/// Reports whether an array of content has a text block.
fn has_text(content: Raw<'_>) -> bool {
    let blocks: Vec<Raw<'_>> = serde_json::from_str(content.get()).unwrap_or_default();
    blocks.iter().any(|block| {
        Members::read(block.get()).is_some_and(|block| block.text("type").as_deref() == Some("text"))
    })
}

/// Returns an array of content with a text block after its own.
fn with_text(content: Option<Raw<'_>>, said: &str) -> Vec<u8> {
    let own = content.map(|content| content.get().trim_end().trim_end_matches(']'));
    let mut out = own.unwrap_or("[").as_bytes().to_vec();
    if out.trim_ascii() != b"[" {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
    push_string(&mut out, said);
    out.extend_from_slice(b"}]");
    out
}

/// Reports whether complete results of a method carry hints about caching (spec 2026-07-28, server/utilities/caching).
pub fn is_cacheable(asked: &str) -> bool {
    matches!(
        asked,
        method::DISCOVER
            | method::TOOLS_LIST
            | method::PROMPTS_LIST
            | method::RESOURCES_LIST
            | method::TEMPLATES_LIST
            | method::RESOURCES_READ
    )
}

/// Code for a resource that does not exist, up to 2025-11-25.
const NOT_FOUND: i64 = -32002;
/// Code for parameters that cannot be used; since 2026-07-28 also for a resource that does not exist.
const INVALID_PARAMS: i64 = -32602;
/// Code for a request that a legacy server answers after an address was opened (spec 2025-11-25, client/elicitation).
pub(super) const ADDRESS_REQUIRED: i64 = -32042;
/// Code for a defect or a state of the server that the client can do nothing about.
const INTERNAL: i64 = -32603;

/// Returns an error of a child for a modern client: codes that its revision forbids become those that it has.
/// `uri` is that of a resource that was to be read.
pub fn error_for_modern(error: RpcError, uri: Option<&str>) -> RpcError {
    match error.code {
        NOT_FOUND => {
            let told = error.data.or_else(|| {
                let mut data = b"{\"uri\":".to_vec();
                push_string(&mut data, uri?);
                data.push(b'}');
                Some(data.into())
            });
            RpcError { code: INVALID_PARAMS, data: told, ..error }
        }
        ADDRESS_REQUIRED => RpcError { code: INTERNAL, ..error },
        // These describe the way between the gateway and the child.
        -32020 | -32022 => RpcError { code: INTERNAL, data: None, ..error },
        CAPABILITY_REQUIRED => error,
        // Reserved for what the specification will define.
        -32099..=-32020 => RpcError { code: INTERNAL, ..error },
        _ => error,
    }
}

/// Returns an error of a child for a legacy client, which knows none of the codes that 2026-07-28 has added.
pub fn error_for_legacy(error: RpcError) -> RpcError {
    match error.code {
        CAPABILITY_REQUIRED => RpcError { code: INVALID_PARAMS, ..error },
        -32020 | -32022 => RpcError { code: INTERNAL, data: None, ..error },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const SERVER: &str = r#"{"name":"s","version":"1"}"#;

    fn push_server(out: &mut Vec<u8>) {
        out.extend_from_slice(SERVER.as_bytes());
    }

    fn modern(asked: &str, result: &'static str) -> Value {
        let told = for_modern(&Bytes::from_static(result.as_bytes()), asked, push_server).expect("an object");
        serde_json::from_slice(&told).expect("JSON")
    }

    /// The result as a modern client gets it when it has to be read for that.
    fn read_for_modern(reply: &Reply<'_>, asked: &str) -> Bytes {
        match reply.for_modern(|_| (), asked, push_server) {
            ModernResult::Unchanged => reply.whole.clone(),
            ModernResult::Written(written) => written.into(),
        }
    }

    fn legacy(result: &Value) -> Value {
        let result = Bytes::from(result.to_string());
        serde_json::from_slice(&Reply::read(&result).expect("an object").for_legacy()).expect("JSON")
    }

    #[test]
    fn a_result_of_the_legacy_era_is_completed_for_a_modern_client() {
        let told = modern(method::TOOLS_CALL, r#"{"content":[],"_meta":{"a":1}}"#);
        let meta = json!({SERVER_INFO: {"name": "s", "version": "1"}, "a": 1});
        assert_eq!(told, json!({"resultType": "complete", "content": [], "_meta": meta}));
        let read = modern(method::RESOURCES_READ, r#"{"contents":[]}"#);
        assert_eq!((&read["ttlMs"], &read["cacheScope"]), (&json!(0), &json!("private")));
        assert_eq!(modern(method::PROMPTS_GET, "{}")["ttlMs"], Value::Null);
    }

    #[test]
    fn a_result_of_the_modern_era_goes_through_byte_for_byte() {
        let result = Bytes::from_static(br#"{ "content" : [1.0], "resultType":"complete" }"#);
        assert_eq!(for_modern(&result, method::TOOLS_CALL, push_server), Some(result));
        let old = Bytes::from_static(br#"{ "content" : [1.0] ,"isError":false}"#);
        assert_eq!(Reply::read(&old).expect("an object").for_legacy(), old);
    }

    #[test]
    fn structured_content_that_is_no_object_becomes_text_for_a_legacy_client() {
        let told = legacy(&json!({"resultType": "complete", "content": [], "structuredContent": [1, "a"]}));
        assert_eq!(told, json!({"content": [{"type": "text", "text": "[1,\"a\"]"}]}));
        let image = json!({"type": "image", "data": "", "mimeType": "image/png"});
        let told = legacy(&json!({"content": [image], "structuredContent": null}));
        assert_eq!(told, json!({"content": [image, {"type": "text", "text": "null"}]}));
        let text = json!([{"type": "text", "text": "7"}]);
        assert_eq!(legacy(&json!({"content": text, "structuredContent": 7})), json!({"content": text}));
        let none = legacy(&json!({"structuredContent": 7}));
        assert_eq!(none, json!({"content": [{"type": "text", "text": "7"}]}));
        let object = json!({"content": [], "structuredContent": {"a": 1}});
        assert_eq!(legacy(&object), object);
    }

    #[test]
    fn kinds_are_told_apart_by_their_type() {
        let kind = |text: &'static str| {
            let result = Bytes::from_static(text.as_bytes());
            Reply::read(&result).map(|reply| reply.kind())
        };
        assert_eq!(kind("{}"), Some(ReplyKind::Complete));
        assert_eq!(kind(r#"{"resultType":"input_required"}"#), Some(ReplyKind::InputRequired));
        assert_eq!(kind(r#"{"resultType":"task"}"#), Some(ReplyKind::Other));
        assert_eq!(kind(r#"{"resultType":7}"#), Some(ReplyKind::Other));
        assert_eq!(kind("[]"), None);
    }

    #[test]
    fn codes_that_an_era_does_not_have_never_reach_its_clients() {
        let error = |code| RpcError { code, message: "m".to_owned(), data: None };
        let told = error_for_modern(error(-32002), Some("a:b"));
        assert_eq!((told.code, told.data.as_deref()), (-32602, Some(&br#"{"uri":"a:b"}"#[..])));
        assert_eq!(error_for_modern(error(-32042), None).code, -32603);
        for code in [-32020, -32021, -32022] {
            assert!(![-32020, -32021, -32022].contains(&error_for_legacy(error(code)).code));
        }
        assert_eq!(error_for_modern(error(-32601), None).code, -32601);
        assert_eq!(error_for_legacy(error(-32002)).code, -32002);
    }

    #[test]
    fn a_failure_is_seen_however_it_is_written_and_other_results_are_not_read() {
        for (result, may) in [
            (r#"{"content":[],"isError":true}"#, true),
            ("{\"isError\" :\ttrue}", true),
            (r#"{"isError":false,"x":{"isError":true}}"#, true),
            (r#"{"is\u0045rror":true}"#, true),
            (r#"{"content":[],"isError":false}"#, false),
            (r#"{"content":[{"type":"text","text":"true"}]}"#, false),
            (r#"{"isError":"#, false),
        ] {
            assert_eq!(may_be_error(result.as_bytes()), may, "{result}");
        }
    }

    proptest! {
        #[test]
        fn a_result_that_is_not_read_comes_out_as_one_that_is(
            text in "[ -~]{0,20}|_meta|ttlMs\"", name in "[a-z]{1,6}|_meta|ttlMs|resultType", blank in "[ \t]{0,2}",
        ) {
            let mut result = json!({"content": [{"type": "text", "text": text}]});
            result[&name] = json!({"isError": true});
            let raw = Bytes::from(format!("{blank}{result}{blank}"));
            let read = |told: Bytes| serde_json::from_slice::<Value>(&told).expect("JSON");
            let told = for_modern(&raw, method::RESOURCES_READ, push_server).expect("an object");
            let reply = Reply::read(&raw).expect("an object");
            prop_assert_eq!(read(told), read(read_for_modern(&reply, method::RESOURCES_READ)));
            for other in ["[]", "7", "\"{}\"", "null"] {
                prop_assert_eq!(for_modern(&Bytes::from(other), method::TOOLS_CALL, push_server), None);
            }
        }

        #[test]
        fn what_both_eras_know_survives_the_way_to_either_client(
            text in "[ -~]{0,20}", number in any::<i64>(), is_modern in any::<bool>(), extra in "[a-z]{4,8}",
        ) {
            let mut result = json!({"content": [{"type": "text", "text": text}], extra.clone(): {"n": number}});
            if is_modern {
                result["resultType"] = json!("complete");
                result["ttlMs"] = json!(5);
            }
            let raw = Bytes::from(result.to_string());
            let reply = Reply::read(&raw).expect("an object");
            for told in [read_for_modern(&reply, method::RESOURCES_READ), reply.for_legacy()] {
                let told: Value = serde_json::from_slice(&told).expect("JSON");
                prop_assert_eq!(&told["content"], &result["content"]);
                prop_assert_eq!(&told[&extra], &result[&extra]);
            }
            let old: Value = serde_json::from_slice(&reply.for_legacy()).expect("JSON");
            prop_assert!(MODERN_ONLY.iter().all(|name| old.get(name).is_none()));
            let new: Value = serde_json::from_slice(&read_for_modern(&reply, method::TOOLS_CALL)).expect("JSON");
            prop_assert_eq!(&new["resultType"], "complete");
        }
    }
}
