//! How a server is supervised, for the operator of one that is not well and for the errors that it caused.

use std::borrow::Cow;

use serde_json::Value;

use super::mcp;
use crate::diagnosis::Diagnosis;
use crate::gateway::{CRASH_LOOP, Cause, PoolSums, Status};
use crate::http::core::timestamp::timestamp;

/// Returns the details of a server's supervision; `pools` if it has any, and they are told.
pub(super) fn supervision(status: &Status, pools: Option<PoolSums>) -> mcp::Supervision<'_> {
    let failures = status.failures;
    let replicas = status.replicas.iter().map(|replica| mcp::Replica {
        number: replica.number,
        state: replica.state.name(),
        since: timestamp(replica.since),
        incarnation: replica.incarnation,
        pid: replica.pid,
        outdated: replica.outdated,
    });
    mcp::Supervision {
        since: timestamp(status.since),
        incarnation: status.incarnation,
        pid: status.pid,
        failures,
        crash_loop: failures >= CRASH_LOOP,
        next_start_at: status.state.next_start().map(timestamp),
        last_exit: status.last_exit.as_ref().map(ToString::to_string),
        first_stderr: &status.first_stderr,
        last_stderr: &status.last_stderr,
        remarks: &status.remarks,
        unenforced: &status.unenforced,
        pools: pools.map(|sums| mcp::Pools { count: sums.count, ready: sums.ready }),
        replicas: replicas.collect(),
        update: status.update.as_ref().map(|update| mcp::PendingUpdate {
            state: update.state.name(),
            since: timestamp(update.since),
            cause: update.state.cause().map(ToString::to_string),
            cause_code: update.state.cause().map(Cause::code),
            advice: advice_of(update.state.cause().and_then(Cause::diagnosis)),
            next_start_at: update.state.next_start().map(timestamp),
            last_stderr: &update.last_stderr,
        }),
    }
}

/// Returns a known fault as the API tells it.
pub(super) fn advice_of(known: Option<Cow<'_, Diagnosis>>) -> mcp::Advice {
    let Some(known) = known else { return mcp::Advice::default() };
    mcp::Advice { fault: Some(known.id), fix: Some(known.fix.clone().into_owned()) }
}

/// Returns a server's state for an error that the server caused.
pub(super) fn state_for_error(status: &Status) -> Value {
    let body = mcp::McpState {
        state: status.state.name(),
        cause: status.cause(),
        cause_code: status.cause_code(),
        advice: advice_of(status.diagnosis()),
        restarts: status.restarts,
        supervision: supervision(status, None),
    };
    serde_json::to_value(body).unwrap_or_default()
}
