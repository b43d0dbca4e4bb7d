//! Trace context (W3C Trace Context and Baggage; MCP 2026-07-28, basic/index): who calls may say by headers of HTTP or in
//! `_meta` which trace a request belongs to. It is passed on as it came by a gateway that makes no spans, as an
//! intermediary that makes none does not change it; one that does puts its own in the place of the parent.

use bytes::Bytes;

use super::members::{Members, push_member};
use crate::jsonrpc::push_string;
use crate::traceparent::Parent;

/// Member of `_meta`, and header, that names the trace.
pub const TRACEPARENT: &str = "traceparent";
/// Member and header with what vendors say of it.
const TRACESTATE: &str = "tracestate";
/// Member and header with what the caller wants to travel along.
const BAGGAGE: &str = "baggage";

/// Returns a member of `_meta` that is a text, of members without braces; `None` if there is none.
fn member(members: &[u8], name: &str) -> Option<String> {
    // Looked for before it is parsed: hardly any request names a trace.
    memchr::memmem::find(members, name.as_bytes())?;
    let text = format!("{{{}}}", std::str::from_utf8(members).ok()?);
    Members::read(&text)?.text(name).map(Into::into)
}

/// Returns `traceparent` and `tracestate` of the members of a `_meta`, without braces. A `tracestate` that is too long is none.
pub fn trace_of_members(members: &[u8]) -> (Option<String>, Option<String>) {
    let state = member(members, TRACESTATE).filter(|state| state.len() <= MAX_TRACESTATE);
    (member(members, TRACEPARENT), state)
}

/// Returns the members of a `_meta`, without braces, with this `traceparent` in place of any other. `is_new` says that it is of a
/// trace that begins here, which a `tracestate` that came along is not of.
pub fn with_parent(members: &Bytes, parent: &str, is_new: bool) -> Bytes {
    let mut out = Vec::with_capacity(members.len() + parent.len() + 20);
    let text = std::str::from_utf8(members).map(|text| format!("{{{text}}}")).unwrap_or_default();
    if let Some(known) = Members::read(&text) {
        known.write(&mut out, |name| name != TRACEPARENT && !(is_new && name == TRACESTATE));
    }
    let mut value = Vec::with_capacity(parent.len() + 2);
    push_string(&mut value, parent);
    push_member(&mut out, TRACEPARENT, &value);
    out.into()
}

/// Longest `tracestate`, in bytes (W3C Trace Context, section 3.3.1.5, asks for at least this).
const MAX_TRACESTATE: usize = 512;
/// Longest `baggage`, in bytes (W3C Baggage, section 3.3.2).
const MAX_BAGGAGE: usize = 8192;

/// Returns the trace context of the headers of a request; `header` finds a header. What is not as the specification has it is
/// left out, and without a good `traceparent` there is none.
pub fn of_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<TraceContext<'a>> {
    let parent = header(TRACEPARENT).map(str::trim).filter(|parent| is_parent(parent))?;
    let kept = |name: &str, most: usize| {
        let value = header(name).map(str::trim)?;
        let is_good = !value.is_empty() && value.len() <= most && value.bytes().all(is_printable);
        is_good.then_some(value)
    };
    Some(TraceContext {
        parent,
        state: kept(TRACESTATE, MAX_TRACESTATE),
        baggage: kept(BAGGAGE, MAX_BAGGAGE),
    })
}

/// Trace that a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'a> {
    parent: &'a str,
    state: Option<&'a str>,
    baggage: Option<&'a str>,
}

impl<'a> TraceContext<'a> {
    /// Writes the members of `_meta` after others, without braces.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.members() {
            let mut text = Vec::with_capacity(value.len() + 2);
            push_string(&mut text, value);
            push_member(out, name, &text);
        }
    }

    fn members(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        let members = [(TRACEPARENT, Some(self.parent)), (TRACESTATE, self.state), (BAGGAGE, self.baggage)];
        members.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Reports whether a text is a `traceparent` that is passed on: of a later version there may be more in it.
fn is_parent(text: &str) -> bool {
    text.len() <= MAX_TRACESTATE && text.bytes().all(is_printable) && Parent::read(text).is_some()
}

fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(headers: &[(&str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        let find = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        of_headers(find).map(|context| context.members().collect()).unwrap_or_default()
    }

    #[test]
    fn a_good_context_is_passed_on_as_it_came() {
        let all = [(TRACEPARENT, PARENT), (TRACESTATE, "a=1,b=2"), (BAGGAGE, "user=7")];
        assert_eq!(of(&all), all);
        let newer = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
        assert_eq!(of(&[(TRACEPARENT, newer)]), [(TRACEPARENT, newer)]);
    }

    #[test]
    fn a_span_of_ours_takes_the_place_of_the_parent_and_of_nothing_else() {
        let members = Bytes::from_static(br#""a/b":[1],"traceparent":"old","tracestate":"x=1""#);
        assert_eq!(trace_of_members(&members), (Some("old".into()), Some("x=1".into())));
        let ours = with_parent(&members, PARENT, false);
        assert_eq!(ours, format!(r#""a/b":[1],"tracestate":"x=1","traceparent":"{PARENT}""#));
        assert_eq!(with_parent(&members, PARENT, true), format!(r#""a/b":[1],"traceparent":"{PARENT}""#));
        assert_eq!(with_parent(&Bytes::new(), PARENT, true), format!(r#""traceparent":"{PARENT}""#));
        let long = format!(r#""tracestate":"a={}""#, "x".repeat(600));
        assert_eq!(trace_of_members(long.as_bytes()), (None, None));
        assert_eq!(trace_of_members(br#""a":{"traceparent":"inner"}"#), (None, None));
    }

    #[test]
    fn what_is_no_context_is_left_out_and_nothing_goes_without_a_parent() {
        assert!(of(&[(TRACESTATE, "a=1"), (BAGGAGE, "b=2")]).is_empty());
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(of(&[(TRACEPARENT, bad)]).is_empty(), "{bad}");
        }
        assert_eq!(of(&[(TRACEPARENT, PARENT), (TRACESTATE, "a=\u{e9}")]), [(TRACEPARENT, PARENT)]);
    }
}
