//! Recovery of messages from a line that is not a message as it stands. Servers print other text beside
//! their answers, write numbers that JSON does not have, and text that is not UTF-8. Only such lines come
//! here.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::message::{Incoming, classify};
use super::too_long::id_of_answer;

/// Maximum number of places in a line that are tried as the beginning of a message.
const MAX_BEGINNINGS: usize = 8;
/// Maximum distance of such a place from the line's beginning, in bytes.
const MAX_PREFIX: usize = 8 * 1024;
/// Maximum number of messages taken from one line.
const MAX_MESSAGES: usize = 1_024;

/// Content recovered from a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// Messages in the order of the line.
    Messages(Vec<Incoming>),
    /// An answer to this request of ours that cannot be read.
    Unreadable {
        /// The id we gave the request.
        id: u64,
        /// Fault of the answer, worded to follow "its answer".
        reason: String,
    },
    /// Nothing that could be meant for us.
    Noise,
}

/// Recovers the content of a line that [`classify`] takes for noise: a batch, a message with other text
/// before or behind it, one with bytes that are not UTF-8 (each such place becomes U+FFFD), and last the id
/// of an answer that cannot be read.
pub fn mend(line: &Bytes) -> Mended {
    let line = match std::str::from_utf8(line) {
        Ok(_) => line.clone(),
        Err(_) => Bytes::from(String::from_utf8_lossy(line).into_owned().into_bytes()),
    };
    if serde_json::from_slice::<IgnoredAny>(&line).is_ok() {
        // Valid JSON is taken as a whole: nothing is cut out of the middle of it.
        let messages = batch(&line).unwrap_or_else(|| vec![classify(&line)]);
        let messages: Vec<_> = messages.into_iter().filter(|message| *message != Incoming::Noise).collect();
        return if messages.is_empty() { Mended::Noise } else { Mended::Messages(messages) };
    }
    let (mut messages, mut unreadable) = (Vec::new(), None);
    for begin in beginnings(&line) {
        let rest = line.slice(begin..);
        messages = messages_in(&rest);
        if !messages.is_empty() {
            break;
        }
        unreadable = unreadable.or_else(|| unreadable_answer(&rest));
    }
    match (messages.is_empty(), unreadable) {
        (false, _) => Mended::Messages(messages),
        (true, Some((id, reason))) => Mended::Unreadable { id, reason },
        (true, None) => Mended::Noise,
    }
}

/// Returns the parts of a batch (spec 2025-03-26, basic); `None` if the line is no array. Clients of that
/// revision must accept batches.
fn batch(line: &Bytes) -> Option<Vec<Incoming>> {
    let items = serde_json::from_slice::<Vec<&RawValue>>(line).ok()?;
    let messages = items.into_iter().take(MAX_MESSAGES);
    Some(messages.map(|item| classify(&line.slice_ref(item.get().as_bytes()))).collect())
}

/// Returns the places where an object with members may begin.
fn beginnings(line: &[u8]) -> impl Iterator<Item = usize> {
    let found = memchr::memchr_iter(b'{', &line[..line.len().min(MAX_PREFIX)]);
    found.filter(|at| line[at + 1..].trim_ascii_start().starts_with(b"\"")).take(MAX_BEGINNINGS)
}

/// Returns the messages at the beginning of a text, one after the other, up to the first value that is
/// none.
fn messages_in(text: &Bytes) -> Vec<Incoming> {
    let values = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
    let messages = values.map_while(Result::ok).map(|raw| classify(&text.slice_ref(raw.get().as_bytes())));
    messages.take_while(is_from_a_server).take(MAX_MESSAGES).collect()
}

/// Reports whether a message is one that a server sends. A server that prints its input shows us our own
/// requests.
fn is_from_a_server(message: &Incoming) -> bool {
    match message {
        Incoming::Response { .. } => true,
        Incoming::Request { method, .. } => {
            ["ping", "roots/", "sampling/", "elicitation/"].iter().any(|known| method.starts_with(known))
        }
        Incoming::Notification { method, .. } => method.starts_with("notifications/"),
        Incoming::Noise => false,
    }
}

