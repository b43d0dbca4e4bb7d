//! Answers of tools, in a form for models: text, and images if the model is shown them. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The most images of one result that are shown.
const MAX_IMAGES: usize = 8;
/// Text in place of an empty result.
const NOTHING: &str = "[nothing was returned]";

/// A result for a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ToolText {
    pub(super) text: String,
    /// Images as data URLs.
    pub(super) images: Vec<String>,
}

/// Settings for the form of results.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResultFormat {
    /// The most text, in bytes.
    pub(super) max_bytes: usize,
    /// `true` if images are shown.
    pub(super) images: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    #[serde(default, rename = "type")]
    kind: String,
    text: Option<String>,
    data: Option<String>,
    mime_type: Option<String>,
    uri: Option<String>,
    name: Option<String>,
    resource: Option<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    #[serde(default)]
    uri: String,
    mime_type: Option<String>,
    text: Option<String>,
    blob: Option<String>,
}

/// Formats a result: its blocks one after the other, then its structured content, unless they are the same. Some
/// endpoints take no empty result, so that becomes a text.
pub(super) fn tell(content: &[u8], structured: Option<&[u8]>, telling: ResultFormat) -> ToolText {
    let mut told = ToolText::default();
    let blocks: Vec<Box<RawValue>> = serde_json::from_slice(content).unwrap_or_default();
    let blocks: Vec<_> =
        blocks.iter().map(|raw| serde_json::from_str::<Block>(raw.get()).map_err(|_| raw)).collect();
    let texts: Vec<&str> = blocks.iter().flatten().filter_map(Block::says).collect();
    let untold = structured.filter(|structured| !says_the_same(&texts, structured));
    for block in blocks {
        match block {
            Ok(block) => told.add(block, telling),
            Err(raw) => told.line(raw.get()),
        }
    }
    // A `null` beside other text adds nothing.
    let untold = untold.filter(|structured| told.text.is_empty() || *structured != b"null");
    if let Some(structured) = untold {
        told.line(&String::from_utf8_lossy(structured));
    }
    if told.text.is_empty() {
        told.text.push_str(NOTHING);
    }
    told.text = cut(std::mem::take(&mut told.text), telling.max_bytes);
    told
}

/// Reports whether one of the texts is this JSON, however it is laid out; or is the value of its only member, as
/// Python's servers wrap it in `{"result": ...}`: showing it would add only a name. A text is parsed only if it
/// looks like the same JSON.
fn says_the_same(texts: &[&str], structured: &[u8]) -> bool {
    let structured = structured.trim_ascii();
    if texts.is_empty() || texts.iter().any(|text| text.trim().as_bytes() == structured) {
        return !texts.is_empty();
    }
    let is_object = structured.starts_with(b"{");
    let begins_alike = |text: &str| text.trim_start().as_bytes().first() == structured.first();
    if !is_object && !texts.iter().any(|text| begins_alike(text)) {
        return false;
    }
    let Ok(value) = serde_json::from_slice::<Value>(structured) else { return false };
    let is_same = |text: &str, value: &Value| {
        value.as_str() == Some(text) || serde_json::from_str::<Value>(text).is_ok_and(|said| said == *value)
    };
    if texts.iter().any(|text| begins_alike(text) && is_same(text, &value)) {
        return true;
    }
    let only =
        value.as_object().filter(|members| members.len() == 1).and_then(|members| members.values().next());
    match only {
        Some(Value::Array(values)) if values.len() == texts.len() => {
            values.iter().zip(texts).all(|(value, text)| is_same(text, value))
        }
        Some(only) => texts.iter().any(|text| is_same(text, only)),
        None => false,
    }
}

impl Block {
    /// Returns the block's text, if it is a text block.
    fn says(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.kind == "text")
    }
}

impl ToolText {
    fn line(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    fn add(&mut self, block: Block, telling: ResultFormat) {
        let kind = block.mime_type.as_deref().unwrap_or("of an unknown type");
        match (block.kind.as_str(), block.text, block.data, block.resource) {
            ("text", Some(text), ..) => self.line(&text),
            ("image", _, Some(data), _)
                if telling.images && self.images.len() < MAX_IMAGES && kind.starts_with("image/") =>
            {
                self.images.push(format!("data:{kind};base64,{data}"));
                self.line("[an image, shown below]");
            }
            (what @ ("image" | "audio"), _, Some(data), _) => {
                self.line(&format!("[{what}, {kind}, {} bytes, not shown]", decoded(&data)));
            }
            ("resource", _, _, Some(resource)) => self.resource(&resource),
            ("resource_link", ..) => {
                let (name, uri) = (block.name.unwrap_or_default(), block.uri.unwrap_or_default());
                self.line(&format!("[resource {name} at {uri}, {kind}]"));
            }
            (other, ..) => self.line(&format!("[content of the kind '{other}', not shown]")),
        }
    }

    fn resource(&mut self, resource: &Resource) {
        match (&resource.text, &resource.blob) {
            (Some(text), _) => self.line(text),
            (None, blob) => {
                let kind = resource.mime_type.as_deref().unwrap_or("of an unknown type");
                let bytes = decoded(blob.as_deref().unwrap_or_default());
                self.line(&format!("[resource at {}, {kind}, {bytes} bytes, not shown]", resource.uri));
            }
        }
    }
}

/// Returns the number of bytes that a base64 text stands for.
fn decoded(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// Cuts a text that is too long, and appends the number of missing bytes.
pub(super) fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let end = text.floor_char_boundary(max_bytes);
        let missing = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n[cut off here: {missing} bytes more]"));
    }
    text
}

