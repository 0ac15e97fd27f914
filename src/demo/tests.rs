use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    ArgumentInfo, CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
    ClientRequest, CompleteRequestParams, ElicitRequestParams, ElicitResult, ElicitationAction,
    GetPromptRequestParams, Implementation, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, Reference, ResourceContents,
};
use rmcp::service::{
    ClientServiceExt, NotificationContext, PeerRequestOptions, RequestContext, RoleClient, RunningService,
};
use rmcp::{ClientHandler, ClientLifecycleMode, ErrorData, ServiceExt};
use serde_json::json;

use super::server::Demo;

/// More than any test's message takes.
const PIPE_BYTES: usize = 64 * 1024;

#[derive(Clone, Default)]
struct User {
    answers: bool,
    progress: Arc<Mutex<Vec<f64>>>,
}

impl ClientHandler for User {
    fn get_info(&self) -> ClientConfig {
        let builder = ClientCapabilities::builder();
        let capabilities = if self.answers { builder.enable_elicitation().build() } else { builder.build() };
        ClientConfig::new(capabilities, Implementation::new("user", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Err(ErrorData::invalid_params("only forms", None));
        };
        Ok(ElicitResult::new(ElicitationAction::Accept)
            .with_content(json!({ "answer": format!("{message} 42") })))
    }

    async fn on_progress(&self, note: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().unwrap().push(note.progress);
    }
}

const ERAS: [fn() -> ClientLifecycleMode; 2] = [|| ClientLifecycleMode::Initialize, modern];

fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

async fn connected(user: User, era: ClientLifecycleMode) -> RunningService<RoleClient, User> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(async move { Demo.serve(theirs).await.unwrap().waiting().await });
    user.serve_with_lifecycle(ours, era).await.unwrap()
}

fn call(name: &'static str, arguments: serde_json::Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(serde_json::from_value(arguments).unwrap())
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

#[tokio::test]
async fn plain_tools_answer_in_both_eras() {
    for era in ERAS {
        let client = connected(User::default(), era()).await;
        let echoed = client.call_tool(call("echo", json!({ "message": "trunk" }))).await.unwrap();
        assert_eq!(text(&echoed), "trunk");
        let sum = client.call_tool(call("add", json!({ "a": 2, "b": 3.5 }))).await.unwrap();
        assert_eq!(text(&sum), "5.5");
        let time = client.call_tool(call("time", json!({}))).await.unwrap();
        let time = text(&time);
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    }
}

#[tokio::test]
async fn a_question_reaches_the_user_in_both_eras() {
    for era in ERAS {
        let client = connected(User { answers: true, ..User::default() }, era()).await;
        let told = client.call_tool(call("ask", json!({ "question": "how many?" }))).await.unwrap();
        assert_eq!(text(&told), "The user answered: how many? 42");
    }
}

#[tokio::test]
async fn a_client_without_elicitation_gets_a_tool_error_that_says_so() {
    for era in ERAS {
        let client = connected(User::default(), era()).await;
        let refused = client.call_tool(call("ask", json!({ "question": "how many?" }))).await.unwrap();
        assert_eq!(refused.is_error, Some(true));
        assert!(text(&refused).contains("elicitation"));
    }
}

#[tokio::test(start_paused = true)]
async fn slow_reports_every_step() {
    for era in ERAS {
        let user = User::default();
        let progress = user.progress.clone();
        let client = connected(user, era()).await;
        let done = client.call_tool(call("slow", json!({ "seconds": 4, "steps": 4 }))).await.unwrap();
        assert_eq!(text(&done), "4 steps in 4 seconds");
        assert_eq!(*progress.lock().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_slow_call_stops_reporting() {
    let user = User::default();
    let progress = user.progress.clone();
    let client = connected(user, ClientLifecycleMode::Initialize).await;
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(call(
        "slow",
        json!({ "seconds": 600, "steps": 600 }),
    )));
    let pending = client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    pending.cancel(Some("enough".into())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*progress.lock().unwrap(), [1.0, 2.0]);
}

#[tokio::test]
async fn wrong_slow_arguments_are_named() {
    let client = connected(User::default(), ClientLifecycleMode::Initialize).await;
    for (arguments, named) in [(json!({ "seconds": 601 }), "seconds"), (json!({ "steps": 0 }), "steps")] {
        let error = client.call_tool(call("slow", arguments)).await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn resources_read_and_unknown_ones_are_refused_with_the_code_of_their_era() {
    for (era, code) in [(ClientLifecycleMode::Initialize, -32002), (modern(), -32602)] {
        let client = connected(User::default(), era).await;
        assert_eq!(client.list_all_resources().await.unwrap()[0].uri, "demo://readme");
        assert_eq!(
            client.list_all_resource_templates().await.unwrap()[0].uri_template,
            "demo://greeting/{name}"
        );
        let read =
            client.read_resource(ReadResourceRequestParams::new("demo://greeting/Ada%20L.")).await.unwrap();
        let ResourceContents::TextResourceContents { text, .. } = &read.contents[0] else {
            panic!("{read:?}")
        };
        assert_eq!(text, "Hello, Ada L.!");
        for wrong in ["demo://greeting/", "demo://greeting/%zz", "demo://nothing"] {
            let error = client.read_resource(ReadResourceRequestParams::new(wrong)).await.unwrap_err();
            let rmcp::ServiceError::McpError(error) = error else { panic!("{error:?}") };
            assert_eq!(error.code.0, code, "{wrong}");
        }
    }
}

#[tokio::test]
async fn the_prompt_fills_in_its_name_and_completes_it() {
    for era in ERAS {
        let client = connected(User::default(), era()).await;
        let arguments = serde_json::from_value(json!({ "name": "Ada" })).unwrap();
        let prompt = client
            .get_prompt(GetPromptRequestParams::new("introduce").with_arguments(arguments))
            .await
            .unwrap();
        assert!(prompt.messages[0].content.as_text().unwrap().text.contains("Introduce Ada"));
        let argument = ArgumentInfo::new("name", "a");
        let completed =
            client.complete(CompleteRequestParams::new(Reference::for_prompt("introduce"), argument)).await;
        assert_eq!(completed.unwrap().completion.values, ["Ada", "Almon", "Alan"]);
    }
}
