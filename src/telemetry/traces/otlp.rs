//! Spans as OTLP has them in protobuf (opentelemetry-proto 1.x, `ExportTraceServiceRequest`). Pure. The few messages that a
//! span takes are written field by field: the numbers behind the fields are fixed for ever.

use std::time::{Duration, SystemTime};

use super::nanoseconds;

/// Kind of a span, by its number in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Name(&'static str),
    Number(i64),
}

/// A part of a call, which gets a span of its own below that of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name; empty for that of the call, which is the child's part.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Time from the begin of the call.
    pub(super) after: Duration,
    /// `None` until it ends.
    pub(super) took: Option<Duration>,
    /// Outcome that is an error; `None` for any other.
    pub(super) error: Option<&'static str>,
    pub(super) attributes: Vec<(&'static str, Value)>,
}

impl Part {
    /// Ends it, so long after the begin of the call.
    pub(super) fn end(&mut self, now: Duration, error: Option<&'static str>) {
        self.took = Some(now.saturating_sub(self.after));
        self.error = error;
    }
}

/// Attributes of a call that the span of the child's part has as well.
const OF_CHILD: [&str; 4] =
    ["mcp.method.name", "gen_ai.operation.name", "gen_ai.tool.name", "mcpvisor.server"];

/// All spans of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallSpans {
    pub(super) trace_id: [u8; 16],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) state: Option<String>,
    /// Id of the call's span.
    pub(super) id: [u8; 8],
    /// Id of the span of the child's part, which the child was told.
    pub(super) child_id: [u8; 8],
    pub(super) name: String,
    pub(super) begun: SystemTime,
    pub(super) took: Duration,
    pub(super) error: Option<&'static str>,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) parts: Vec<Part>,
}

impl CallSpans {
    /// Returns the number of its spans.
    pub(super) fn count(&self) -> u64 {
        1 + self.parts.len() as u64
    }
}

/// Returns the request that exports these calls' spans, of a daemon with this resource.
pub(super) fn request(resource: &[(String, String)], calls: &[CallSpans]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 * (1 + calls.len()));
    message(&mut out, 1, |of_resource| {
        message(of_resource, 1, |attributes| {
            for (name, value) in resource {
                message(attributes, 1, |out| text_attribute(out, name, value));
            }
        });
        message(of_resource, 2, |of_scope| {
            message(of_scope, 1, |scope| {
                text(scope, 1, "mcpvisor");
                text(scope, 2, env!("CARGO_PKG_VERSION"));
            });
            for call in calls {
                message(of_scope, 2, |out| span_of_call(out, call));
                for (number, part) in call.parts.iter().enumerate() {
                    message(of_scope, 2, |out| span_of_part(out, call, part, number));
                }
            }
        });
    });
    out
}

/// Returns how many spans an answer says that its collector has rejected (`ExportTraceServiceResponse`: a message with the
/// number as its first field). Anything that cannot be read has rejected none.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let read = || {
        let [0x0a, rest @ ..] = answer else { return None };
        let (length, rest) = read_varint(rest)?;
        let [0x08, rest @ ..] = rest.get(..usize::try_from(length).ok()?)? else { return None };
        Some(read_varint(rest)?.0)
    };
    read().unwrap_or(0)
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let digits = bytes[..=end].iter().rev();
    Some((digits.fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)), &bytes[end + 1..]))
}

fn span_of_call(out: &mut Vec<u8>, call: &CallSpans) {
    head(out, call, call.id, call.parent.as_ref());
    text(out, 5, &call.name);
    times(out, Kind::Server, call.begun, call.took);
    for (name, value) in &call.attributes {
        message(out, 9, |out| attribute(out, name, value));
    }
    status(out, call.error);
}

fn span_of_part(out: &mut Vec<u8>, call: &CallSpans, part: &Part, number: usize) {
    // The child knows its own by this id. A call that went to a second child has two such parts, and the last is the one.
    let is_last = call.parts[number + 1..].iter().all(|later| later.kind != Kind::Client);
    let id = match part.kind {
        Kind::Client if is_last => call.child_id,
        _ => derived(call.id, number),
    };
    head(out, call, id, Some(&call.id));
    text(out, 5, if part.name.is_empty() { &call.name } else { part.name });
    times(out, part.kind, call.begun + part.after, part.took.unwrap_or_default());
    let of_call = call.attributes.iter().filter(|(name, _)| OF_CHILD.contains(name));
    for (name, value) in of_call.filter(|_| part.kind == Kind::Client).chain(&part.attributes) {
        message(out, 9, |out| attribute(out, name, value));
    }
    status(out, part.error);
}

/// Returns an id that is as unique as the one that it is made of.
fn derived(id: [u8; 8], number: usize) -> [u8; 8] {
    let mixed = u64::from_be_bytes(id) ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // All zeros are no id.
    mixed.max(1).to_be_bytes()
}

fn head(out: &mut Vec<u8>, call: &CallSpans, id: [u8; 8], parent: Option<&[u8; 8]>) {
    bytes(out, 1, &call.trace_id);
    bytes(out, 2, &id);
    if let Some(state) = &call.state {
        text(out, 3, state);
    }
    if let Some(parent) = parent {
        bytes(out, 4, parent);
    }
}

fn times(out: &mut Vec<u8>, kind: Kind, begun: SystemTime, took: Duration) {
    key(out, 6, 0);
    varint(out, kind as u64);
    let begun = nanoseconds(begun);
    fixed64(out, 7, begun);
    fixed64(out, 8, begun.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)));
}

