//! The `traceparent` of W3C Trace Context (section 3.2), version 00, read and written.

use crate::text::{from_hex, hex};

/// Trace and span that a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Id of the trace, not all zeros.
    pub trace_id: [u8; 16],
    /// Id of the span, not all zeros.
    pub span_id: [u8; 8],
    /// `true` if whoever made the span records it.
    pub is_sampled: bool,
}

impl Parent {
    /// Reads a `traceparent` of this version or a later one; `None` for what is none.
    pub fn read(text: &str) -> Option<Parent> {
        let mut parts = text.split('-');
        let version: [u8; 1] = bytes(parts.next()?)?;
        let (trace_id, span_id) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        let [flags]: [u8; 1] = bytes(parts.next()?)?;
        let is_over = parts.next().is_none();
        let is_good =
            version != [0xff] && (version != [0] || is_over) && trace_id != [0; 16] && span_id != [0; 8];
        is_good.then_some(Parent { trace_id, span_id, is_sampled: flags & 1 == 1 })
    }
}

/// Returns the `traceparent` of a span that is recorded.
pub fn traceparent(trace_id: [u8; 16], span_id: [u8; 8]) -> String {
    format!("00-{}-{}-01", hex(&trace_id), hex(&span_id))
}

/// Reads exactly so many bytes of hexadecimal digits, which must be in lower case here.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_hex(text).filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_traceparent_is_not_read() {
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::read(bad), None, "{bad}");
        }
        assert!(Parent::read("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more").is_some());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace_id: [u8; 16], span_id: [u8; 8]) {
            prop_assume!(trace_id != [0; 16] && span_id != [0; 8]);
            let read = Parent::read(&traceparent(trace_id, span_id));
            prop_assert_eq!(read, Some(Parent { trace_id, span_id, is_sampled: true }));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,80}") {
            let _ = Parent::read(&text);
        }
    }
}
