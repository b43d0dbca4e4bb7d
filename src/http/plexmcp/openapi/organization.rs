//! Descriptions of the routes of the organization, its members and plans, and of keys.

use super::operations::{Query, data, data_with_warnings, page, page_query, span_query};
use super::requests;
use crate::http::core::openapi::{Answer, Operation, Schemas, one_of, reading};
use crate::http::plexmcp::{keychange, keys, members, organization, plans, secrets, usage};

const MEMBERS: &str = "/v1/organization/members";
const MEMBER: &str = "/v1/organization/members/{id}";
const SECRET: &str = "/v1/members/{id}/secrets/{name}";

/// Returns the description of one of these routes; `None` for others.
pub(super) fn describe(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    Some(match (method, path) {
        ("GET", "/v1/organization") => reading(
            "getOrganization",
            "Organization",
            "Get the organization",
            ok(
                "The organization, with the limits of its plan.",
                data::<organization::Organization<'_>>(schemas),
            ),
        ),
        ("GET", "/v1/organization/plans") => reading(
            "listPlans",
            "Organization",
            "List plans",
            ok("All plans, by name.", data::<Vec<plans::Item<'_>>>(schemas)),
        ),
        ("PUT", "/v1/organization/plans/{name}") => Operation {
            description: "For owners. A limit that is left out, or `null`, is unlimited.",
            body: Some(requests::plan()),
            errors: vec![409],
            ..reading(
                "putPlan",
                "Organization",
                "Make or replace a plan",
                ok("The plan.", data::<plans::Item<'_>>(schemas)),
            )
        },
        ("DELETE", "/v1/organization/plans/{name}") => Operation {
            description: "For owners. A plan that is built in is afterwards as it was.",
            errors: vec![404, 408, 409, 413],
            ..reading(
                "deletePlan",
                "Organization",
                "Remove a plan",
                ok("It is removed.", data::<plans::Removed<'_>>(schemas)),
            )
        },
        _ => return describe_members(schemas, method, path),
    })
}

fn describe_members(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    Some(match (method, path) {
        ("GET", MEMBERS) => Operation {
            description: "The latest to join come first.",
            query: page_query(vec![(
                "role",
                one_of(&["owner", "admin", "member", "viewer"]),
                "Only those of this role",
            )]),
            ..reading(
                "listMembers",
                "Organization",
                "List members",
                ok("A page of members.", page::<organization::Item<'_>>(schemas)),
            )
        },
        ("POST", MEMBERS) => Operation {
            description: "For administrators.",
            body: Some(requests::new_member()),
            errors: vec![409, 422],
            ..reading(
                "createMember",
                "Organization",
                "Make a member",
                Answer {
                    headers: &["Location"],
                    ..Answer::json(201, "The member.", data::<organization::Item<'_>>(schemas))
                },
            )
        },
        ("GET", MEMBER) => Operation {
            errors: vec![404],
            ..reading(
                "getMember",
                "Organization",
                "Get a member",
                ok("The member.", data::<organization::Item<'_>>(schemas)),
            )
        },
        ("PATCH", MEMBER) => Operation {
            description: "For administrators. Its keys act with what it is from their very next requests on. Members of the \
                          gateway's configuration file are changed there.",
            body: Some(requests::member_change()),
            errors: vec![404, 409, 422],
            ..reading(
                "updateMember",
                "Organization",
                "Change a member",
                ok("The member after the change.", data::<organization::Item<'_>>(schemas)),
            )
        },
        ("DELETE", MEMBER) => Operation {
            description: "For administrators. Its keys are revoked with it.",
            errors: vec![404, 408, 409, 413],
            ..reading(
                "deleteMember",
                "Organization",
                "Remove a member and revoke its keys",
                ok("It is removed.", data::<members::Removed<'_>>(schemas)),
            )
        },
        _ => return describe_secrets(schemas, method, path).or_else(|| describe_keys(schemas, method, path)),
    })
}

fn describe_secrets(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    Some(match (method, path) {
        ("GET", "/v1/members/{id}/secrets") => Operation {
            description: "For the member itself and for administrators. Values are never shown.",
            errors: vec![404],
            ..reading(
                "listSecrets",
                "Organization",
                "List the names of a member's secrets",
                ok("The secrets, by name, without their values.", data::<Vec<secrets::Item<'_>>>(schemas)),
            )
        },
        ("PUT", SECRET) => Operation {
            description: "For the member itself and for administrators. The environment of an MCP that is isolated by \
                          principal refers to it as `${principal:NAME}`. It is stored sealed, and shown to nobody.",
            body: Some(requests::secret()),
            errors: vec![404, 422],
            ..reading(
                "putSecret",
                "Organization",
                "Store a secret of a member for its own processes",
                ok(
                    "It is stored. Processes with an earlier one are replaced.",
                    data::<secrets::Changed<'_>>(schemas),
                ),
            )
        },
        ("DELETE", SECRET) => Operation {
            description: "For the member itself and for administrators. Processes that have it end.",
            errors: vec![404, 408, 413],
            ..reading(
                "deleteSecret",
                "Organization",
                "Remove a secret of a member",
                ok("It is removed.", data::<secrets::Removed<'_>>(schemas)),
            )
        },
        _ => return None,
    })
}

fn describe_keys(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    let statuses = || one_of(&["active", "revoked", "expired", "all"]);
    Some(match (method, path) {
        ("GET", "/v1/api-keys") => Operation {
            description: "Newest first. Members see their own keys, administrators all of them.",
            query: page_query(vec![("status", statuses(), "Only those of this status; `all` by default")]),
            ..reading(
                "listKeys",
                "API keys",
                "List API keys",
                ok("A page of keys.", page::<keys::Item<'_>>(schemas)),
            )
        },
        ("POST", "/v1/api-keys") => Operation {
            description: "The only answer with the key's text, which is kept nowhere: keep it.",
            body: Some(requests::new_key()),
            errors: vec![409, 422],
            ..reading(
                "createKey",
                "API keys",
                "Make an API key",
                Answer {
                    headers: &["Location", "Cache-Control"],
                    ..Answer::json(
                        201,
                        "The key, with its text.",
                        data_with_warnings::<keys::Created<'_>>(schemas),
                    )
                },
            )
        },
        ("GET", "/v1/api-keys/{id}") => Operation {
            errors: vec![404],
            ..reading("getKey", "API keys", "Get an API key", ok("The key.", data::<keys::Item<'_>>(schemas)))
        },
        ("PATCH", "/v1/api-keys/{id}") => Operation {
            description: "In force from the key's very next request on. It may be narrowed by whoever may see it, and widened \
                          as far as your own key goes.",
            body: Some(requests::key_change()),
            errors: vec![404, 409, 422],
            ..reading(
                "updateKey",
                "API keys",
                "Change an API key",
                ok("The key after the change.", data_with_warnings::<keys::Item<'_>>(schemas)),
            )
        },
        _ => return describe_ends_of_keys(schemas, method, path),
    })
}

fn describe_ends_of_keys(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    Some(match (method, path) {
        ("POST", "/v1/api-keys/{id}/rotate") => Operation {
            description: "The earlier text is refused at once, or after the time that `grace` gives it. The new one is shown \
                          this once.",
            body: Some(requests::rotation()),
            may_lack_body: true,
            errors: vec![404, 409, 422],
            ..reading(
                "rotateKey",
                "API keys",
                "Give an API key another text",
                Answer {
                    headers: &["Cache-Control"],
                    ..ok("The key, with its new text.", data::<keychange::Rotated<'_>>(schemas))
                },
            )
        },
        ("DELETE", "/v1/api-keys/{id}") => Operation {
            description: "In force when it is answered. A key that is revoked already is no error.",
            query: descendants(),
            errors: vec![404, 408, 409, 413],
            ..reading(
                "revokeKey",
                "API keys",
                "Revoke an API key",
                ok("It is revoked.", data::<keys::Revoked<'_>>(schemas)),
            )
        },
        ("GET", "/v1/api-keys/{id}/usage") => Operation {
            query: span_query(vec![]),
            errors: vec![404],
            ..reading(
                "getKeyUsage",
                "API keys",
                "Get the calls with an API key",
                ok("The calls of the span.", data::<usage::Report<'_>>(schemas)),
            )
        },
        _ => return None,
    })
}

fn descendants() -> Query {
    let text = "`true` for the keys as well that it has made, and that those have made; `only` for these and not the key itself";
    vec![("descendants", one_of(&["true", "false", "only"]), text)]
}
