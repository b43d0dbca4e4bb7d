//! Descriptions of the routes by which an operator looks at what is: findings, queues and settings.

use super::operations::data;
use crate::http::core::openapi::{Answer, Operation, Schemas, reading, text};
use crate::http::plexmcp::{doctor, queue};
use crate::http::settings::EffectiveSetting;

/// Returns the description of such a route; `None` for others.
pub(super) fn describe(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    Some(match (method, path) {
        ("GET", "/v1/doctor") => findings(schemas),
        ("GET", "/v1/settings") => settings(schemas),
        ("GET", "/v1/mcps/{id}/queue") => queue(schemas),
        _ => return None,
    })
}

fn findings(schemas: &mut Schemas) -> Operation {
    Operation {
        description: "What keeps MCPs from running, or may, with what to do about it: by how they are, and by what their \
                          definitions would meet at a start. Nothing is started for it.",
        query: vec![(
            "server",
            text(1, 200),
            "Id or exact name of one MCP; all that this key may use otherwise",
        )],
        errors: vec![404],
        ..reading(
            "getFindings",
            "MCP servers",
            "Find what is wrong",
            Answer::json(200, "What was found.", data::<doctor::DoctorReport>(schemas)),
        )
    }
}

fn queue(schemas: &mut Schemas) -> Operation {
    Operation {
        description: "Each key has a line of its own, and the lines take turns. Calls of a pool are among them.",
        errors: vec![404],
        ..reading(
            "listQueue",
            "MCP servers",
            "List whose calls wait",
            Answer::json(200, "The keys, the longest line first.", data::<Vec<queue::LineOfKey>>(schemas)),
        )
    }
}

fn settings(schemas: &mut Schemas) -> Operation {
    Operation {
        description: "As the daemon was started with them, in the order of the reference. What may hold a secret by mistake is \
                      shown as a reference only. Members, plans and groups are not among them.",
        ..reading(
            "listSettings",
            "Organization",
            "List the settings that are in force",
            Answer::json(200, "The settings.", data::<Vec<EffectiveSetting>>(schemas)),
        )
    }
}
