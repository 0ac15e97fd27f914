//! rmcp, which knows nothing of us, as the client of a gateway: both lifecycles, both kinds of endpoint.

use std::sync::{Arc, Mutex};

use rmcp::model::{
    ArgumentInfo, CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest,
    CompleteRequestParams, GetPromptRequestParams, PingRequest, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, Reference, ResourceContents, ServerNotification, ServerResult,
    SubscriptionFilter,
};
use rmcp::service::{
    ClientServiceExt, NotificationContext, PeerRequestOptions, RoleClient, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, ClientLifecycleMode};
use serde_json::{Value, json};

use crate::support::{Gateway, demo, eventually, scripted, within};

/// Notes what it is told of.
#[derive(Clone, Default)]
pub struct Listener {
    progress: Arc<Mutex<Vec<f64>>>,
    changes: Arc<Mutex<usize>>,
}

impl ClientHandler for Listener {
    async fn on_progress(&self, note: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().unwrap().push(note.progress);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        *self.changes.lock().unwrap() += 1;
    }
}

pub type Client = RunningService<RoleClient, Listener>;

pub fn legacy() -> ClientLifecycleMode {
    ClientLifecycleMode::Initialize
}

pub fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

/// rmcp's own transport and lifecycle, at a path of the gateway.
pub async fn connect(gateway: &Gateway, path: &str, lifecycle: ClientLifecycleMode) -> Client {
    let transport = StreamableHttpClientTransport::from_uri(format!("http://{}{path}", gateway.address));
    let connected = Listener::default().serve_with_lifecycle(transport, lifecycle);
    within("rmcp connects", connected).await.expect("connected")
}

pub fn call(name: impl Into<String>, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name.into()).with_arguments(serde_json::from_value(arguments).unwrap())
}

pub fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

pub fn error_of(outcome: Result<impl std::fmt::Debug, ServiceError>) -> (i32, String) {
    match outcome.expect_err("an error") {
        ServiceError::McpError(error) => (error.code.0, error.message.into_owned()),
        other => panic!("not an error of the protocol: {other}"),
    }
}

/// Everything that a client does with a server, at an endpoint where names begin with `prefix`.
async fn everything_works(gateway: &Gateway, path: &str, prefix: &str, lifecycle: ClientLifecycleMode) {
    let old = lifecycle == legacy();
    all_of_it(connect(gateway, path, lifecycle).await, prefix, old).await;
}