fn status(out: &mut Vec<u8>, error: Option<&'static str>) {
    let Some(error) = error else { return };
    message(out, 9, |out| text_attribute(out, "error.type", error));
    message(out, 15, |status| {
        text(status, 2, error);
        key(status, 3, 0);
        varint(status, 2);
    });
}

fn attribute(out: &mut Vec<u8>, name: &str, value: &Value) {
    match value {
        Value::Text(text) => text_attribute(out, name, text),
        Value::Name(text) => text_attribute(out, name, text),
        Value::Number(number) => {
            text(out, 1, name);
            message(out, 2, |any| {
                key(any, 3, 0);
                // As protobuf has negative numbers: all bits of the two's complement.
                varint(any, number.cast_unsigned());
            });
        }
    }
}

fn text_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    text(out, 1, name);
    message(out, 2, |any| text(any, 1, value));
}

/// Writes a field that is a message, or anything else with a length.
fn message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, field, &inner);
}

fn text(out: &mut Vec<u8>, field: u64, text: &str) {
    bytes(out, field, text.as_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn fixed64(out: &mut Vec<u8>, field: u64, number: u64) {
    key(out, field, 1);
    out.extend_from_slice(&number.to_le_bytes());
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads the fields of a message: number, and what is in it.
    fn fields(mut text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn number(text: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = text[0];
                *text = &text[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut found = Vec::new();
        while !text.is_empty() {
            let key = number(&mut text);
            let length = match key & 7 {
                0 => {
                    found.push((key >> 3, number(&mut text).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                _ => usize::try_from(number(&mut text)).expect("short"),
            };
            found.push((key >> 3, text[..length].to_vec()));
            text = &text[length..];
        }
        found
    }

    fn of(fields: &[(u64, Vec<u8>)], number: u64) -> Vec<Vec<u8>> {
        fields.iter().filter(|(known, _)| *known == number).map(|(_, value)| value.clone()).collect()
    }

    #[test]
    fn an_answer_tells_how_many_spans_were_rejected() {
        assert_eq!(rejected(b""), 0);
        assert_eq!(rejected(&[0x0a, 0x03, 0x08, 0xac, 0x02]), 300);
        assert_eq!(rejected(&[0x0a, 0x06, 0x08, 0x02, 0x12, 0x02, b'n', b'o']), 2);
        for strange in [&[0x0a][..], &[0x0a, 0x7f, 0x08, 1], &[0x0a, 0x02, 0x08, 0x80], b"{}", b"<html>"] {
            assert_eq!(rejected(strange), 0, "{strange:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(answer: Vec<u8>) {
            let _ = rejected(&answer);
        }
    }

    /// What others make of it is tried by `make traces`.
    #[test]
    fn a_call_is_a_span_with_its_parts_below_it_on_one_trace() {
        let part = |name, kind| Part {
            name,
            kind,
            after: Duration::from_secs(1),
            took: Some(Duration::from_secs(2)),
            error: None,
            attributes: vec![("mcpvisor.child", Value::Number(300))],
        };
        let call = CallSpans {
            trace_id: [7; 16],
            parent: Some([6; 8]),
            state: Some("a=1".into()),
            id: [5; 8],
            child_id: [4; 8],
            name: "tools/call echo".into(),
            begun: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
            took: Duration::from_secs(300),
            error: Some("timed_out"),
            attributes: vec![("mcp.method.name", Value::Name("tools/call"))],
            parts: vec![part("queue", Kind::Internal), part("", Kind::Client)],
        };
        let sent = request(&[("service.name".into(), "s".repeat(300))], &[call]);
        let scope = of(&fields(&of(&fields(&sent), 1)[0]), 2).remove(0);
        let spans: Vec<_> = of(&fields(&scope), 2).iter().map(|span| fields(span)).collect();
        assert_eq!(spans.len(), 3);
        assert!(spans.iter().all(|span| of(span, 1) == [vec![7; 16]] && of(span, 3) == [b"a=1".to_vec()]));
        let ids: Vec<_> = spans.iter().map(|span| of(span, 2).remove(0)).collect();
        let parents: Vec<_> = spans.iter().map(|span| of(span, 4).remove(0)).collect();
        assert_eq!(parents, [vec![6; 8], vec![5; 8], vec![5; 8]]);
        assert_eq!((&ids[0], &ids[2]), (&vec![5; 8], &vec![4; 8]));
        assert!(ids[1] != ids[0] && ids[1] != ids[2]);
        assert_eq!(of(&spans[0], 7), [100_000_000_000_u64.to_le_bytes().to_vec()]);
        assert_eq!(of(&spans[2], 8), [103_000_000_000_u64.to_le_bytes().to_vec()]);
        assert_eq!(of(&fields(&of(&spans[0], 15)[0]), 2), [b"timed_out".to_vec()]);
        assert_eq!(of(&spans[1], 15).len(), 0);
        let names: Vec<_> = spans.iter().map(|span| of(span, 5).remove(0)).collect();
        assert_eq!(names, [&b"tools/call echo"[..], b"queue", b"tools/call echo"]);
        // The child's part says of what it is, too, and numbers are numbers.
        let told = of(&spans[2], 9);
        assert_eq!(of(&fields(&told[0]), 1), [b"mcp.method.name".to_vec()]);
        let number = of(&fields(&told[1]), 2).remove(0);
        assert_eq!(of(&fields(&number), 3), [300_u64.to_le_bytes().to_vec()]);
    }
}
