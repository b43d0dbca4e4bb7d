//! Fixtures that the tests of the dialects share, and tests of which paths belong to which dialect.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{DIALECTS, Effect};
use crate::gateway::{
    AccessError, AuditError, Error, Fault, PinError, PinState, Problem, QuotaOf, RegistryError, Retry,
    UsageError,
};

/// Returns one of each error by its name, in the order of `docs/errors.md`. [`is_listed`] makes a new variant fail to
/// compile here, so that the dialects' tables cannot miss it.
pub(super) fn every_error() -> Vec<Error> {
    let text = || "secret".to_owned();
    let problem = |path: &str, reason: &str| Problem { path: path.into(), reason: reason.into() };
    let wait = Duration::from_secs(3);
    let every = vec![
        RegistryError::ServerNotFound { name: "x".into() }.into(),
        Error::ServerDisabled { name: "x".into() },
        Error::ServerStopped { name: "x".into() },
        Error::NoCommand { name: "x".into() },
        Error::ServerNotPermitted { name: "x".into() },
        Error::ToolNotPermitted { tool: "t".into() },
        AccessError::Forbidden { reason: text() }.into(),
        AccessError::KeyRevoked.into(),
        AccessError::KeyExpired.into(),
        RegistryError::KeyNotFound.into(),
        RegistryError::MemberNotFound.into(),
        RegistryError::PlanNotFound.into(),
        RegistryError::Conflict { reason: "The API key was revoked".into() }.into(),
        RegistryError::Unacceptable { field: "expires_at", reason: "Must be a future date".into() }.into(),
        RegistryError::LimitReached { resource: "api_keys", limit: 1 }.into(),
        UsageError::QuotaExceeded { of: QuotaOf::Plan, limit: 1, retry_after: wait }.into(),
        Error::TooManyCalls { limit: 1 },
        Error::Unread { setting: "limits.unread", limit: 9, carried_out: false },
        Error::ToolBlocked { tool: "t".into(), state: PinState::Changed },
        RegistryError::Pins(PinError::ToolsChanged).into(),
        Error::ToolNotFound { tool: "t".into(), suggestion: Some("u".into()) },
        Error::ResourceNotFound { message: text() },
        Error::InvalidArguments { message: text() },
        Error::Rpc { code: -32000, message: text(), data: None },
        Error::InputRequired,
        Error::BadReply { reason: text() },
        Error::Unreachable { reason: text(), in_flight: false, retry_after: None, status: None },
        Error::BreakerOpen { name: "x".into(), retry_after: wait },
        Error::RequestTooLarge { name: "x".into() },
        Error::TimedOut { after: wait, in_flight: true, meanwhile: None },
        Error::Overloaded { retry_after: wait },
        Error::TooManyPools { name: "x".into(), limit: 1 },
        Error::LoginFailed { name: "x".into(), reason: text() },
        Error::SecretMissing { name: "x".into(), secret: "TOKEN".into() },
        Error::SecretNotFound,
        Error::ShuttingDown,
        RegistryError::AlreadyExists { name: "x".into() }.into(),
        RegistryError::InvalidDefinition {
            problems: vec![
                problem("args", "must be an array of strings"),
                problem("env", "must be an object of strings"),
            ],
        }
        .into(),
        RegistryError::FileNotFound { path: "/f".into() }.into(),
        RegistryError::FileRead { reason: text() }.into(),
        RegistryError::FileWrite { reason: text() }.into(),
        RegistryError::FileContent { path: "/f".into(), reason: "is not a valid JSON file".into() }.into(),
        RegistryError::OutsideRoot { root: "/r".into() }.into(),
        RegistryError::Store { reason: text() }.into(),
        Error::Internal { reason: text() },
    ];
    every.iter().for_each(is_listed);
    every
}

/// Returns the errors that have their name from another room's, with the same answers.
pub(super) fn twins() -> Vec<Error> {
    let (reason, retry_after) = (|| "secret".to_owned(), Duration::from_secs(3));
    let twins = vec![
        RegistryError::Pins(PinError::UnknownTool { tool: "t".into() }).into(),
        RegistryError::Access(AccessError::KeyRevoked).into(),
        RegistryError::ShuttingDown.into(),
        RegistryError::Internal { reason: reason() }.into(),
        UsageError::Overloaded { retry_after }.into(),
        UsageError::ShuttingDown.into(),
        UsageError::Store { reason: reason() }.into(),
        UsageError::Internal { reason: reason() }.into(),
        AuditError::Overloaded { retry_after }.into(),
        AuditError::ShuttingDown.into(),
        AuditError::Internal { reason: reason() }.into(),
    ];
    twins.iter().for_each(is_listed);
    twins
}

