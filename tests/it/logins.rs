//! The gateway's own logins to servers: where its tokens come from, whom they are shown to, and what is told when there
//! are none.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::commands::printed;
use crate::support::servers::PROGRAM;
use crate::support::wire;
use crate::support::{
    Backend, Gateway, Legacy, Modern, eventually, message_of, over_http, scripted, text_of,
};

/// An authorization server, and an MCP server that takes its tokens.
async fn authority() -> Backend {
    Backend::start("oauth-server", &[]).await
}

fn issuer(backend: &Backend) -> String {
    format!("http://127.0.0.1:{}/as", backend.port())
}

fn behind(backend: &Backend) -> String {
    over_http("s", &backend.url)
}

/// The entry of a server to which the gateway shows credentials of its own.
fn with_credentials(backend: &Backend) -> String {
    behind(backend)
        + &format!(
            "[servers.s.oauth]\ngrant = \"client_credentials\"\nissuer = \"{}\"\nclient_id = \"gateway\"\n\
             client_secret = \"s3cret: +/&\"\nscopes = [\"read\"]\n",
            issuer(backend)
        )
}

/// So many calls of the tool `read`, all under way together.
async fn at_once(client: &Arc<Legacy>, calls: usize) -> Vec<Value> {
    let mut under_way = JoinSet::new();
    for _ in 0..calls {
        let client = client.clone();
        under_way.spawn(async move { client.call("s__read", json!({})).await });
    }
    under_way.join_all().await
}

async fn count(backend: &Backend, what: &str) -> u64 {
    backend.seen().await["counts"][what].as_u64().unwrap_or_default()
}

