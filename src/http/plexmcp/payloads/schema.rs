//! Descriptions of the answers that are written without a type (`docs/http-api.md`, P10 and P11), for the OpenAPI
//! document. The tests of the gateway hold them against real answers.
#![expect(dead_code, reason = "the values are never made: only their descriptions are read")]

use schemars::JsonSchema;
use serde_json::Value;

use crate::http::core::openapi::{False, Time};

/// Result of a tool call.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct Invocation {
    /// The tool's structured content, if it has any; else, of a single text, the JSON object or array in it, or the
    /// text; else the content as it is.
    result: Value,
    /// Particulars of the call.
    metadata: InvocationMetadata,
    /// Content of the tool's answer, as the MCP sent it.
    content: Vec<ContentBlock>,
    /// `false`: a tool that reports an error is answered with status 422.
    #[schemars(with = "False")]
    is_error: bool,
}

/// Particulars of a tool call.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct InvocationMetadata {
    /// Id of the MCP, also where it was addressed by its name.
    mcp_id: String,
    /// Name of the tool.
    tool: String,
    /// Time to the MCP's answer, in milliseconds.
    latency_ms: u64,
    /// Time of the answer.
    #[schemars(with = "Time")]
    timestamp: String,
}

/// Block of content as MCP defines it: a text, an image, a sound, a resource or a link to one.
#[derive(JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub(in crate::http::plexmcp) struct ContentBlock {
    /// Kind of the block, such as `text` or `image`.
    #[serde(rename = "type", skip_serializing_if = "no")]
    kind: String,
    /// Text of a block of the kind `text`.
    #[serde(skip_serializing_if = "no")]
    text: String,
}

/// Content of a resource, or a list of resources.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct Resources {
    /// Contents of the resource that was asked for; all resources if none was.
    contents: Vec<Resource>,
    /// Templates of resources; only if no resource was asked for.
    #[serde(skip_serializing_if = "no")]
    resource_templates: Vec<ResourceTemplate>,
    /// Particulars of the request.
    metadata: ResourceMetadata,
}

/// Resource as MCP defines it: its content, or its entry in a list.
#[derive(JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub(in crate::http::plexmcp) struct Resource {
    /// URI.
    #[serde(skip_serializing_if = "no")]
    uri: String,
    /// Name.
    #[serde(skip_serializing_if = "no")]
    name: String,
    /// Media type.
    #[serde(rename = "mimeType", skip_serializing_if = "no")]
    mime_type: String,
    /// Content, if it is text.
    #[serde(skip_serializing_if = "no")]
    text: String,
    /// Content in Base64, if it is not text.
    #[serde(skip_serializing_if = "no")]
    blob: String,
}

/// Template of the URIs of resources, as MCP defines it.
#[derive(JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub(in crate::http::plexmcp) struct ResourceTemplate {
    /// Template of the URIs (RFC 6570).
    #[serde(rename = "uriTemplate", skip_serializing_if = "no")]
    uri_template: String,
    /// Name.
    #[serde(skip_serializing_if = "no")]
    name: String,
}

/// Particulars of a request for resources.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct ResourceMetadata {
    /// Id of the MCP, also where it was addressed by its name.
    mcp_id: String,
    /// URI of the resource; only if one was asked for.
    #[serde(skip_serializing_if = "no")]
    uri: String,
    /// Time to the MCP's answer, in milliseconds.
    latency_ms: u64,
    /// Time of the answer.
    #[schemars(with = "Time")]
    timestamp: String,
}
