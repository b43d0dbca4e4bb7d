//! The export of activity, as lines of JSON or as comma-separated values, piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;

use super::calls::{Item, item};
use crate::gateway::{ActivityReader, Error};
use crate::http::core::streams::StreamPermit;
use crate::text::visible;

/// Number of calls in a piece of an export.
const PIECE: usize = 256;
/// Number of steps of a search that finds nothing, after which others have their turn.
const STEPS: usize = 16;
/// Head of an export as comma-separated values.
const HEAD: &str = "number,started_at,duration_ms,dialect,kind,mcp_id,mcp_name,tool,outcome,reached,member_id,key_id,\
                    key_name,request_id\r\n";

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// Lines of JSON.
    Lines,
}

impl Form {
    /// Returns the type of the content.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Csv => "text/csv",
            Form::Lines => "application/x-ndjson",
        }
    }

    fn push(self, out: &mut String, item: &Item<'_>) {
        match self {
            Form::Csv => push_values(out, item),
            Form::Lines => {
                // Only plain values: this cannot fail.
                *out += &serde_json::to_string(item).unwrap_or_default();
                out.push('\n');
            }
        }
    }
}

fn push_values(out: &mut String, item: &Item<'_>) {
    let number = item.number.to_string();
    let duration = item.duration_ms.to_string();
    let cells = [
        number.as_str(),
        &item.started_at,
        &duration,
        item.dialect,
        item.kind,
        item.mcp_id.unwrap_or_default(),
        item.mcp_name,
        item.tool.unwrap_or_default(),
        item.outcome,
        if item.reached { "true" } else { "false" },
        item.member_id,
        item.key_id,
        item.key_name,
        &item.request_id,
    ];
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_cell(out, cell);
    }
    out.push_str("\r\n");
}

/// Appends a cell. Whoever wrote it, a spreadsheet takes it for text: one that would begin a formula has an apostrophe
/// before it.
fn push_cell(out: &mut String, cell: &str) {
    let cell = visible(cell, false);
    let is_formula = cell.starts_with(['=', '+', '-', '@']);
    if !is_formula && !cell.contains([',', '"']) {
        out.push_str(&cell);
        return;
    }
    out.push('"');
    if is_formula {
        out.push('\'');
    }
    out.push_str(&cell.replace('"', "\"\""));
    out.push('"');
}

/// Body of an export. A caller who may not read any more ends it as an error, without the chunk that marks it as whole.
pub(super) struct Export {
    reader: ActivityReader,
    form: Form,
    calls: u64,
    state: ExportState,
    _permit: StreamPermit,
}

#[derive(PartialEq, Eq)]
enum ExportState {
    Begins,
    GoesOn,
    Ended,
}

impl Export {
    /// Begins an export, which has its place among the streams of its key.
    pub(super) fn new(reader: ActivityReader, form: Form, permit: StreamPermit) -> Export {
        Export { reader, form, calls: 0, state: ExportState::Begins, _permit: permit }
    }

    /// Returns the next piece; an empty one if nothing was found yet.
    fn piece(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        if self.state == ExportState::Begins {
            self.state = ExportState::GoesOn;
            if self.form == Form::Csv {
                text.push_str(HEAD);
            }
        }
        for _ in 0..STEPS {
            let batch = self.reader.step(PIECE)?;
            for (number, call) in &batch.calls {
                self.form.push(&mut text, &item(*number, call));
            }
            self.calls += batch.calls.len() as u64;
            if batch.is_over {
                self.state = ExportState::Ended;
                if self.form == Form::Lines {
                    text.push_str(&format!("{{\"end\":true,\"calls\":{}}}\n", self.calls));
                }
            }
            if !text.is_empty() || batch.is_over {
                break;
            }
        }
        Ok(text)
    }
}

impl HttpBody for Export {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.state == ExportState::Ended {
            return Poll::Ready(None);
        }
        match self.piece() {
            Ok(text) if text.is_empty() && self.state == ExportState::Ended => Poll::Ready(None),
            Ok(text) if text.is_empty() => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(text) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            Err(error) => {
                self.state = ExportState::Ended;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_in_its_place_and_begins_no_formula() {
        for (cell, written) in [
            ("demo", "demo"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("@x", "\"'@x\""),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
        ] {
            let mut out = String::new();
            push_cell(&mut out, cell);
            assert_eq!(out, written);
        }
    }
}
