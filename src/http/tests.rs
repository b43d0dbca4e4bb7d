//! Fixtures that the tests of the dialects share, and tests of which paths belong to which dialect.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{DIALECTS, Effect};
use crate::gateway::{Error, Fault, PinState, Problem, QuotaOf, Retry};

/// Returns one of each [`crate::gateway::Error`], in the order of the enum. [`is_listed`] makes a new variant
/// fail to compile here, so that the dialects' tables cannot miss it.
pub(super) fn every_error() -> Vec<Error> {
    let text = || "secret".to_owned();
    let problem = |path: &str, reason: &str| Problem { path: path.into(), reason: reason.into() };
    let wait = Duration::from_secs(3);
    let every = vec![
        Error::ServerNotFound { name: "x".into() },
        Error::ServerDisabled { name: "x".into() },
        Error::NoCommand { name: "x".into() },
        Error::ServerNotPermitted { name: "x".into() },
        Error::ToolNotPermitted { tool: "t".into() },
        Error::Forbidden { reason: text() },
        Error::KeyRevoked,
        Error::KeyExpired,
        Error::KeyNotFound,
        Error::MemberNotFound,
        Error::PlanNotFound,
        Error::Conflict { reason: "The API key was revoked".into() },
        Error::Unacceptable { field: "expires_at", reason: "Must be a future date".into() },
        Error::LimitReached { resource: "api_keys", limit: 1 },
        Error::QuotaExceeded { of: QuotaOf::Plan, limit: 1, retry_after: wait },
        Error::TooManyCalls { limit: 1 },
        Error::Unread { setting: "limits.unread", limit: 9, carried_out: false },
        Error::ToolBlocked { tool: "t".into(), state: PinState::Changed },
        Error::ToolsChanged,
        Error::ToolNotFound { tool: "t".into(), suggestion: Some("u".into()) },
        Error::ResourceNotFound { message: text() },
        Error::InvalidArguments { message: text() },
        Error::Rpc { code: -32000, message: text(), data: None },
        Error::InputRequired,
        Error::BadReply { reason: text() },
        Error::Unreachable { reason: text(), in_flight: false, retry_after: None, status: None },
        Error::BreakerOpen { name: "x".into(), retry_after: wait },
        Error::TimedOut { after: wait, in_flight: true, meanwhile: None },
        Error::Overloaded { retry_after: wait },
        Error::ShuttingDown,
        Error::AlreadyExists { name: "x".into() },
        Error::InvalidDefinition {
            problems: vec![
                problem("args", "must be an array of strings"),
                problem("env", "must be an object of strings"),
            ],
        },
        Error::FileNotFound { path: "/f".into() },
        Error::FileRead { reason: text() },
        Error::FileWrite { reason: text() },
        Error::FileContent { path: "/f".into(), reason: "is not a valid JSON file".into() },
        Error::OutsideRoot { root: "/r".into() },
        Error::Store { reason: text() },
        Error::Internal { reason: text() },
    ];
    every.iter().for_each(is_listed);
    every
}

/// Lists all variants: a new one fails to compile here, so that it is not missed in the list.
fn is_listed(error: &Error) {
    match error {
        Error::ServerNotFound { .. }
        | Error::ServerDisabled { .. }
        | Error::NoCommand { .. }
        | Error::ServerNotPermitted { .. }
        | Error::ToolNotPermitted { .. }
        | Error::Forbidden { .. }
        | Error::KeyRevoked
        | Error::KeyExpired
        | Error::KeyNotFound
        | Error::MemberNotFound
        | Error::PlanNotFound
        | Error::Conflict { .. }
        | Error::Unacceptable { .. }
        | Error::LimitReached { .. }
        | Error::QuotaExceeded { .. }
        | Error::TooManyCalls { .. }
        | Error::Unread { .. }
        | Error::ToolBlocked { .. }
        | Error::ToolsChanged
        | Error::ToolNotFound { .. }
        | Error::ResourceNotFound { .. }
        | Error::InvalidArguments { .. }
        | Error::Rpc { .. }
        | Error::InputRequired
        | Error::BadReply { .. }
        | Error::Unreachable { .. }
        | Error::BreakerOpen { .. }
        | Error::TimedOut { .. }
        | Error::Overloaded { .. }
        | Error::ShuttingDown
        | Error::AlreadyExists { .. }
        | Error::InvalidDefinition { .. }
        | Error::FileNotFound { .. }
        | Error::FileRead { .. }
        | Error::FileWrite { .. }
        | Error::FileContent { .. }
        | Error::OutsideRoot { .. }
        | Error::Store { .. }
        | Error::Internal { .. } => {}
    }
}

/// Returns the rows of the first table of `docs/errors.md`, one for each [`every_error`]: the outcome, the event,
/// the party at fault, whether to ask again, and the answers of `/v1` and `/api`.
pub(super) fn documented_errors() -> Vec<[&'static str; 6]> {
    let section = include_str!("../../docs/errors.md").split("\n## ").nth(1).expect("a first section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("docs/errors.md: not six cells: {row}"))
    })
    .collect()
}

#[test]
fn the_reference_lists_every_error_in_the_order_of_the_code() {
    let retry = |error: &Error| match error.retry() {
        Retry::Safe => "safe",
        Retry::OutcomeUnknown => "unknown",
        Retry::Pointless => "pointless",
    };
    let there = every_error().into_iter().map(|error| {
        let fault = match error.fault() {
            Fault::Caller => "caller",
            Fault::Server => "server",
            Fault::Gateway => "gateway",
        };
        let mut further = error.clone();
        if let Error::Unreachable { in_flight, .. }
        | Error::TimedOut { in_flight, .. }
        | Error::Unread { carried_out: in_flight, .. } = &mut further
        {
            *in_flight = !*in_flight;
        }
        let again: Vec<&str> = BTreeSet::from([retry(&error), retry(&further)]).into_iter().collect();
        [format!("`{}`", error.outcome()), fault.to_owned(), again.join(" or ")]
    });
    let listed = documented_errors()
        .into_iter()
        .map(|[outcome, _, fault, again, ..]| [outcome, fault, again].map(str::to_owned));
    let (listed, there): (Vec<_>, Vec<_>) = (listed.collect(), there.collect());
    assert_eq!(listed, there, "docs/errors.md has one row for each error, in the order of gateway::Error");
}

#[test]
fn a_path_belongs_to_a_dialect_by_its_first_segment() {
    let (v1, api, none) = (Some(0), Some(1), None);
    for (path, dialect) in [
        ("/v1", v1),
        ("/v1/mcps", v1),
        ("/v12/mcps", none),
        ("/api/", api),
        ("/apix", none),
        ("/metrics", none),
        ("/", none),
    ] {
        assert_eq!(DIALECTS.mounted.iter().position(|mounted| mounted.owns(path)), dialect, "{path}");
    }
}

#[test]
fn a_fast_path_is_a_route_of_calls_of_its_dialect() {
    for dialect in DIALECTS.all() {
        let Some(fast) = dialect.fast_path() else { continue };
        let routes = dialect.routes();
        let route = routes.known().iter().find(|route| route.path == fast.path).expect("a route");
        assert_eq!((route.method, route.effect), (fast.method.as_str(), Effect::Calls));
        assert!(dialect.owns(fast.path));
    }
}
