//! Reader of the data of Server-Sent Events (WHATWG HTML, section 9.2), out of bytes however they are cut. Pure.

/// The longest event, in bytes, unless another limit is given.
pub const MAX_EVENT: usize = 16 * 1024 * 1024;

/// Error for an event that is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of it is longer than {limit} bytes")]
pub struct TooLong {
    /// The most that an event may have, in bytes.
    pub limit: usize,
}

/// An event that has data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name; empty if it has none, which means `message`.
    pub name: String,
    /// Its lines of data, joined by line feeds.
    pub data: String,
}

impl SseEvent {
    /// Reports whether it is one of the kind that messages come in; others are for who knows them.
    pub fn is_message(&self) -> bool {
        matches!(self.name.as_str(), "" | "message")
    }
}

/// Parser that assembles the data of events. Bytes that are no UTF-8 become U+FFFD, because some models send a character
/// in two tokens.
#[derive(Debug)]
pub struct SseData {
    waiting: Vec<u8>,
    data: String,
    /// Name of the event that is being read; empty if it has none.
    name: String,
    /// Time to wait before the stream is taken up again, as it said last, in milliseconds.
    retry_ms: Option<u64>,
    /// Id of the last event that had one; `None` before it.
    last_id: Option<String>,
    limit: usize,
    /// `true` if the last byte ended a line as a carriage return: a line feed behind it belongs to it.
    after_return: bool,
    /// `true` once a line was read: only before the first may a byte order mark stand.
    has_begun: bool,
}

impl Default for SseData {
    fn default() -> SseData {
        SseData::with_limit(MAX_EVENT)
    }
}

impl SseData {
    /// Makes a parser for events of at most so many bytes.
    pub fn with_limit(limit: usize) -> SseData {
        SseData {
            waiting: Vec::new(),
            data: String::new(),
            name: String::new(),
            retry_ms: None,
            last_id: None,
            limit,
            after_return: false,
            has_begun: false,
        }
    }

    /// Returns how many bytes it has of an event that is not complete.
    pub fn unfinished(&self) -> usize {
        self.waiting.len() + self.data.len()
    }

    /// Returns the id that came last, by which the stream can be taken up again; `None` if there was none.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Returns the time to wait before the stream is taken up again, in milliseconds; `None` if it has not said.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Takes bytes; hands out the data of each event that is complete. A line ends with a line feed, a carriage return or
    /// both.
    pub fn feed<E: From<TooLong>>(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.feed_events(bytes, |whole| event(&whole.data))
    }

    /// Takes bytes as [`SseData::feed`] does; hands out each event that is complete, with its name.
    pub fn feed_events<E: From<TooLong>>(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(SseEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = if self.after_return { bytes.strip_prefix(b"\n").unwrap_or(bytes) } else { bytes };
        self.after_return &= bytes.is_empty();
        let bytes = rest;
        // The bytes that wait have no end of a line in them, however often they are added to.
        let mut searched = self.waiting.len();
        self.waiting.extend_from_slice(bytes);
        let waiting = std::mem::take(&mut self.waiting);
        let mut begin = 0;
        while let Some(length) = memchr::memchr2(b'\n', b'\r', &waiting[searched..]) {
            let end = searched + length;
            let line = &waiting[begin..end];
            begin = end + 1;
            if waiting[end] == b'\r' {
                self.after_return = begin == waiting.len();
                begin += usize::from(waiting.get(begin) == Some(&b'\n'));
            }
            searched = begin;
            if let Some(whole) = self.take_line(line) {
                // One that came in a single piece has never waited.
                if whole.data.len() > self.limit {
                    return Err(TooLong { limit: self.limit }.into());
                }
                event(whole)?;
            }
        }
        self.waiting = waiting;
        self.waiting.drain(..begin);
        let limit = self.limit;
        if self.unfinished() > limit { Err(TooLong { limit }.into()) } else { Ok(()) }
    }

    /// Takes one line without its end; returns the event that it ends, or `None` if it ends none that has data.
    fn take_line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = if is_first { without_mark(line) } else { line };
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return (!data.is_empty()).then_some(SseEvent { name, data });
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(&String::from_utf8_lossy(data.strip_prefix(b" ").unwrap_or(data)));
        } else if let Some(id) = line.strip_prefix(b"id:") {
            // One with a null character does not count (WHATWG HTML, section 9.2.6).
            let id = String::from_utf8_lossy(id.strip_prefix(b" ").unwrap_or(id));
            self.last_id = if id.contains('\0') { self.last_id.take() } else { Some(id.into_owned()) };
        } else if let Some(name) = line.strip_prefix(b"event:") {
            self.name = String::from_utf8_lossy(name.strip_prefix(b" ").unwrap_or(name)).into_owned();
        } else if let Some(ms) = line.strip_prefix(b"retry:") {
            let ms = String::from_utf8_lossy(ms);
            self.retry_ms = ms.trim().parse().ok().or(self.retry_ms);
        }
        None
    }

    /// Returns the data of an event that was not ended; `None` if there is none.
    pub fn rest(self) -> Option<String> {
        let waiting = if self.has_begun { &self.waiting[..] } else { without_mark(&self.waiting) };
        let last = String::from_utf8_lossy(waiting).into_owned();
        let mut data = self.data;
        data.push_str(last.trim_end().strip_prefix("data:").unwrap_or_default().trim_start());
        (!data.is_empty()).then_some(data)
    }
}

