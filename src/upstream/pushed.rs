//! What an upstream says that is no answer to a call: log messages, notifications, requests of its own. The rules are the
//! same for every kind of upstream; how it is answered is each kind's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::counters::Counters;
use super::exchange::{Addressee, ClientPort, Disposition, PushedRequest, Served, Sharing};
use super::log::{ServerLog, Stream, printable};
use super::notices::{LogRate, Notices};
use super::refresh::ListChanges;
use super::report::Context;
use crate::jsonrpc::own_id;
use crate::mcp::{self, Answer, method};

/// Longest `params` of a notification that are kept for receivers, in bytes.
const MAX_NOTICE: usize = 64 * 1024;
/// Longest `params` of a request that are handed to a client, in bytes.
const MAX_PUSHED: usize = 1024 * 1024;

/// Where what one opening of an upstream announces goes to.
pub(super) struct Announcer {
    pub(super) incarnation: u64,
    pub(super) notices: Notices,
    /// Lists that it says have changed.
    pub(super) lists_changed: Arc<ListChanges>,
    pub(super) counters: Arc<Counters>,
    pub(super) log: ServerLog,
    /// Who shares it.
    pub(super) sharing: Sharing,
}

impl Announcer {
    /// Makes the one of an opening.
    pub(super) fn of(context: &Context) -> Announcer {
        Announcer {
            incarnation: context.incarnation,
            notices: context.notices.clone(),
            lists_changed: Arc::default(),
            counters: context.counters.clone(),
            log: context.log.clone(),
            sharing: context.sharing,
        }
    }

    /// Tells a notification that is about no call, unless it is about a list, which is read again first.
    pub(super) fn tell_notice(&self, name: String, params: Option<&[u8]>) {
        if self.lists_changed.announce(&name) || self.notices.are_unheard() {
            return;
        }
        // Copied: a slice would keep the whole read buffer until the receivers have read it.
        let params = params.filter(|params| params.len() <= MAX_NOTICE).map(Bytes::copy_from_slice);
        self.notices.send(self.incarnation, name.into(), params);
    }

    /// Writes a log message to the server's log (spec 2025-11-25, server/utilities/logging); returns what is to be told to
    /// a client, or `None` if it is none or too many come.
    pub(super) fn write_log<'p>(&self, params: Option<&'p [u8]>) -> Option<&'p [u8]> {
        // During a flood, the message is not even parsed.
        if self.log.refuses() {
            self.counters.left_out();
            return None;
        }
        let Some((line, params)) = params.and_then(|params| Some((mcp::read_log_message(params)?, params)))
        else {
            self.counters.dropped_notice();
            return None;
        };
        if !self.log.push(self.incarnation, Stream::Log, &printable(line.as_bytes())) {
            self.counters.left_out();
        }
        Some(params)
    }

    /// Tells a log message that is about no request in particular to the only principal that was served, and to all if
    /// nobody was served yet. Returns `false` if there was no room for it.
    pub(super) fn tell_log(&self, served: &Served, rate: &mut LogRate, params: &[u8]) -> bool {
        if self.notices.are_unheard() {
            return true;
        }
        // What clients must not miss comes the same way, and who falls behind is told that it may have missed that.
        if params.len() > MAX_NOTICE || !rate.has_room(Instant::now()) {
            return false;
        }
        let copied = || Some(Bytes::copy_from_slice(params));
        let (run, name) = (self.incarnation, Arc::from(method::MESSAGE));
        match (served, self.sharing) {
            (Served::Nobody, _) | (_, Sharing::OnePrincipal) => self.notices.send(run, name, copied()),
            (Served::One(member), _) => self.notices.send_to(member.clone(), run, name, copied()),
            (Served::Several, _) => {}
        }
        true
    }
}

/// Decides on a request that was pushed: answers it, or asks the client that it is for. `refusal` is why it could not wait
/// for the client's answer, if so: the client must not see a question whose answer nobody would take.
pub(super) fn decide(
    addressee: Addressee,
    asked: String,
    params: Option<&[u8]>,
    refusal: Option<&'static str>,
) -> Disposition {
    let client = match addressee {
        _ if asked == method::PING => return Disposition::Answer(mcp::answer(&asked)),
        Addressee::Nobody | Addressee::Mute => return Disposition::Answer(mcp::answer(&asked)),
        Addressee::Several => {
            let reason =
                "requests of several clients are under way, and nothing says which of them this is for";
            return refused(reason);
        }
        Addressee::One(client) => client,
    };
    if params.is_some_and(|params| params.len() > MAX_PUSHED) {
        return refused("the request is longer than a mebibyte");
    }
    match refusal {
        Some(reason) => refused(reason),
        None => ask(&*client, asked, params),
    }
}

/// Hands a request to a client.
fn ask(client: &dyn ClientPort, asked: String, params: Option<&[u8]>) -> Disposition {
    // Copied: a slice would keep the whole read buffer as long as the client thinks.
    let request = PushedRequest { method: asked, params: params.map(Bytes::copy_from_slice) };
    // The upstream's task must not end with a defect of a client's port.
    catch_unwind(AssertUnwindSafe(|| client.on_request(request)))
        .unwrap_or_else(|_| refused("the gateway failed to ask the client"))
}

fn refused(reason: &'static str) -> Disposition {
    Disposition::Answer(Answer::Error(-32603, reason.into()))
}

/// Returns the request of ours that progress is about; `None` if it is about none.
pub(super) fn progress_token(params: Option<&[u8]>) -> Option<u64> {
    #[derive(Deserialize)]
    struct ProgressParams<'a> {
        #[serde(borrow, rename = "progressToken")]
        token: &'a RawValue,
    }
    let params = serde_json::from_slice::<ProgressParams<'_>>(params?).ok()?;
    own_id(params.token.get())
}

/// Returns the id of the request that is cancelled, as it was written; `None` if it cannot be read.
pub(super) fn cancelled_id(params: Option<&[u8]>) -> Option<&str> {
    #[derive(Deserialize)]
    struct CancelledParams<'a> {
        #[serde(borrow, rename = "requestId")]
        id: &'a RawValue,
    }
    let params = serde_json::from_slice::<CancelledParams<'_>>(params?).ok()?;
    Some(params.id.get())
}