/// A person at a terminal, who runs `trunkline login` there.
struct Person {
    login: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Person {
    fn sits_down(gateway: &Gateway) -> Person {
        let mut command = Command::new(PROGRAM);
        command.args(["login", "s", "--no-browser", "--config"]).arg(gateway.folder().join("gateway.toml"));
        command.arg("--data-dir").arg(gateway.folder().join("data"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut login = command.spawn().expect("login started");
        let said = BufReader::new(login.stdout.take().expect("stdout"));
        Person { login, said }
    }

    /// The address of the login page; none, if the login ends before.
    fn page(&mut self) -> Option<http::Uri> {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("read");
        line.trim().parse().ok().filter(|_| !line.is_empty())
    }

    /// Where the authorization server sends the person back to.
    async fn let_in(page: &http::Uri) -> http::Uri {
        let reply = get(page).await;
        assert_eq!(reply.status, 302, "{}", reply.text());
        reply.header("location").expect("a location").parse().expect("a URL")
    }

    /// How the login ended, and what was said of it.
    fn ends(mut self) -> (bool, String) {
        let mut said = String::new();
        self.login.stderr.take().expect("stderr").read_to_string(&mut said).expect("read");
        (self.login.wait().expect("ended").success(), said)
    }
}

async fn get(url: &http::Uri) -> wire::Reply {
    let address: SocketAddr = url.authority().expect("host").as_str().parse().expect("an address");
    let target = url.path_and_query().expect("path").as_str();
    wire::request(address, "GET", target, &[], "").await.whole().await
}

/// Somebody logs in by a browser on this machine.
async fn log_in(gateway: &Gateway) -> String {
    let mut person = Person::sits_down(gateway);
    let Some(page) = person.page() else { panic!("no page: {}", person.ends().1) };
    let back = get(&Person::let_in(&page).await).await;
    assert_eq!(back.status, 200);
    let (well, said) = tokio::task::spawn_blocking(|| person.ends()).await.unwrap();
    assert!(well, "{said}");
    said
}

#[tokio::test]
async fn a_server_is_shown_a_token_of_the_gateways_own_and_never_what_the_client_shows() {
    let backend = authority().await;
    let gateway = Gateway::start(&with_credentials(&backend)).await;
    let body = Modern::body(&json!(1), "tools/call", json!({ "name": "s__read", "arguments": {} }));
    let headers = [
        ("authorization", "Bearer canary-of-the-client"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "s__read"),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    let reply = wire::post(gateway.address, "/mcp", &headers, body.to_string()).await.whole().await;
    assert_eq!(text_of(&reply.json()), "read");
    assert_eq!(count(&backend, "client_credentials").await, 1, "one token for all that a start needs");
    assert!(!gateway.log().contains("canary"), "no token is in the log");
}

#[tokio::test]
async fn a_hundred_calls_with_an_expired_token_are_one_renewal() {
    let backend = authority().await;
    let gateway = Gateway::start(&with_credentials(&backend)).await;
    let client = Arc::new(Legacy::open(&gateway, "/mcp").await);
    // The server forgets all tokens, and its authority takes its time: all calls come back at once.
    backend.behave(json!({ "forget_tokens": true, "token_delay_ms": 300 })).await;
    let before = count(&backend, "client_credentials").await;
    let answers = at_once(&client, 100).await;
    assert!(answers.iter().all(|answer| text_of(answer) == "read"), "{answers:?}");
    assert_eq!(count(&backend, "client_credentials").await, before + 1);
}

#[tokio::test]
async fn a_client_of_its_own_takes_the_scope_that_a_call_needs_and_asks_for_no_more() {
    let backend = authority().await;
    let gateway = Gateway::start(&with_credentials(&backend)).await;
    let client = Modern::new(&gateway, "/mcp");
    assert_eq!(text_of(&client.call("s__read", json!({})).await), "read");
    assert_eq!(text_of(&client.call("s__write", json!({})).await), "read write");
    assert_eq!(text_of(&client.call("s__read", json!({})).await), "read write");
    assert_eq!((count(&backend, "client_credentials").await, count(&backend, "403").await), (2, 1));
}

#[tokio::test]
async fn a_secret_goes_to_the_authority_that_it_belongs_to_and_to_no_other() {
    let backend = authority().await;
    let stranger = authority().await;
    backend.behave(json!({ "issuer": issuer(&stranger) })).await;
    let gateway = Gateway::launch(&with_credentials(&backend)).await;
    let readiness = gateway.in_state("s", &["failed"]).await;
    let why = readiness["degraded"]["s"].as_str().unwrap_or_default();
    assert!(why.contains("needs_login") && why.contains("change oauth.issuer"), "{why}");
    assert_eq!(stranger.seen().await["counts"], json!({}), "the stranger has heard nothing");
    // Metadata that says that it is somebody else's is not used either.
    let backend = authority().await;
    backend.behave(json!({ "metadata_issuer": issuer(&stranger) })).await;
    let gateway = Gateway::launch(&with_credentials(&backend)).await;
    let readiness = gateway.in_state("s", &["failed"]).await;
    let why = readiness["degraded"]["s"].as_str().unwrap_or_default();
    assert!(why.contains("is that of"), "{why}");
    assert_eq!(count(&backend, "client_credentials").await, 0);
}

#[tokio::test]
async fn who_logs_in_is_taken_up_without_a_restart_and_renewed_without_a_person() {
    let backend = authority().await;
    let gateway = Gateway::launch(&behind(&backend)).await;
    let readiness = gateway.in_state("s", &["failed"]).await;
    let why = readiness["degraded"]["s"].as_str().unwrap_or_default();
    assert!(why.contains("needs_login") && why.contains("trunkline login s"), "{why}");
    let client = Arc::new(Legacy::open(&gateway, "/mcp").await);
    let refused = client.request("tools/call", json!({ "name": "s__read", "arguments": {} })).await;
    assert_eq!(refused.status, 200, "a client is never asked for a login that is not its own");
    assert!(message_of(&refused.json()).contains("s"), "{}", refused.text());

    // Tokens of two seconds: after a rest every call finds one that has expired.
    backend.behave(json!({ "expires_in": 2 })).await;
    let said = log_in(&gateway).await;
    assert!(
        said.contains("Everybody who may use this gateway") && said.contains("Logged in to 's'"),
        "{said}"
    );
    gateway.in_state("s", &["ready"]).await;
    let seen = backend.seen().await;
    let asked = &seen["authorize"];
    assert_eq!((asked["scope"].as_str(), asked["resource"].as_str()), (Some("read"), Some(&*backend.url)));

    // A refresh token is good once here: two renewals at once would be a login lost.
    backend.behave(json!({ "token_delay_ms": 200 })).await;
    for _ in 0..2 {
        let before = count(&backend, "refresh_token").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let answers = at_once(&client, 64).await;
        assert_eq!(count(&backend, "refresh_token").await, before + 1, "64 calls are one renewal");
        assert!(answers.iter().all(|answer| text_of(answer) == "read"), "{answers:?}");
    }
    assert_eq!(count(&backend, "logins").await, 1);

    // Nothing of it is readable on disk, nor in the log.
    let kept = std::fs::read_to_string(gateway.folder().join("data/logins/s")).unwrap();
    assert!(!kept.contains("canary") && !gateway.log().contains("canary"));

    // When the authority takes the refresh token no more, a person is needed, and nothing goes round in circles.
    backend.behave(json!({ "forget_tokens": true, "forget_refresh": true })).await;
    let answer = client.call("s__read", json!({})).await;
    assert!(message_of(&answer).contains("trunkline login s"), "{answer}");
    gateway.in_state("s", &["failed"]).await;
    let before = count(&backend, "refresh_token").await;
    backend.behave(json!({ "expires_in": 3600, "token_delay_ms": 0 })).await;
    log_in(&gateway).await;
    gateway.in_state("s", &["ready"]).await;
    assert_eq!(text_of(&client.call("s__read", json!({})).await), "read");
    assert_eq!(count(&backend, "refresh_token").await, before, "a login that is lost is not renewed again");
}

/// What the interface says of a server's login, in the list and in detail.
async fn login_of(gateway: &Gateway, server: &str) -> Value {
    let detail = gateway.get(&format!("/api/v1/servers/{server}"), &[]).await.json();
    let list = gateway.get("/api/v1/servers", &[]).await.json();
    let listed = list["servers"].as_array().unwrap().iter().find(|one| one["name"] == server).unwrap();
    let brief = |one: &Value| json!([one["login"], one["login_reason"]]);
    assert_eq!(brief(listed), brief(&detail));
    brief(&detail)
}

#[tokio::test]
async fn the_interface_and_the_command_tell_how_a_login_is_doing() {
    let (backend, open) = (authority().await, Backend::start("scripted-server", &[]).await);
    let config = behind(&backend) + &over_http("open", &open.url) + &scripted("own", &[]);
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("open", &["ready"]).await;
    gateway.in_state("s", &["failed"]).await;
    assert_eq!(login_of(&gateway, "own").await, json!([null, null]), "a child has none to be made");
    assert_eq!(login_of(&gateway, "open").await, json!(["not_asked", null]));
    let reason = "has not been logged in to; run `trunkline login s`";
    assert_eq!(login_of(&gateway, "s").await, json!(["needed", reason]));
    let line = async |server: &str| {
        let text = printed(&gateway, &["servers", server]).await;
        text.lines().find(|line| line.trim_start().starts_with("login ")).map(|line| line.trim().to_owned())
    };
    let told = line("s").await.unwrap();
    assert!(told.ends_with("needed: it has not been logged in to; run `trunkline login s`"), "{told}");
    assert_eq!(line("own").await, None);

    log_in(&gateway).await;
    gateway.in_state("s", &["ready"]).await;
    assert_eq!(login_of(&gateway, "s").await, json!(["logged_in", null]));
    assert!(line("s").await.unwrap().ends_with("logged in"));

    // What is lost while the server is in use shows as well.
    backend.behave(json!({ "forget_tokens": true, "forget_refresh": true })).await;
    Legacy::open(&gateway, "/mcp").await.call("s__read", json!({})).await;
    let lost = eventually("somebody has to log in again", || async {
        let login = login_of(&gateway, "s").await;
        (login[0] == "needed").then_some(login)
    })
    .await;
    assert!(lost[1].as_str().unwrap().contains("trunkline login s"), "{lost}");
}

#[tokio::test]
async fn a_login_outlives_the_gateway_and_ends_with_a_logout() {
    let backend = authority().await;
    let mut gateway = Gateway::launch(&behind(&backend)).await;
    log_in(&gateway).await;
    gateway.in_state("s", &["ready"]).await;
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    let again = Gateway::launch_again(&gateway, &behind(&backend), 0).await;
    again.in_state("s", &["ready"]).await;
    let mut command = Command::new(PROGRAM);
    command.args(["logout", "s", "--config"]).arg(gateway.folder().join("gateway.toml"));
    let output = command.arg("--data-dir").arg(gateway.folder().join("data")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // What is in use is let go of; the next question to the server is refused.
    let client = Legacy::open(&again, "/mcp").await;
    eventually("the login is forgotten", || async {
        let answer = client.call("s__read", json!({})).await;
        answer.get("error").map(|_| ())
    })
    .await;
    again.in_state("s", &["failed"]).await;
}

#[tokio::test]
async fn a_call_that_needs_more_says_so_and_the_next_login_asks_for_it() {
    let backend = authority().await;
    let gateway = Gateway::launch(&behind(&backend)).await;
    log_in(&gateway).await;
    gateway.in_state("s", &["ready"]).await;
    let client = Modern::new(&gateway, "/mcp");
    let answer = client.call("s__write", json!({})).await;
    assert!(message_of(&answer).contains("(write); run `trunkline login s`"), "{answer}");
    assert_eq!(text_of(&client.call("s__read", json!({})).await), "read", "what was allowed goes on");
    log_in(&gateway).await;
    assert_eq!(backend.seen().await["authorize"]["scope"], "read write", "nothing that was granted is lost");
    eventually("the new login is in use", || async {
        (text_of(&client.call("s__write", json!({})).await) == "read write").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_login_that_was_tampered_with_is_told_by_name_and_by_cure() {
    let backend = authority().await;
    let mut gateway = Gateway::launch(&behind(&backend)).await;
    log_in(&gateway).await;
    let file = gateway.folder().join("data/logins/s");
    let mut sealed = std::fs::read(&file).unwrap();
    sealed[20] ^= 1;
    std::fs::write(&file, sealed).unwrap();
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    let again = Gateway::launch_again(&gateway, &behind(&backend), 0).await;
    let readiness = again.in_state("s", &["failed"]).await;
    let why = readiness["degraded"]["s"].as_str().unwrap_or_default();
    assert!(why.contains("logins/s does not open") && why.contains("trunkline login s"), "{why}");
    // Who forgets it is not told of it for ever after.
    let mut command = Command::new(PROGRAM);
    command.args(["logout", "s", "--config"]).arg(again.folder().join("gateway.toml"));
    let output = command.arg("--data-dir").arg(again.folder().join("data")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    eventually("the damaged login is forgotten", || async {
        let readiness = again.get("/readyz", &[]).await.json();
        let why = readiness["degraded"]["s"].as_str().unwrap_or_default();
        why.contains("has not been logged in to; run `trunkline login s`").then_some(())
    })
    .await;
    log_in(&again).await;
    again.in_state("s", &["ready"]).await;
}

#[tokio::test]
async fn a_tool_that_refuses_every_token_costs_its_callers_and_not_the_login() {
    let backend = authority().await;
    let gateway = Gateway::launch(&behind(&backend)).await;
    log_in(&gateway).await;
    gateway.in_state("s", &["ready"]).await;
    backend.behave(json!({ "refuse": "write" })).await;
    let client = Modern::new(&gateway, "/mcp");
    for _ in 0..3 {
        let refused = client.call("s__write", json!({})).await;
        assert!(message_of(&refused).contains("'s'"), "{refused}");
        assert_eq!(text_of(&client.call("s__read", json!({})).await), "read");
    }
    assert_eq!(login_of(&gateway, "s").await, json!(["logged_in", null]));
    assert!(count(&backend, "refresh_token").await <= 1, "nobody makes us ask at their own pace");
}

#[tokio::test]
async fn an_authority_that_is_away_is_waited_for_and_named() {
    let backend = authority().await;
    // Nobody listens on the port of the discard protocol.
    let away = "http://127.0.0.1:9/as";
    backend.behave(json!({ "issuer": away })).await;
    let config = with_credentials(&backend).replace(&issuer(&backend), away);
    let gateway = Gateway::launch(&config).await;
    let why = eventually("why it is not up", || async {
        let readiness = gateway.get("/readyz", &[]).await.json();
        readiness["degraded"]["s"].as_str().filter(|why| why.contains("cannot")).map(str::to_owned)
    })
    .await;
    assert!(why.contains("127.0.0.1:9 cannot be reached") && !why.contains("needs_login"), "{why}");
    assert_eq!(login_of(&gateway, "s").await[0], "not_asked", "there is nothing that anybody has to do");
}

#[tokio::test]
async fn a_way_out_that_a_reload_corrects_is_corrected_for_logins_too() {
    let backend = authority().await;
    let good = with_credentials(&backend);
    // Nobody listens on the port of the discard protocol.
    let gateway = Gateway::launch(
        &good.replace("[servers.s.oauth]", "proxy = \"http://127.0.0.1:9\"\n[servers.s.oauth]"),
    )
    .await;
    eventually("it has been tried", || async {
        let readiness = gateway.get("/readyz", &[]).await.json();
        readiness["degraded"]["s"].is_string().then_some(())
    })
    .await;
    std::fs::write(gateway.folder().join("gateway.toml"), &good).unwrap();
    gateway.signal(Signal::HUP);
    gateway.in_state("s", &["ready"]).await;
    assert_eq!(text_of(&Modern::new(&gateway, "/mcp").call("s__read", json!({})).await), "read");
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_before_its_code_goes_anywhere() {
    let backend = authority().await;
    backend.behave(json!({ "iss": "https://evil.example" })).await;
    let gateway = Gateway::launch(&behind(&backend)).await;
    let mut person = Person::sits_down(&gateway);
    let page = person.page().expect("a page");
    get(&Person::let_in(&page).await).await;
    let (well, said) = tokio::task::spawn_blocking(|| person.ends()).await.unwrap();
    assert!(!well && said.contains("https://evil.example"), "{said}");
    assert_eq!(count(&backend, "authorization_code").await, 0);
}

#[tokio::test]
async fn a_person_whose_browser_is_elsewhere_pastes_where_it_ended() {
    let backend = authority().await;
    let gateway = Gateway::launch(&behind(&backend)).await;
    let mut person = Person::sits_down(&gateway);
    let page = person.page().expect("a page");
    let back = Person::let_in(&page).await;
    let mut stdin = person.login.stdin.take().expect("stdin");
    // Not the address at all, then that of somebody else's login, then the right one.
    let stranger = format!("{}?code=stolen&state=other", back.path());
    writeln!(stdin, "hello\n{stranger}\n{back}").unwrap();
    let (well, said) = tokio::task::spawn_blocking(|| person.ends()).await.unwrap();
    assert!(well && said.contains("no part of this login"), "{said}");
    gateway.in_state("s", &["ready"]).await;
}

#[tokio::test]
async fn a_server_that_says_it_is_another_is_not_logged_in_to() {
    let backend = authority().await;
    backend.behave(json!({ "resource": "https://evil.example/mcp" })).await;
    let gateway = Gateway::launch(&behind(&backend)).await;
    let mut person = Person::sits_down(&gateway);
    assert_eq!(person.page(), None);
    let (well, said) = person.ends();
    assert!(!well && said.contains("https://evil.example/mcp"), "{said}");
    assert_eq!(count(&backend, "registered").await, 0);
}

#[tokio::test]
async fn a_credential_from_a_file_is_read_again_with_a_reload() {
    let backend = Backend::start("scripted-server", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let entry = format!("headers = {{ X-Own = \"${{file:{}}}\" }}\n", file.display());
    let gateway = Gateway::start(&(over_http("s", &backend.url) + &entry)).await;
    let client = Modern::new(&gateway, "/mcp");
    let shown = async || {
        let headers: Value =
            serde_json::from_str(&text_of(&client.call("s__headers", json!({})).await)).unwrap();
        headers["x-own"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(shown().await, "first");
    std::fs::write(&file, "second\n").unwrap();
    gateway.signal(Signal::HUP);
    eventually("the second credential is in use", || async { (shown().await == "second").then_some(()) })
        .await;
}
