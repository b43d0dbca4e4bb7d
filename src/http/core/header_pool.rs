//! Header values that differ in every answer, cut from a block of memory that many share.

use std::cell::RefCell;

use axum::http::HeaderValue;
use bytes::{Bytes, BytesMut};

/// Size of a block, in bytes. It lives as long as the last value cut from it.
const BLOCK: usize = 4096;

thread_local! {
    static REST: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Returns a header value of this text; `None` if a header cannot have it.
pub(in crate::http) fn value(text: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(cut(text)).ok()
}

/// Returns a header value of this number.
pub(in crate::http) fn number(mut number: u32) -> HeaderValue {
    let mut digits = *b"0000000000";
    let mut begin = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        begin -= 1;
        if number == 0 {
            break;
        }
    }
    value(&digits[begin..]).unwrap_or(HeaderValue::from_static("0"))
}

fn cut(text: &[u8]) -> Bytes {
    REST.with_borrow_mut(|rest| {
        if rest.capacity() < text.len() {
            rest.reserve(BLOCK.max(text.len()));
        }
        rest.extend_from_slice(text);
        rest.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_elsewhere() {
        for given in [0, 7, 10, 999_999, u32::MAX] {
            assert_eq!(number(given), HeaderValue::from(given));
        }
    }

    #[test]
    fn values_stay_what_they_are_beyond_the_end_of_a_block() {
        let values: Vec<_> = (0..2_000).map(number).collect();
        for (given, value) in (0_u32..).zip(values) {
            assert_eq!(value, HeaderValue::from(given));
        }
        let long = vec![b'x'; 3 * BLOCK];
        assert_eq!(value(&long).expect("a value").as_bytes(), long);
        assert!(value(b"a\r\nb").is_none());
    }
}
