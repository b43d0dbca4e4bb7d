//! What the server offers: the same as offers.mjs and offers.py.

// Log messages are deprecated, and tried all the same.
#![allow(deprecated)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::handler::server::tool::ToolCallContext;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ElicitRequest,
    ElicitRequestParams, ElicitationSchema, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    Implementation, InputRequest, InputRequests, InputRequiredResult, InputResponses, JsonObject,
    ListPromptsResult, ListResourcesResult, ListToolsResult, LoggingLevel, LoggingMessageNotificationParam,
    PaginatedRequestParams, ProgressNotificationParam, Prompt, PromptMessage, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, Role,
    ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscriptionFilter, Tool,
};
use rmcp::service::{ElicitationError, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::journal::Journal;

const STEP: Duration = Duration::from_millis(200);
const QUESTION: &str = "What is your name?";
const URI: &str = "note://one";
const PROMPT: &str = "greet";

type Context = RequestContext<RoleServer>;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Text {
    text: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Summands {
    a: f64,
    b: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Seconds {
    seconds: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Size {
    bytes: usize,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Name {
    name: String,
}

rmcp::elicit_safe!(Name);

/// The tools that were added later, of the whole process, and who has to know of it.
pub struct Grown {
    names: Mutex<Vec<String>>,
    changes: watch::Sender<usize>,
}

impl Default for Grown {
    fn default() -> Self {
        Self { names: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Grown {
    fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("grown{}", names.len() + 1);
        names.push(name.clone());
        self.changes.send_replace(names.len());
        name
    }
}

/// One for each session, and where there is none, one for each request.
pub struct Server {
    journal: Journal,
    grown: Arc<Grown>,
    count: AtomicU64,
}

#[tool_router]
impl Server {
    pub fn new(journal: Journal, grown: Arc<Grown>) -> Self {
        Self { journal, grown, count: AtomicU64::new(0) }
    }

    #[tool]
    async fn echo(&self, Parameters(given): Parameters<Text>) -> String {
        self.ran("echo", &given);
        given.text
    }

    #[tool]
    async fn add(&self, Parameters(given): Parameters<Summands>) -> String {
        self.ran("add", &given);
        (given.a + given.b).to_string()
    }

    #[tool]
    async fn slow(
        &self,
        Parameters(given): Parameters<Seconds>,
        context: Context,
    ) -> Result<String, ErrorData> {
        self.ran("slow", &given);
        let steps = (given.seconds / STEP.as_secs_f64()).ceil();
        let mut step = 0.0;
        while step < steps {
            tokio::select! {
                () = tokio::time::sleep(STEP) => step += 1.0,
                () = context.ct.cancelled() => {
                    self.journal.stopped("slow");
                    return Ok("stopped".to_owned());
                }
            }
            if let Some(token) = context.meta.get_progress_token() {
                let progress = ProgressNotificationParam::new(token, step).with_total(steps);
                context.peer.notify_progress(progress).await.map_err(internal)?;
            }
        }
        Ok("done".to_owned())
    }

    #[tool]
    async fn log(&self, Parameters(given): Parameters<Text>, context: Context) -> Result<String, ErrorData> {
        self.ran("log", &given);
        let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, Value::from(given.text));
        context.peer.notify_logging_message(message).await.map_err(internal)?;
        Ok("logged".to_owned())
    }

    #[tool]
    async fn grow(&self, context: Context) -> Result<String, ErrorData> {
        self.ran("grow", &json!({}));
        let name = self.grown.add();
        // To the session that it was asked in; `listen` tells the streams of the modern era.
        if !is_modern(&context) {
            context.peer.notify_tool_list_changed().await.map_err(internal)?;
        }
        Ok(name)
    }

    #[tool]
    async fn count(&self) -> String {
        self.ran("count", &json!({}));
        (self.count.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }

    #[tool]
    async fn big(&self, Parameters(given): Parameters<Size>) -> String {
        self.ran("big", &given);
        "x".repeat(given.bytes)
    }

    /// The name, or in the modern era the question: there a tool returns it and is called again with the answer.
    async fn ask(
        &self,
        answers: Option<InputResponses>,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        self.ran("ask", &json!({}));
        if is_modern(&context) {
            return answers
                .map_or_else(question, |answers| Ok(said(answers["name"]["content"]["name"].as_str())));
        }
        match context.peer.elicit::<Name>(QUESTION).await {
            Ok(answer) => Ok(said(answer.map(|answer| answer.name))),
            Err(ElicitationError::UserDeclined) => Ok(said(Some("decline"))),
            Err(ElicitationError::UserCancelled) => Ok(said(Some("cancel"))),
            Err(error) => Err(internal(error)),
        }
    }

    fn ran(&self, tool: &str, given: &impl Serialize) {
        self.journal.ran(tool, &serde_json::to_value(given).unwrap_or_default());
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_prompts()
            .enable_resources()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("remote-rmcp", "1"))
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools = Self::tool_router().list_all();
        tools.extend(["ask".to_owned()].into_iter().chain(self.grown.names()).map(plain_tool));
        Ok(ListToolsResult::with_all_items(tools))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        Self::tool_router().get(name).cloned()
    }

    async fn call_tool(
        &self,
        asked: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        if asked.name == "ask" {
            return self.ask(asked.input_responses, context).await;
        }
        if self.grown.names().iter().any(|name| *name == asked.name) {
            self.ran(&asked.name, &json!({}));
            return Ok(said(Some(asked.name)));
        }
        Self::tool_router().call(ToolCallContext::new(self, asked, context)).await
    }

    async fn set_level(&self, _asked: SetLevelRequestParams, _context: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![Resource::new(URI, "note").with_mime_type("text/plain")]))
    }

    async fn read_resource(
        &self,
        asked: ReadResourceRequestParams,
        _context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if asked.uri != URI {
            return Err(ErrorData::resource_not_found("there is no such resource", None));
        }
        Ok(ReadResourceResult::new(vec![ResourceContents::text("a note", URI)]).into())
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(vec![Prompt::new(PROMPT, Some("A greeting"), None)]))
    }

    async fn get_prompt(
        &self,
        asked: GetPromptRequestParams,
        _context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        if asked.name != PROMPT {
            return Err(ErrorData::invalid_params("there is no such prompt", None));
        }
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, "Hello!")]).into())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.grown.changes.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                _ = changes.changed() => context.sink().notify_tool_list_changed().await.map_err(internal)?,
            }
        }
    }
}

fn is_modern(context: &Context) -> bool {
    context
        .protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

fn question() -> Result<CallToolResponse, ErrorData> {
    let asked = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: QUESTION.to_owned(),
        requested_schema: ElicitationSchema::from_type::<Name>().map_err(internal)?,
    };
    let asked = InputRequest::Elicitation(ElicitRequest::new(asked));
    Ok(InputRequiredResult::from_input_requests(InputRequests::from([("name".to_owned(), asked)])).into())
}

fn said(text: Option<impl Into<String>>) -> CallToolResponse {
    CallToolResult::success(text.map(ContentBlock::text).into_iter().collect()).into()
}

fn plain_tool(name: String) -> Tool {
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), Value::from("object"));
    let description = format!("The tool {name}");
    Tool::new(name, description, schema)
}

fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
