//! Reader of the data of Server-Sent Events (WHATWG HTML, section 9.2), out of bytes however they are cut. Pure.

/// The longest event, in bytes.
pub(super) const MAX_EVENT: usize = 16 * 1024 * 1024;

/// Error for an event that is longer than 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of it is longer than {MAX_EVENT} bytes")]
pub struct TooLong;

/// Parser that assembles the data of events. Their names and ids are ignored.
#[derive(Debug, Default)]
pub struct SseData {
    waiting: Vec<u8>,
    data: String,
}

impl SseData {
    /// Takes bytes; hands out the data of each event that is complete.
    pub fn feed<E: From<TooLong>>(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        // The bytes that wait have no end of a line in them, however often they are added to.
        let mut searched = self.waiting.len();
        self.waiting.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.waiting[searched..]) {
            let line = &self.waiting[begin..searched + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            begin = searched + length + 1;
            searched = begin;
            if line.is_empty() {
                if !self.data.is_empty() {
                    event(&std::mem::take(&mut self.data))?;
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(&String::from_utf8_lossy(data.strip_prefix(b" ").unwrap_or(data)));
            }
        }
        self.waiting.drain(..begin);
        if self.waiting.len() + self.data.len() > MAX_EVENT { Err(TooLong.into()) } else { Ok(()) }
    }

    /// Returns the data of an event that was not ended; `None` if there is none.
    pub fn rest(self) -> Option<String> {
        let last = String::from_utf8_lossy(&self.waiting).into_owned();
        let mut data = self.data;
        data.push_str(last.trim_end().strip_prefix("data:").unwrap_or_default().trim_start());
        (!data.is_empty()).then_some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_the_length_of_an_event() {
        let mut sse = SseData::default();
        let piece = vec![b'x'; MAX_EVENT / 4];
        let fed: Vec<_> = (0..5).map(|_| sse.feed(&piece, |_| Ok::<(), TooLong>(()))).collect();
        assert_eq!((fed[3], fed[4]), (Ok(()), Err(TooLong)));
    }

    #[test]
    fn lines_of_one_event_are_one_text() {
        let mut found = Vec::new();
        let text = b"event: a\nid: 1\ndata: one\r\ndata:two\r\n\r\n: comment\n\ndata: three";
        let mut sse = SseData::default();
        let mut note = |data: &str| {
            found.push(data.to_owned());
            Ok::<(), TooLong>(())
        };
        sse.feed(text, &mut note).expect("short");
        assert_eq!((found, sse.rest()), (vec!["one\ntwo".to_owned()], Some("three".to_owned())));
    }
}
