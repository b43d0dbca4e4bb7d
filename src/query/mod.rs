//! Answers to questions with the help of servers' tools: a model gets the list of tools, calls them as it likes,
//! and answers in the end (`docs/http-api.md`, M6). The model is behind any endpoint that speaks OpenAI's chat
//! completions.
//!
//! Each tool call is a call of the question's caller, by the same way as all others: the same permissions,
//! limits, usage and audit. A query that is dropped cancels what it has under way.

mod ask;
mod blame;
mod chat;
mod conversation;
mod made;
mod rejected_tools;
mod run;
mod schema;
mod settings;
mod tool_set;
mod tool_text;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

pub use self::chat::TokenUsage;
pub use self::made::CallsMade;
pub use self::run::Agent;
pub use self::settings::{ApiKey, KeyHeader, KeySource, LlmSettings, MalformedKey};
use crate::gateway::Error;
use crate::sse::TooLong;

/// A question, with the limits for its answer.
#[derive(Debug, Clone, Default)]
pub struct AgentRequest {
    /// Servers whose tools may be used, by id or name; at least one.
    pub servers: Vec<String>,
    /// Text of the question.
    pub text: String,
    /// Name of the model; `None` for the configured one.
    pub model: Option<String>,
    /// Number of turns of the model, at most the configured one.
    pub max_turns: Option<usize>,
    /// Sampling temperature, passed on to the model.
    pub temperature: Option<f64>,
    /// Names of the only tools to offer; `None` for all.
    pub tools: Option<Vec<String>>,
    /// Time limit for the whole answer, at most the configured one.
    pub timeout: Option<Duration>,
    /// Members of `_meta` of each call that it leads to, without braces, JSON on one line; empty for none. The model is told nothing
    /// of them.
    pub meta: Bytes,
    /// Counter of the calls as they are made, shared with the caller.
    pub made: Arc<CallsMade>,
}

/// Reasons why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FinishReason"))]
pub enum Finish {
    /// The model had finished its answer.
    Stop,
    /// The answer was cut off at its length limit.
    Length,
    /// The model refused, or its provider did for it.
    Refusal,
    /// The model used all its turns and still wanted to call tools.
    MaxTurns,
}

/// A tool call that was made.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    /// Name of the server; `null` if the model named an unknown tool.
    pub server: Option<String>,
    /// Tool's own name, or the unknown name that the model used.
    pub tool: String,
    /// Arguments, as the model wrote them.
    pub arguments: Box<RawValue>,
    /// Result, as the model got it.
    pub result: String,
    /// `true` if the result was an error.
    pub is_error: bool,
    /// Duration of the call in milliseconds.
    pub duration_ms: u64,
}

/// A tool that was left out of the request to the model after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LeftOutTool"))]
pub struct LeftOut {
    /// Name of the server.
    pub server: String,
    /// Tool's name as its server gives it.
    pub tool: String,
    /// Text of the endpoint's refusal, at most 300 characters.
    pub reason: String,
}

/// Outcome of a question that was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Text of the model's last reply.
    pub text: String,
    /// Reason why the model stopped.
    pub finish: Finish,
    /// Model that was asked, after aliases are resolved.
    pub model: String,
    /// Number of turns that were used.
    pub turns: usize,
    /// Tokens of all turns, as far as the endpoint reported them.
    pub usage: TokenUsage,
    /// Tool calls, in the order in which the model asked for them.
    pub steps: Vec<Step>,
    /// Tools that the model's endpoint refused, so that it was asked without them.
    pub left_out: Vec<LeftOut>,
}

/// Events while a question is being answered.
#[derive(Debug, Clone)]
pub enum Event {
    /// The next piece of the model's text.
    Token(String),
    /// A tool call begins.
    ToolCall {
        /// Id of the call.
        id: String,
        /// Name of the server; `None` if there is no such tool.
        server: Option<String>,
        /// Tool's own name, or the unknown name that the model used.
        tool: String,
        /// Arguments, as the model wrote them.
        arguments: Box<RawValue>,
    },
    /// A tool call has ended.
    ToolResult {
        /// Id of the call.
        id: String,
        /// The call with its result.
        step: Step,
    },
}

/// Reasons why a question was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// No key for the model's endpoint is configured.
    #[error(
        "OPENAI_API_KEY environment variable not set. Please set it in your .env file or as an environment \
         variable."
    )]
    NoKey,
    /// The key is in a file that cannot be read. The reason names the file and nothing in it.
    #[error("The key for the model cannot be read: {reason}")]
    UnreadableKey {
        /// Path of the file and the error.
        reason: String,
    },
    /// The limit on questions in progress is reached.
    #[error("{limit} queries are being answered already, which is as many as there may be")]
    Busy {
        /// Limit on questions in progress.
        limit: usize,
    },
    /// The time limit of the question was reached.
    #[error("The query was not answered within {} s", after.as_secs_f64())]
    TimedOut {
        /// Time limit of the question.
        after: Duration,
    },
    /// The request cannot be fulfilled as asked.
    #[error("{reason}")]
    Unacceptable {
        /// Description of the problem, and of what would be right.
        reason: String,
    },
    /// The model's endpoint failed, or sent an unusable answer.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A server does not exist, or its tools are not available.
    #[error(transparent)]
    Server(#[from] Error),
}

impl From<TooLong> for ModelError {
    fn from(error: TooLong) -> ModelError {
        ModelError::Unusable { reason: error.to_string() }
    }
}

/// Formats a hint for a refusal: one of the tools may be the reason, or all of them together.
fn narrowing(tools: usize) -> String {
    match tools {
        0 => String::new(),
        1 => " (it was told of 1 tool)".to_owned(),
        many => format!(" (it was told of {many} tools; `tools` in the question names fewer)"),
    }
}

/// Errors of the model's endpoint. No text holds the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The endpoint could not be reached.
    #[error("The model's endpoint could not be reached: {reason}")]
    Unreachable {
        /// Causes of the connection's failure.
        reason: String,
    },
    /// The endpoint fell silent.
    #[error("The model's endpoint said nothing for {} s", after.as_secs_f64())]
    Silent {
        /// Time without any data.
        after: Duration,
    },
    /// The endpoint answered with an error.
    #[error("The model's endpoint answered {status}: {message}{}", narrowing(*.tools))]
    Refused {
        /// HTTP status of the error, or the one that an error inside an answer names.
        status: u16,
        /// Message of the endpoint.
        message: String,
        /// Time after which the endpoint wants to be asked again; `None` if it names none.
        retry_after: Option<Duration>,
        /// Number of tools in the request, if they may be the reason; else 0.
        tools: usize,
    },
    /// The endpoint answered with something other than a chat completion.
    #[error("The model's endpoint sent an unusable answer: {reason}")]
    Unusable {
        /// Description of the problem in the answer.
        reason: String,
    },
}