/// Builds a message of images: results themselves can be text only.
pub(super) fn image_message(images: &[String]) -> Value {
    let pictures = images.iter().map(|url| json!({"type": "image_url", "image_url": {"url": url}}));
    let mut parts = vec![json!({"type": "text", "text": "The images that the tools returned:"})];
    parts.extend(pictures);
    json!({"role": "user", "content": parts})
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: ResultFormat = ResultFormat { max_bytes: 1_000, images: false };

    fn told(content: &Value) -> ToolText {
        tell(content.to_string().as_bytes(), None, PLAIN)
    }

    #[test]
    fn blocks_are_told_one_after_the_other() {
        let content = json!([
            {"type": "text", "text": "one"},
            {"type": "resource", "resource": {"uri": "a:b", "text": "two"}},
            {"type": "resource", "resource": {"uri": "a:c", "mimeType": "x/y", "blob": "AAAA"}},
            {"type": "resource_link", "uri": "a:d", "name": "d", "mimeType": "x/z"},
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "audio", "mimeType": "audio/wav", "data": "AAA="},
            {"type": "hologram"},
            7,
        ]);
        assert_eq!(
            told(&content).text,
            "one\ntwo\n[resource at a:c, x/y, 3 bytes, not shown]\n[resource d at a:d, x/z]\n\
             [image, image/png, 3 bytes, not shown]\n[audio, audio/wav, 2 bytes, not shown]\n\
             [content of the kind 'hologram', not shown]\n7"
        );
    }

    #[test]
    fn pictures_are_shown_to_models_that_see() {
        let content = json!([{"type": "image", "mimeType": "image/png", "data": "AAAA"}]);
        let seen = tell(content.to_string().as_bytes(), None, ResultFormat { images: true, ..PLAIN });
        assert_eq!(seen.images, ["data:image/png;base64,AAAA"]);
        let message = image_message(&seen.images);
        assert_eq!(message["content"][1]["image_url"]["url"], "data:image/png;base64,AAAA");
    }

    #[test]
    fn structured_content_is_told_unless_a_text_says_the_same() {
        let with = |texts: &[&str], structured: &str| {
            let content: Vec<Value> =
                texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
            tell(json!(content).to_string().as_bytes(), Some(structured.as_bytes()), PLAIN).text
        };
        assert_eq!(with(&[], r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(with(&["2 rows"], r#"{"a":1}"#), "2 rows\n{\"a\":1}");
        let rows = r#"{"result":[1]}"#;
        assert_eq!(with(&["2 rows"], rows), format!("2 rows\n{rows}"));
        for (texts, structured) in [
            (&["{ \"b\": 2,\n\"a\": 1}"][..], r#"{"a":1,"b":2}"#),
            (&["one", " {\"a\":1} "], r#"{"a":1}"#),
            (&["x"], r#"{"result":"x"}"#),
            (&["x"], r#"{"text":"x"}"#),
            (&["5"], r#"{ "result": 5 }"#),
            (&["a", "{\"b\": 1}"], r#"{"result":["a",{"b":1}]}"#),
            (&["[1, 2]"], "[1,2]"),
            (&["null"], "null"),
            (&["x"], "null"),
        ] {
            assert_eq!(with(texts, structured), texts.join("\n"), "{structured}");
        }
        let image = json!([{"type": "image", "mimeType": "image/png", "data": "AAAA"}]).to_string();
        let seen = tell(image.as_bytes(), Some(b"{\"a\":1}"), ResultFormat { images: true, ..PLAIN });
        assert_eq!((seen.text.as_str(), seen.images.len()), ("[an image, shown below]\n{\"a\":1}", 1));
    }

    #[test]
    fn a_result_with_nothing_in_it_is_told_in_words() {
        assert_eq!(tell(b"[]", None, PLAIN).text, NOTHING);
        assert_eq!(tell(b"[{\"type\":\"text\",\"text\":\"\"}]", None, PLAIN).text, NOTHING);
        assert_eq!(tell(b"[]", Some(b"null"), PLAIN).text, "null");
    }

    #[test]
    fn what_is_too_long_is_cut_between_letters_and_says_so() {
        let text = cut("ä".repeat(600), 1_001);
        assert!(text.starts_with(&"ä".repeat(500)) && text.ends_with("\n[cut off here: 200 bytes more]"));
        assert_eq!(cut("abc".to_owned(), 3), "abc");
    }
}
