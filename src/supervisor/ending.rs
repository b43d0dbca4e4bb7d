//! What the end of an upstream means: its consequence for the replica, and the cause that an operator is shown. Pure.

use std::sync::Arc;

use super::lifecycle::Ending;
use super::policy::EraChoice;
use super::status::Cause;
use crate::diagnosis::{Diagnosis, Ended};
use crate::process::{Exit, SpawnError};
use crate::upstream::http::{Consequence, HttpFault};
use crate::upstream::{End, Fault, HandshakeError};

/// Maps the end of a remote server to its consequence for the replica and to the cause shown to an operator.
pub(super) fn classify_fault(fault: HttpFault, other_era: bool, era: EraChoice) -> (Ending, Cause) {
    let pause = fault.pause.unwrap_or_default();
    let consequence = fault.word.consequence();
    let cause = Cause::Remote { word: fault.word, reason: fault.sentence };
    let ending = match consequence {
        _ if other_era && matches!(era, EraChoice::Auto | EraChoice::Matched) => {
            Ending::NotOpened { cause: cause.clone(), at_once: true }
        }
        Consequence::MayHeal => Ending::Unavailable { cause: cause.clone(), pause },
        Consequence::NotAuthorized => Ending::Unauthorized(cause.clone()),
        Consequence::Wrong => Ending::Misconfigured(cause.clone()),
    };
    (ending, cause)
}

/// Returns a refused start as the diagnosis takes it.
pub fn not_spawned(error: &SpawnError) -> Ended<'_> {
    let searched = error.searched.as_deref();
    Ended::NotSpawned {
        errno: &error.errno,
        what: &error.what,
        searched: searched.map(|searched| searched.path.as_str()),
        near: searched.and_then(|searched| searched.near.as_deref()),
    }
}

/// Returns a child's end as the diagnosis takes it; `None` if there is nothing to diagnose.
pub(super) fn ended(end: &End) -> Option<Ended<'_>> {
    Some(match end {
        End::Stopped { .. } | End::Remote { .. } => return None,
        End::NotSpawned(error) => not_spawned(error),
        End::Failed { exit, why, .. } => match why {
            Some(Fault::Handshake(HandshakeError::TimedOut { installing, .. })) => {
                Ended::StartTimeout(*installing)
            }
            Some(Fault::Handshake(HandshakeError::Refused(_))) => Ended::BadHandshake,
            Some(Fault::Frame(_) | Fault::Pipe(_)) => Ended::BrokeProtocol,
            Some(Fault::Unresponsive) => Ended::Unresponsive,
            None | Some(Fault::Handshake(HandshakeError::Gone)) => match exit {
                Exit::Code(code) => Ended::Exited(*code),
                Exit::Signal(signal) => Ended::Signalled(*signal),
                Exit::OutOfMemory => Ended::OutOfMemory,
                Exit::Stuck => return None,
            },
        },
    })
}

/// Maps a child's end to its consequence for the replica and to the cause shown to an operator.
pub(super) fn classify_exit(
    end: End,
    era: EraChoice,
    line: Option<Arc<str>>,
    diagnosis: Option<Diagnosis>,
) -> (Ending, Cause) {
    let of_exit = |exit: Exit| match exit {
        Exit::Code(code) => Cause::Exited { code },
        Exit::Signal(signal) => Cause::Signalled { signal },
        Exit::OutOfMemory => Cause::OutOfMemory,
        Exit::Stuck => Cause::Protocol { reason: "it could not be ended".to_owned() },
    };
    match end {
        End::NotSpawned(error) => {
            let cause = Cause::Spawn { reason: error.to_string() }.explained(None, diagnosis);
            let ending = if error.permanent {
                Ending::Misconfigured(cause.clone())
            } else {
                Ending::Crashed(cause.clone())
            };
            (ending, cause)
        }
        End::Stopped { exit } => (Ending::Stopped, of_exit(exit)),
        End::Remote { fault, other_era, .. } => classify_fault(fault, other_era, era),
        End::Failed { exit, why, opened, has_read } => {
            let at_once = !matches!(why, Some(Fault::Handshake(HandshakeError::TimedOut { .. })));
            let misspoke = matches!(why, Some(Fault::Frame(_)));
            let ended_deaf = !has_read && at_once && !opened && !misspoke;
            let cause = match why {
                Some(Fault::Handshake(HandshakeError::TimedOut { phase, after, installing })) => {
                    Cause::StartTimeout { phase, after, installing }
                }
                Some(Fault::Handshake(HandshakeError::Refused(reason))) => Cause::Handshake { reason },
                None | Some(Fault::Handshake(HandshakeError::Gone)) => of_exit(exit),
                Some(Fault::Frame(reason) | Fault::Pipe(reason)) => Cause::Protocol { reason },
                Some(Fault::Unresponsive) => Cause::Unresponsive,
            };
            let cause = cause.explained(line, diagnosis);
            // With a prescribed era there is no other way to open it.
            let ending = if ended_deaf {
                Ending::NeverRead(cause.clone())
            } else if opened || misspoke || matches!(era, EraChoice::Legacy | EraChoice::Modern) {
                Ending::Crashed(cause.clone())
            } else {
                Ending::NotOpened { cause: cause.clone(), at_once }
            };
            (ending, cause)
        }
    }
}
