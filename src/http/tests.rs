//! What the tests of the dialects share, and how paths find their surface.

use std::time::Duration;

use super::Surface;
use crate::service::{Error, Problem};

/// One of each [`crate::service::Error`], in the order of the enum. The match makes a new
/// variant fail to compile here, so that the dialects' tables cannot miss it.
pub(super) fn every_error() -> Vec<Error> {
    let text = || "secret".to_owned();
    let problem = |path: &str, reason: &str| Problem { path: path.into(), reason: reason.into() };
    let wait = Duration::from_secs(3);
    let every = vec![
        Error::ServerNotFound { name: "x".into() },
        Error::ServerDisabled { name: "x".into() },
        Error::NoCommand { name: "x".into() },
        Error::ToolNotFound { tool: "t".into(), suggestion: Some("u".into()) },
        Error::ResourceNotFound { message: text() },
        Error::InvalidArguments { message: text() },
        Error::Rpc { code: -32000, message: text(), data: None },
        Error::BadReply { reason: text() },
        Error::Unreachable { reason: text(), in_flight: false, retry_after: None },
        Error::TimedOut { after: wait, in_flight: true },
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
    for error in &every {
        match error {
            Error::ServerNotFound { .. }
            | Error::ServerDisabled { .. }
            | Error::NoCommand { .. }
            | Error::ToolNotFound { .. }
            | Error::ResourceNotFound { .. }
            | Error::InvalidArguments { .. }
            | Error::Rpc { .. }
            | Error::BadReply { .. }
            | Error::Unreachable { .. }
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
    every
}

#[test]
fn a_path_belongs_to_a_surface_by_its_first_segment() {
    for (path, surface) in [
        ("/v1", Surface::Plexmcp),
        ("/v1/mcps", Surface::Plexmcp),
        ("/v12/mcps", Surface::Admin),
        ("/api/", Surface::McpCli),
        ("/apix", Surface::Admin),
        ("/metrics", Surface::Admin),
        ("/", Surface::Admin),
    ] {
        assert_eq!(Surface::of(path), surface, "{path}");
    }
}
