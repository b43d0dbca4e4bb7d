//! rmcp, the SDK that others wrote in Rust, as a client of each era at each kind of endpoint.

#![allow(deprecated, reason = "sampling is deprecated, and works until it is gone")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, CreateMessageRequestParams,
    CreateMessageResult, ElicitRequestParams, ElicitResult, ElicitationAction, GetPromptRequestParams,
    Implementation, ProgressNotificationParam, ProtocolVersion, ReadResourceRequestParams, SamplingMessage,
    ServerNotification, SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RequestContext, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{SERVERS, form, sample, world};
use crate::support::gateway::Gateway;
use crate::support::{DEADLINE, wait_until};

const GROUP: &str = "[groups.both]\nservers = [\"legacy\", \"modern\"]\n";

/// What is asked of it, it answers; what it is told, it counts.
#[derive(Clone, Default)]
struct Client {
    progress: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let abilities = json!({"elicitation": {}, "sampling": {}});
        let abilities: ClientCapabilities = serde_json::from_value(abilities).expect("capabilities");
        ClientConfig::new(abilities, Implementation::new("rmcp", "3.11.0"))
    }

    async fn create_elicitation(
        &self,
        asked: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let asked = serde_json::to_value(&asked).expect("JSON");
        let content = json!({"name": asked["message"]});
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(content))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text("sampled"), "test".to_owned()))
    }

    async fn on_progress(&self, _: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

/// A client at an endpoint, and what the endpoint puts before the names of one of its servers.
struct Visit {
    client: Client,
    running: RunningService<RoleClient, Client>,
    prefix: String,
    is_modern: bool,
}

fn lifecycles() -> [(ClientLifecycleMode, bool); 3] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [
        (ClientLifecycleMode::Initialize, false),
        (ClientLifecycleMode::Discover { preferred_versions: preferred_versions.clone() }, true),
        (ClientLifecycleMode::Auto { preferred_versions, legacy_version: None }, true),
    ]
}

impl Visit {
    async fn open(
        gateway: &Gateway,
        endpoint: &str,
        prefix: String,
        how: (ClientLifecycleMode, bool),
    ) -> Visit {
        let config =
            StreamableHttpClientTransportConfig::with_uri(format!("http://{}{endpoint}", gateway.address()))
                .auth_header(gateway.key());
        let transport = StreamableHttpClientTransport::from_config(config);
        let client = Client::default();
        let running = client.clone().serve_with_lifecycle(transport, how.0).await.expect("opened");
        Visit { client, running, prefix, is_modern: how.1 }
    }

    async fn call(&self, tool: &str, arguments: Value) -> CallToolResult {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let call = CallToolRequestParams::new(format!("{}{tool}", self.prefix)).with_arguments(arguments);
        self.running.call_tool(call).await.unwrap_or_else(|error| panic!("{tool}: {error}"))
    }

    async fn told(&self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).await.structured_content.unwrap_or_default()
    }

    async fn lists_calls_reads_and_completes(&self) {
        let tools = self.running.list_all_tools().await.expect("tools");
        assert!(tools.iter().any(|tool| tool.name == format!("{}echo", self.prefix)), "{tools:?}");
        assert_eq!(self.told("echo", json!({"nonce": 7})).await["nonce"], 7);
        let failed = self.call("fail", json!({"message": "broken"})).await;
        assert_eq!(failed.is_error, Some(true));
        let resources = self.running.list_all_resources().await.expect("resources");
        let uri = resources.first().expect("a resource").uri.clone();
        let read = self.running.read_resource(ReadResourceRequestParams::new(uri)).await.expect("read");
        assert!(!read.contents.is_empty());
        let prompts = self.running.list_all_prompts().await.expect("prompts");
        let prompt = prompts.first().expect("a prompt").name.clone();
        let got = self.running.get_prompt(GetPromptRequestParams::new(prompt)).await.expect("got");
        assert!(!got.messages.is_empty());
    }

    async fn is_asked_and_answers(&self) {
        let rounds = json!({"rounds": [[form("Ann")], [sample("go on")]]});
        let told = self.told("interview", rounds).await;
        assert_eq!(told["rounds"][0]["q0"]["result"]["content"]["name"], "Ann", "{told}");
        assert_eq!(told["rounds"][1]["q0"]["result"]["content"]["text"], "sampled", "{told}");
    }

    async fn hears_progress_and_changes(&self) {
        self.call("progress", json!({"ms": 60, "every_ms": 20})).await;
        wait_until("progress was told", DEADLINE, || async {
            (self.client.progress.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
        if !self.is_modern {
            self.call("change_tools", json!({})).await;
            tokio::time::timeout(DEADLINE, self.client.changed.notified()).await.expect("told of the change");
            return;
        }
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let mut changes = self.running.listen(filter).await.expect("acknowledged");
        self.call("change_tools", json!({})).await;
        let told = tokio::time::timeout(DEADLINE, changes.next()).await.expect("in time").expect("no error");
        assert!(matches!(told, Some(ServerNotification::ToolListChangedNotification(_))), "{told:?}");
        changes.cancel().await.expect("cancelled");
    }

    async fn end(self) {
        self.running.cancel().await.expect("ended");
    }
}

#[tokio::test]
async fn rmcp_works_in_either_era_before_either_era_at_one_server_all_and_a_group() {
    // Its HTTP client wants one, also without TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gateway = world(GROUP).await;
    for server in SERVERS {
        let full = format!("{server}__");
        for (endpoint, prefix) in [
            (format!("/mcp/{server}"), String::new()),
            ("/mcp".to_owned(), full.clone()),
            ("/mcp/both".to_owned(), full),
        ] {
            for how in lifecycles() {
                let visit = Visit::open(&gateway, &endpoint, prefix.clone(), how).await;
                visit.lists_calls_reads_and_completes().await;
                visit.is_asked_and_answers().await;
                visit.hears_progress_and_changes().await;
                visit.end().await;
            }
        }
    }
    gateway.stop().await;
}
