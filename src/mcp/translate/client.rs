//! What a client says of itself, once in a session or with each request, and what a server may ask it.

use std::borrow::Cow;

use bytes::Bytes;

use super::members::Members;
use crate::jsonrpc::{Raw, one_line};

/// Longest capabilities or info of a client, in bytes.
const MAX_CLIENT: usize = 64 * 1024;

/// Name, version and capabilities of a client, as it sent them.
#[derive(Debug, Clone)]
pub struct Client {
    /// `clientInfo`, a raw JSON object on one line; `None` if it sent none.
    pub info: Option<Bytes>,
    /// `clientCapabilities`, a raw JSON object on one line.
    pub capabilities: Bytes,
    /// What of the capabilities concerns requests of a server.
    pub abilities: Abilities,
}

/// Requests of a server that a client can answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// `elicitation/create` with a form.
    pub form: bool,
    /// `elicitation/create` with an address to open.
    pub url: bool,
    /// `sampling/createMessage`.
    pub sampling: bool,
    /// `sampling/createMessage` with tools.
    pub sampling_tools: bool,
    /// `roots/list`.
    pub roots: bool,
}

/// Methods that a server may ask of a client.
pub mod asked {
    /// Request for input of the user.
    pub const ELICIT: &str = "elicitation/create";
    /// Request for a completion by the client's model.
    pub const SAMPLE: &str = "sampling/createMessage";
    /// Request for the client's roots.
    pub const ROOTS: &str = "roots/list";
}

impl Client {
    /// Reads a client; `None` if the capabilities or the info are no objects, or are longer than 64 KiB.
    pub fn read(info: Option<Raw<'_>>, capabilities: Raw<'_>) -> Option<Client> {
        Client::read_by(info, capabilities, |part| Bytes::copy_from_slice(part.as_bytes()))
    }

    /// Reads a client as [`Client::read`] does; `keep` makes what is kept of its text.
    pub fn read_by<'a>(
        info: Option<Raw<'a>>,
        capabilities: Raw<'a>,
        keep: impl Fn(&'a str) -> Bytes,
    ) -> Option<Client> {
        let is_long = |raw: Raw<'_>| raw.get().len() > MAX_CLIENT;
        if is_long(capabilities) || info.is_some_and(is_long) {
            return None;
        }
        let abilities = Abilities::read(capabilities)?;
        if info.is_some_and(|info| !info.get().starts_with('{')) {
            return None;
        }
        let kept = |raw: Raw<'a>| match one_line(raw.get().as_bytes()) {
            Cow::Borrowed(_) => keep(raw.get()),
            Cow::Owned(line) => line.into(),
        };
        Some(Client { info: info.map(kept), capabilities: kept(capabilities), abilities })
    }
}

impl Client {
    /// Returns a client of which no more is known than what it can be asked.
    pub fn with_abilities(abilities: Abilities) -> Client {
        let Abilities { form, url, sampling, sampling_tools, roots } = abilities;
        let mode = |is: bool, name: &str| if is { format!("\"{name}\":{{}}") } else { String::new() };
        let joined = |parts: [String; 2]| parts.map(|part| part).join(",").trim_matches(',').to_owned();
        let elicitation = joined([mode(form, "form"), mode(url, "url")]);
        let parts = [
            (form || url).then(|| format!("\"elicitation\":{{{elicitation}}}")),
            sampling.then(|| format!("\"sampling\":{{{}}}", mode(sampling_tools, "tools"))),
            roots.then(|| "\"roots\":{}".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Client { info: None, capabilities: format!("{{{}}}", parts.join(",")).into(), abilities }
    }
}

impl Abilities {
    /// Reads the capabilities of a client; `None` if they are no object. An elicitation capability without modes stands
    /// for forms (spec 2025-11-25, client/elicitation).
    pub fn read(capabilities: Raw<'_>) -> Option<Abilities> {
        let known = Members::read(capabilities.get())?;
        let elicitation = known.object("elicitation");
        let mode = |name: &str| elicitation.as_ref().is_some_and(|modes| modes.get(name).is_some());
        let sampling = known.object("sampling");
        Some(Abilities {
            form: elicitation.is_some() && (mode("form") || !mode("url")),
            url: mode("url"),
            sampling: sampling.is_some(),
            sampling_tools: sampling.is_some_and(|sampling| sampling.get("tools").is_some()),
            roots: known.get("roots").is_some(),
        })
    }

    /// Returns the capabilities that a request of this method needs and the client lacks, as the JSON object of
    /// `data.requiredCapabilities` (spec 2026-07-28, basic/index); `None` if it lacks none. What a server may not ask
    /// of any client needs a capability that none has.
    pub fn lacks(&self, method: &str, params: Option<&Members<'_>>) -> Option<&'static str> {
        let has_tools = || params.is_some_and(|params| params.get("tools").is_some());
        match method {
            asked::ELICIT if params.and_then(|params| params.text("mode")).as_deref() == Some("url") => {
                (!self.url).then_some(r#"{"elicitation":{"url":{}}}"#)
            }
            asked::ELICIT => (!self.form).then_some(r#"{"elicitation":{"form":{}}}"#),
            asked::SAMPLE if has_tools() => (!self.sampling_tools).then_some(r#"{"sampling":{"tools":{}}}"#),
            asked::SAMPLE => (!self.sampling).then_some(r#"{"sampling":{}}"#),
            asked::ROOTS => (!self.roots).then_some(r#"{"roots":{}}"#),
            _ => Some("{}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(capabilities: &str) -> Abilities {
        let raw: Raw<'_> = serde_json::from_str(capabilities).expect("JSON");
        Abilities::read(raw).expect("an object")
    }

    #[test]
    fn an_elicitation_capability_without_modes_stands_for_forms() {
        let none = Abilities::default();
        assert_eq!(of("{}"), none);
        assert_eq!(of(r#"{"elicitation":{}}"#), Abilities { form: true, ..none });
        assert_eq!(of(r#"{"elicitation":{"url":{}}}"#), Abilities { url: true, ..none });
        let both = Abilities { form: true, url: true, ..none };
        assert_eq!(of(r#"{"elicitation":{"form":{},"url":{}}}"#), both);
        let tools = Abilities { sampling: true, sampling_tools: true, roots: true, ..none };
        assert_eq!(of(r#"{"sampling":{"tools":{}},"roots":{"listChanged":true}}"#), tools);
    }

    #[test]
    fn a_client_of_which_little_is_known_declares_what_it_can_be_asked() {
        for capabilities in [
            "{}",
            r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#,
            r#"{"elicitation":{"url":{}}}"#,
            r#"{"elicitation":{"form":{}},"sampling":{}}"#,
        ] {
            let client = Client::with_abilities(of(capabilities));
            assert_eq!(client.capabilities, capabilities);
        }
    }

    #[test]
    fn what_a_client_lacks_is_named_as_it_would_have_declared_it() {
        let (nothing, form) = (Abilities::default(), of(r#"{"elicitation":{}}"#));
        let url = Members::read(r#"{"mode":"url"}"#).expect("an object");
        assert_eq!(form.lacks(asked::ELICIT, None), None);
        assert_eq!(form.lacks(asked::ELICIT, Some(&url)), Some(r#"{"elicitation":{"url":{}}}"#));
        assert_eq!(nothing.lacks(asked::SAMPLE, None), Some(r#"{"sampling":{}}"#));
        assert_eq!(nothing.lacks("tools/list", None), Some("{}"), "no server may ask that");
    }
}
