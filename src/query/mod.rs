//! Answering a question with the help of servers' tools: a model is told what tools there are, calls
//! them as it likes, and says in the end what it found (contract, section 5.10). The model is behind any
//! endpoint that speaks OpenAI's chat completions.
//!
//! Each tool call is a call of whoever asked, by the same way as all others: the same permissions,
//! limits, usage and audit. A query that is dropped cancels what it has under way.

mod ask;
mod blame;
mod chat;
mod made;
mod offer;
mod run;
mod schema;
mod settings;
mod sse;
mod talk;
mod tool_text;
mod trial;
mod unwanted;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

pub use self::chat::TokenUsage;
pub use self::made::CallsMade;
pub use self::run::Queries;
pub use self::settings::{ApiKey, KeyHeader, KeySource, LlmSettings, MalformedKey};
pub use self::sse::{SseData, TooLong};
use crate::service::Error;

/// A question and how it is to be answered.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The servers whose tools may be used, by id or name; at least one.
    pub servers: Vec<String>,
    /// The question.
    pub text: String,
    /// The model; the configured one if none is named.
    pub model: Option<String>,
    /// How often the model may be asked, at most what is configured.
    pub max_turns: Option<usize>,
    /// Passed on to the model.
    pub temperature: Option<f64>,
    /// Only these tools, of those that there are.
    pub tools: Option<Vec<String>>,
    /// How long all of it may take, at most what is configured.
    pub timeout: Option<Duration>,
    /// Where the calls are counted as they are made, for whoever asks.
    pub made: Arc<CallsMade>,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It had said what it had to say.
    Stop,
    /// Its answer was cut off at its length limit.
    Length,
    /// It refused, or its provider did for it.
    Refusal,
    /// It was asked as often as it may be and still wanted to call tools.
    MaxTurns,
}

/// A tool call that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The server's name; none where the model named a tool that there is not.
    pub server: Option<String>,
    /// The tool's own name, or what the model took for one.
    pub tool: String,
    /// What it was given, as the model wrote it.
    pub arguments: Box<RawValue>,
    /// What the model was told.
    pub result: String,
    /// Whether that was an error.
    pub is_error: bool,
    /// How long it took.
    pub duration_ms: u64,
}

/// A tool that the model was not told of after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The server's name.
    pub server: String,
    /// The tool's own name.
    pub tool: String,
    /// What the model's endpoint said of it.
    pub reason: String,
}

/// What came of a question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The model's last words.
    pub text: String,
    /// Why they were the last.
    pub finish: Finish,
    /// The model that was asked.
    pub model: String,
    /// How often it was asked.
    pub turns: usize,
    /// The tokens of all turns, as far as they were told.
    pub usage: TokenUsage,
    /// Every tool call, in the order they were asked for.
    pub steps: Vec<Step>,
    /// The tools that the model's endpoint refused, so that it was asked without them.
    pub left_out: Vec<LeftOut>,
}

/// What happens while a question is being answered.
#[derive(Debug, Clone)]
pub enum Event {
    /// The model said this much more.
    Token(String),
    /// The model called a tool.
    ToolCall {
        /// The call's id.
        id: String,
        /// The server's name; none where there is no such tool.
        server: Option<String>,
        /// The tool's own name.
        tool: String,
        /// As the model wrote them.
        arguments: Box<RawValue>,
    },
    /// A tool answered.
    ToolResult {
        /// The call's id.
        id: String,
        /// The call.
        step: Step,
    },
}

/// Why a question was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// There is no key for the model's endpoint.
    #[error(
        "OPENAI_API_KEY environment variable not set. Please set it in your .env file or as an environment \
         variable."
    )]
    NoKey,
    /// The key is in a file that cannot be read. The reason names the file and nothing in it.
    #[error("The key for the model cannot be read: {reason}")]
    UnreadableKey {
        /// Why.
        reason: String,
    },
    /// As many questions are being answered as may be.
    #[error("{limit} queries are being answered already, which is as many as there may be")]
    Busy {
        /// How many that is.
        limit: usize,
    },
    /// It took too long.
    #[error("The query was not answered within {} s", after.as_secs_f64())]
    TimedOut {
        /// How long it was given.
        after: Duration,
    },
    /// What was asked for cannot be.
    #[error("{reason}")]
    Unacceptable {
        /// What, and what would be right.
        reason: String,
    },
    /// The model's endpoint failed, or said something that cannot be used.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A server is not there, or its tools cannot be had.
    #[error(transparent)]
    Server(#[from] Error),
}

impl From<TooLong> for ModelError {
    fn from(error: TooLong) -> ModelError {
        ModelError::Unusable { reason: error.to_string() }
    }
}

/// What a refusal may be helped by: it may be one of many tools that is refused, or all of them together.
fn narrowing(tools: usize) -> String {
    match tools {
        0 => String::new(),
        1 => " (it was told of 1 tool)".to_owned(),
        many => format!(" (it was told of {many} tools; `tools` in the question names fewer)"),
    }
}

/// What went wrong with the model's endpoint. No text holds the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It could not be reached.
    #[error("The model's endpoint could not be reached: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// It fell silent.
    #[error("The model's endpoint said nothing for {} s", after.as_secs_f64())]
    Silent {
        /// For how long.
        after: Duration,
    },
    /// It answered with an error.
    #[error("The model's endpoint answered {status}: {message}{}", narrowing(*.tools))]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        message: String,
        /// When it would like to be asked again.
        retry_after: Option<Duration>,
        /// How many tools it was told of, where that may be the reason; else 0.
        tools: usize,
    },
    /// It answered with something else than a chat completion.
    #[error("The model's endpoint sent an unusable answer: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
}