/// Returns the error of [`every_error`] that has the same name.
pub(super) fn namesake(error: &Error) -> Error {
    let same = every_error().into_iter().find(|one| one.facts().name == error.facts().name);
    same.unwrap_or_else(|| panic!("{:?} is in no list", error.facts()))
}

/// Lists all variants: a new one fails to compile here, so that it is not missed in the lists.
fn is_listed(error: &Error) {
    match error {
        Error::Access(AccessError::Forbidden { .. } | AccessError::KeyRevoked | AccessError::KeyExpired)
        | Error::Registry(
            RegistryError::Access(_)
            | RegistryError::Pins(PinError::ToolsChanged | PinError::UnknownTool { .. })
            | RegistryError::ServerNotFound { .. }
            | RegistryError::KeyNotFound
            | RegistryError::MemberNotFound
            | RegistryError::PlanNotFound
            | RegistryError::Conflict { .. }
            | RegistryError::Unacceptable { .. }
            | RegistryError::LimitReached { .. }
            | RegistryError::AlreadyExists { .. }
            | RegistryError::InvalidDefinition { .. }
            | RegistryError::FileNotFound { .. }
            | RegistryError::FileRead { .. }
            | RegistryError::FileWrite { .. }
            | RegistryError::FileContent { .. }
            | RegistryError::OutsideRoot { .. }
            | RegistryError::Store { .. }
            | RegistryError::ShuttingDown
            | RegistryError::Internal { .. },
        )
        | Error::Usage(
            UsageError::QuotaExceeded { .. }
            | UsageError::Overloaded { .. }
            | UsageError::ShuttingDown
            | UsageError::Store { .. }
            | UsageError::Internal { .. },
        )
        | Error::Audit(
            AuditError::Overloaded { .. } | AuditError::ShuttingDown | AuditError::Internal { .. },
        )
        | Error::ServerDisabled { .. }
        | Error::ServerStopped { .. }
        | Error::NoCommand { .. }
        | Error::ServerNotPermitted { .. }
        | Error::ToolNotPermitted { .. }
        | Error::TooManyCalls { .. }
        | Error::Unread { .. }
        | Error::ToolBlocked { .. }
        | Error::ToolNotFound { .. }
        | Error::ResourceNotFound { .. }
        | Error::InvalidArguments { .. }
        | Error::Rpc { .. }
        | Error::InputRequired
        | Error::BadReply { .. }
        | Error::Unreachable { .. }
        | Error::BreakerOpen { .. }
        | Error::RequestTooLarge { .. }
        | Error::TimedOut { .. }
        | Error::Overloaded { .. }
        | Error::TooManyPools { .. }
        | Error::LoginFailed { .. }
        | Error::SecretMissing { .. }
        | Error::SecretNotFound
        | Error::ShuttingDown
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
fn the_reference_lists_every_error_once_and_its_twins_alike() {
    let retry = |error: &Error| match error.facts().retry {
        Retry::Safe => "safe",
        Retry::OutcomeUnknown => "unknown",
        Retry::Pointless => "pointless",
    };
    let there = every_error().into_iter().map(|error| {
        let fault = match error.facts().fault {
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
        [format!("`{}`", error.facts().name), fault.to_owned(), again.join(" or ")]
    });
    let listed = documented_errors()
        .into_iter()
        .map(|[outcome, _, fault, again, ..]| [outcome, fault, again].map(str::to_owned));
    let (listed, there): (Vec<_>, Vec<_>) = (listed.collect(), there.collect());
    assert_eq!(listed, there, "docs/errors.md has one row for each error, in the order of `every_error`");
    for twin in twins() {
        assert_eq!(twin.facts(), namesake(&twin).facts());
    }
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
    for (dialect, fast) in
        DIALECTS.all().flat_map(|dialect| dialect.fast_paths().iter().map(move |fast| (dialect, fast)))
    {
        let routes = dialect.routes();
        let route = routes.known().iter().find(|route| route.path == fast.path).expect("a route");
        assert_eq!((route.method, route.effect), (fast.method.as_str(), Effect::Calls));
        assert!(dialect.owns(fast.path));
    }
}