/// Cuts a byte order mark from the beginning of a stream.
pub fn without_mark(stream: &[u8]) -> &[u8] {
    stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the events of a text that comes in these pieces, and what is left of it.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let (mut sse, mut found) = (SseData::default(), Vec::new());
        for piece in pieces {
            let mut note = |data: &str| {
                found.push(data.to_owned());
                Ok::<(), TooLong>(())
            };
            sse.feed(piece, &mut note).expect("short");
        }
        (found, sse.rest())
    }

    fn lines() -> impl Strategy<Value = Vec<String>> {
        let line = prop_oneof![
            Just(String::new()),
            Just("data: a".to_owned()),
            Just("data:ü".to_owned()),
            Just(": comment".to_owned()),
            Just("event: ping".to_owned()),
            Just("data".to_owned()),
        ];
        prop::collection::vec(line, 0..12)
    }

    proptest! {
        #[test]
        fn lines_may_end_in_three_ways_and_be_cut_anywhere(
            lines in lines(),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n"]), 12),
            begins_with_mark: bool,
            cuts in prop::collection::vec(0usize..120, 0..6),
        ) {
            let with = |end: &str| lines.iter().map(|line| format!("{line}{end}")).collect::<String>();
            let expected = read(&[with("\n").as_bytes()]);
            prop_assert_eq!(&read(&[with("\r").as_bytes()]), &expected);
            let mixed: String = lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
            let mark = if begins_with_mark { "\u{feff}" } else { "" };
            for text in [format!("{mark}{mixed}"), with("\r")] {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
                cuts.extend([0, text.len()]);
                cuts.sort_unstable();
                let pieces: Vec<&[u8]> =
                    cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
                prop_assert_eq!(&read(&pieces), &expected);
            }
        }
    }

    #[test]
    fn there_is_an_end_to_the_length_of_an_event() {
        let mut sse = SseData::default();
        let piece = vec![b'x'; MAX_EVENT / 4];
        let fed: Vec<_> = (0..5).map(|_| sse.feed(&piece, |_| Ok::<(), TooLong>(()))).collect();
        assert_eq!((fed[3], fed[4]), (Ok(()), Err(TooLong { limit: MAX_EVENT })));
        let whole = |data: usize| format!("data: {}\n\n", "x".repeat(data));
        for (data, fed) in [(64, Ok(())), (65, Err(TooLong { limit: 64 }))] {
            let mut sse = SseData::with_limit(64);
            assert_eq!(sse.feed(whole(data).as_bytes(), |_| Ok::<(), TooLong>(())), fed, "in one piece");
        }
    }

    #[test]
    fn a_line_feed_of_its_own_after_a_cut_pair_ends_the_event() {
        let text = b"\xEF\xBB\xBFdata: a\r\n\ndata: b\r\n\r\ndata: c";
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(read(&pieces), (vec!["a".to_owned(), "b".to_owned()], Some("c".to_owned())));
        assert_eq!(read(&[b"\xEF\xBB\xBFdata: a"]), (vec![], Some("a".to_owned())));
    }

    #[test]
    fn the_last_id_is_known_also_of_events_without_data() {
        let mut sse = SseData::with_limit(64);
        assert_eq!(sse.last_id(), None);
        for (text, id) in [("id: 1-0\n\n", "1-0"), ("id:1-1\ndata: a\n\n", "1-1"), ("id: \0\n\n", "1-1")] {
            sse.feed(text.as_bytes(), |_| Ok::<(), TooLong>(())).expect("short");
            assert_eq!(sse.last_id(), Some(id), "{text}");
        }
        assert_eq!(sse.feed(&[b'x'; 65], |_| Ok::<(), TooLong>(())), Err(TooLong { limit: 64 }));
    }

    #[test]
    fn an_event_has_its_name_and_the_stream_its_time_to_wait() {
        let mut found = Vec::new();
        let mut sse = SseData::default();
        let text =
            b"retry: 250\nevent: endpoint\ndata: /m\n\ndata: x\n\nevent: lost\n\ndata: y\nretry: soon\n\n";
        let mut note = |event: SseEvent| {
            found.push((event.name, event.data));
            Ok::<(), TooLong>(())
        };
        sse.feed_events(text, &mut note).expect("short");
        let named = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        assert_eq!(found, [named("endpoint", "/m"), named("", "x"), named("", "y")]);
        assert_eq!(sse.retry_ms(), Some(250));
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
