//! Parts of a tool's entry beside its definition: `_meta`, and in it the audience of the tool.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::result::object;

/// Returns the `_meta` of an entry, raw JSON; `None` if it is missing or `null`.
pub fn tool_meta(entry: &RawValue) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow, default, rename = "_meta")]
        meta: Option<&'a RawValue>,
    }
    object::<Entry<'_>>(entry.get().as_bytes())?.meta
}

/// Reports whether a tool may be shown to a model. Tools that are only for an app's own use may not: their
/// `_meta.ui.visibility` is a list that names others and no `model` (MCP Apps,
/// `io.modelcontextprotocol/ui`). Any other value there is ignored.
pub fn is_for_models(entry: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Meta {
        ui: Ui,
    }
    #[derive(Deserialize)]
    struct Ui {
        visibility: Vec<String>,
    }
    match tool_meta(entry).and_then(|meta| object::<Meta>(meta.get().as_bytes())) {
        Some(Meta { ui: Ui { visibility } }) => {
            visibility.is_empty() || visibility.iter().any(|whom| whom == "model")
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    #[test]
    fn only_tools_that_are_for_apps_alone_are_not_for_models() {
        for (meta, is_for_models_too) in [
            (r#"{"ui":{"visibility":["app"]}}"#, false),
            (r#"{"x":1,"ui":{"resourceUri":"ui://a","visibility":["app","app"]}}"#, false),
            (r#"{"ui":{"visibility":["model","app"]}}"#, true),
            (r#"{"ui":{"visibility":["model"]}}"#, true),
            (r#"{"ui":{"visibility":[]}}"#, true),
            (r#"{"ui":{"visibility":"app"}}"#, true),
            (r#"{"ui":{}}"#, true),
            (r#"{"ui":null}"#, true),
            ("{}", true),
            ("null", true),
            (r#"["app"]"#, true),
        ] {
            let entry = raw(&format!(r#"{{"name":"t","_meta":{meta}}}"#));
            assert_eq!(is_for_models(&entry), is_for_models_too, "{meta}");
        }
        assert!(is_for_models(&raw(r#"{"name":"t"}"#)));
    }

    #[test]
    fn meta_is_told_as_it_was_written() {
        let entry = raw(r#"{"name":"t","_meta":{ "a" : 1.0 }}"#);
        assert_eq!(tool_meta(&entry).map(RawValue::get), Some(r#"{ "a" : 1.0 }"#));
        for without in [r#"{"name":"t"}"#, r#"{"_meta":null}"#, "[1]", "7"] {
            assert_eq!(tool_meta(&raw(without)).map(RawValue::get), None, "{without}");
        }
    }
}