/// Returns the id of our request that this invalid JSON text answers, and the fault with its place; `None`
/// if it is valid or shows no such id.
fn unreadable_answer(text: &[u8]) -> Option<(u64, String)> {
    let error = serde_json::from_slice::<IgnoredAny>(text).err()?;
    let id = id_of_answer(text, text)?;
    let said = error.to_string();
    // The text is one line, so its columns are its bytes.
    let what = said.split(" at line ").next().unwrap_or_default();
    Some((id, format!("it is not valid JSON: {what} at byte {}", error.column())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mended(line: impl AsRef<[u8]>) -> Mended {
        mend(&Bytes::copy_from_slice(line.as_ref()))
    }

    fn answer(id: u64, result: &str) -> Incoming {
        Incoming::Response { id, outcome: Ok(Bytes::copy_from_slice(result.as_bytes())) }
    }

    #[test]
    fn what_was_printed_on_the_same_line_as_an_answer_is_cut_off() {
        let answered = Mended::Messages(vec![answer(7, "{\"a\":1}")]);
        for line in [
            r#"Done. {"jsonrpc":"2.0","id":7,"result":{"a":1}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}} took 3 ms"#,
            r#"[{"jsonrpc":"2.0","id":7,"result":{"a":1}}]"#,
            "\u{1b}[32m 100% |####| {x} {\"result\":{\"a\":1},\"id\":7}\u{1b}[0m",
            "\u{feff}{\"id\":7,\"result\":{\"a\":1}}",
            r#"answering {"level":"info"} {"id":"7","result":{"a":1}}"#,
        ] {
            assert_eq!(mended(line), answered, "{line}");
        }
        let two = r#"{"id":1,"result":1}{"id":2,"result":2} {"id":3,"res"#;
        assert_eq!(mended(two), Mended::Messages(vec![answer(1, "1"), answer(2, "2")]));
    }

    #[test]
    fn bytes_that_are_not_utf8_become_replacement_characters() {
        let line = b"{\"id\":7,\"result\":\"caf\xe9 \xff\"}";
        assert_eq!(mended(line), Mended::Messages(vec![answer(7, "\"caf\u{fffd} \u{fffd}\"")]));
    }

    #[test]
    fn an_answer_that_nobody_can_read_names_its_request_and_where_it_breaks_off() {
        for (line, reason) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"a":NaN}}"#, "expected value at byte 39"),
            (r#"{"result":{"a":-Infinity},"jsonrpc":"2.0","id":7}"#, "invalid number at byte"),
            (r#"{"result":[1,],"id":7,"jsonrpc":"2.0"}"#, "expected value at byte 14"),
            (r#"log: {"id":7,"result":{"text":"cut o"#, "EOF while parsing a string at byte"),
            ("{\"id\":7,\"error\":{\"code\":1,\"message\":\"\u{7}\"}}", "control character"),
            (r#"{"result":{"a":NaN},"id":"7"}"#, "expected value at byte"),
        ] {
            let Mended::Unreadable { id: 7, reason: said } = mended(line) else { panic!("{line}") };
            assert!(said.contains(reason), "{said:?} for {line}");
        }
    }

    #[test]
    fn what_a_server_prints_of_our_own_and_of_its_work_is_noise() {
        for line in [
            r#"got {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"}}"#,
            r#"got {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":NaN}}"#,
            r#"{"level":"info","msg":"id","id":7}"#,
            r#"{"level":"info","id":7,"msg":NaN}"#,
            "[1,2,{}]",
            r#"[[{"jsonrpc":"2.0","id":7,"result":1}]]"#,
            r#"{"seen":{"jsonrpc":"2.0","id":7,"result":1}}"#,
            "[{\"id\":7,\"result\":1}",
            "listening {on} port {\"3000\"}",
            "",
        ] {
            let seen = mended(line);
            let is_nothing = matches!(&seen, Mended::Noise)
                || line.starts_with("[{") && matches!(&seen, Mended::Messages(one) if one.len() == 1);
            assert!(is_nothing, "{line}: {seen:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            mended(bytes);
        }

        /// A message is found whatever text without a brace stands around it.
        #[test]
        fn a_message_is_found_among_anything_else(
            before in "[^{\\[]{0,60}", behind in "[^{}\\[\\]\"0-9]{0,60}", id in 1u64..1 << 31, text in "\\PC{0,30}",
        ) {
            let result = serde_json::to_string(&text).unwrap();
            let line = format!("{before}{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}{behind}");
            // Nobody sees the blanks around a line: framing has taken them off.
            prop_assert_eq!(mended(line.trim_ascii()), Mended::Messages(vec![answer(id, &result)]));
        }
    }
}