/// The same, by a client that is connected in whatever way.
pub async fn all_of_it(client: Client, prefix: &str, old: bool) {
    let named = |name: &str| format!("{prefix}{name}");

    let mut tools: Vec<String> =
        client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect();
    tools.sort();
    assert_eq!(tools, ["add", "ask", "echo", "slow", "time"].map(named));

    let echoed =
        client.call_tool(call(named("echo"), json!({ "message": "trunk — \"line\"" }))).await.unwrap();
    assert_eq!(text(&echoed), "trunk — \"line\"");

    let slow = call(named("slow"), json!({ "seconds": 0.2, "steps": 4 }));
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(slow));
    let sent = client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
    let ServerResult::CallToolResult(done) = sent.await_response().await.unwrap() else {
        panic!("a tool's result")
    };
    assert_eq!(text(&done), "4 steps in 0.2 seconds");
    let progress = client.service().progress.lock().unwrap().clone();
    assert_eq!(progress, [1.0, 2.0, 3.0, 4.0], "every step, in order, before the result");

    let resources = client.list_all_resources().await.unwrap();
    assert!(resources.iter().any(|resource| resource.uri == "demo://readme"), "{resources:?}");
    let templates = client.list_all_resource_templates().await.unwrap();
    assert!(
        templates.iter().any(|template| template.uri_template == "demo://greeting/{name}"),
        "{templates:?}"
    );
    for (uri, expected) in [("demo://readme", "This is the demo server."), ("demo://greeting/Ada", "Ada")] {
        let read = client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
        let ResourceContents::TextResourceContents { text, .. } = &read.contents[0] else { panic!("text") };
        assert!(text.contains(expected), "{text}");
    }

    let prompts = client.list_all_prompts().await.unwrap();
    assert_eq!(prompts.iter().map(|prompt| prompt.name.clone()).collect::<Vec<_>>(), [named("introduce")]);
    let arguments = serde_json::from_value(json!({ "name": "Ada" })).unwrap();
    let prompt = GetPromptRequestParams::new(named("introduce")).with_arguments(arguments);
    let prompt = client.get_prompt(prompt).await.unwrap();
    assert_eq!(prompt.description.as_deref(), Some("An introduction in two sentences"));

    let reference = Reference::for_prompt(named("introduce"));
    let argument = ArgumentInfo::new("name", "A");
    let completed = client.complete(CompleteRequestParams::new(reference, argument)).await.unwrap();
    assert!(!completed.completion.values.is_empty());
    assert!(completed.completion.values.iter().all(|value| value.starts_with('A')), "{completed:?}");

    if old {
        let pong = client.send_request(ClientRequest::PingRequest(PingRequest::default())).await.unwrap();
        assert!(matches!(pong, ServerResult::EmptyResult(_)), "{pong:?}");
    }

    let (code, message) = error_of(client.call_tool(call(named("nothing"), json!({}))).await);
    assert_eq!(code, -32602, "{message}");
    let (code, message) =
        error_of(client.read_resource(ReadResourceRequestParams::new("demo://nowhere")).await);
    // The error is the server's own, in its own era; the retired code must not reach a modern client.
    assert!(code == -32602 || old && code == -32002, "{code}: {message}");
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_legacy_client_finds_everything_at_the_merged_endpoint() {
    let gateway = Gateway::start(&demo("demo")).await;
    everything_works(&gateway, "/mcp", "demo__", legacy()).await;
}

#[tokio::test]
async fn a_modern_client_finds_everything_at_the_merged_endpoint() {
    let gateway = Gateway::start(&demo("demo")).await;
    everything_works(&gateway, "/mcp", "demo__", modern()).await;
}

#[tokio::test]
async fn a_legacy_client_finds_everything_at_a_servers_own_endpoint() {
    let gateway = Gateway::start(&demo("demo")).await;
    everything_works(&gateway, "/mcp/demo", "", legacy()).await;
}

#[tokio::test]
async fn a_modern_client_finds_everything_at_a_servers_own_endpoint() {
    let gateway = Gateway::start(&demo("demo")).await;
    everything_works(&gateway, "/mcp/demo", "", modern()).await;
}

#[tokio::test]
async fn without_any_configuration_of_servers_the_endpoint_answers_with_empty_lists() {
    let gateway = Gateway::start("").await;
    for lifecycle in [legacy(), modern()] {
        let client = connect(&gateway, "/mcp", lifecycle).await;
        assert!(client.list_all_tools().await.unwrap().is_empty());
        let (code, _) = error_of(client.call_tool(call("demo__echo", json!({}))).await);
        assert_eq!(code, -32602);
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn clients_of_both_eras_hear_of_changes_in_the_way_of_their_era() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let old = connect(&gateway, "/mcp", legacy()).await;
    let new = connect(&gateway, "/mcp", modern()).await;
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    let mut subscription = within("a subscription", new.listen(filter)).await.expect("acknowledged");
    // rmcp opens its own stream beside the first calls: the change is made until it is heard.
    let heard = eventually("the legacy client hears of it", || async {
        old.call_tool(call("s__list-changed", json!({}))).await.unwrap();
        let changes = *old.service().changes.lock().unwrap();
        (changes > 0).then_some(changes)
    });
    heard.await;
    let note = within("a change", subscription.next()).await.expect("a stream").expect("a change");
    assert!(matches!(note, ServerNotification::ToolListChangedNotification(_)), "{note:?}");
    for client in [&old, &new] {
        let tools = client.list_all_tools().await.unwrap();
        assert!(tools.iter().any(|tool| tool.name == "s__extra"), "whoever hears of it finds it");
    }
}
