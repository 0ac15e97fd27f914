//! What policy withholds is not there, whichever way one looks.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::keys::new_key;
use crate::support::servers::PROGRAM;
use crate::support::{Gateway, Reply, code_of, conformance, demo, eventually, scripted, text_of, wire};

const SETTING: &str = "[limits]\nfailed_logins = \"none\"\n[auth]\nanonymous = \"never\"\n";

/// A client with a key, of the modern era.
struct Client<'g> {
    gateway: &'g Gateway,
    path: &'static str,
    bearer: String,
}

impl<'g> Client<'g> {
    /// A client whose key the gateway knows.
    async fn new(gateway: &'g Gateway, path: &'static str, arguments: &[&str]) -> Client<'g> {
        let bearer = format!("Bearer {}", new_key(gateway, arguments));
        let client = Client { gateway, path, bearer };
        eventually("the key is known", || async {
            (gateway.get("/metrics", &[("authorization", &client.bearer)]).await.status == 200).then_some(())
        })
        .await;
        client
    }

    fn at(&self, path: &'static str) -> Client<'g> {
        Client { gateway: self.gateway, path, bearer: self.bearer.clone() }
    }

    async fn request(&self, method: &str, params: Value) -> Reply {
        let body = crate::support::Modern::body(&json!(1), method, params);
        let named = body["params"].get("name").or(body["params"].get("uri")).and_then(Value::as_str);
        let mut headers = vec![
            ("authorization", self.bearer.as_str()),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        headers.extend(named.map(|name| ("mcp-name", name)));
        wire::post(self.gateway.address, self.path, &headers, body.to_string()).await.whole().await
    }

    async fn names(&self, method: &str, list: &str, field: &str) -> Vec<String> {
        let answer = self.request(method, json!({})).await.json();
        let entries = answer["result"][list].as_array().unwrap_or_else(|| panic!("{answer}"));
        entries.iter().map(|entry| entry[field].as_str().expect("a name").to_owned()).collect()
    }

    async fn tools(&self) -> Vec<String> {
        self.names("tools/list", "tools", "name").await
    }

    async fn call(&self, tool: &str) -> Value {
        self.request("tools/call", json!({ "name": tool, "arguments": { "text": "x", "message": "x" } }))
            .await
            .json()
    }
}

#[tokio::test]
async fn readiness_names_nobody_whom_a_caller_may_not_use() {
    let rules =
        "[policy]\ndefault = \"deny\"\n[policy.rules.ci]\nprincipals = [\"key:ci\"]\nallow = [\"a/*\"]\n";
    let broken =
        "[servers.b]\ncommand = \"no-such-program-anywhere\"\n[services.c]\nurl = \"http://127.0.0.1:9\"\n";
    let gateway = Gateway::launch(&(SETTING.to_owned() + rules + &demo("a") + broken)).await;
    let operator = Client::new(&gateway, "/mcp", &["operator", "--scope", "admin"]).await;
    let ci = Client::new(&gateway, "/mcp", &["ci"]).await;
    let told = async |client: &Client<'_>| {
        let told = gateway.get("/readyz", &[("authorization", &client.bearer)]).await.json();
        let names =
            |field: &str| told[field].as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        (told["status"].as_str().unwrap().to_owned(), names("servers"), names("services"), names("degraded"))
    };
    eventually("it is found to be down", || async { (told(&operator).await.3 == "b").then_some(()) }).await;
    let degraded = "degraded".to_owned();
    assert_eq!(told(&operator).await, (degraded.clone(), "a b".into(), "c".into(), "b".into()));
    assert_eq!(told(&ci).await, (degraded, "a".into(), String::new(), String::new()));
}

#[tokio::test]
async fn each_principal_sees_and_uses_what_its_rules_allow_and_nothing_else() {
    let rules = "[policy.rules.ci]\nprincipals = [\"key:ci\"]\nallow = [\"a/*\", \"b/echo\"]\ndeny = [\"*/add\"]\n\
                 [policy.rules.readers]\nscopes = [\"read\"]\nallow = [\"tool:*/*[readOnlyHint]\"]\n";
    let gateway = Gateway::start(&(SETTING.to_owned() + rules + &demo("a") + &demo("b"))).await;
    let ci = Client::new(&gateway, "/mcp", &["ci"]).await;
    let reader = Client::new(&gateway, "/mcp", &["bob", "--scope", "read"]).await;
    let nobody = Client::new(&gateway, "/mcp", &["eve"]).await;

    assert_eq!(ci.tools().await, ["a__ask", "a__echo", "a__slow", "a__time", "b__echo"].map(str::to_owned));
    let read_only = ["echo", "add", "time", "slow"];
    let mut seen = reader.tools().await;
    seen.sort();
    let mut expected: Vec<_> =
        ["a", "b"].iter().flat_map(|server| read_only.map(|tool| format!("{server}__{tool}"))).collect();
    expected.sort();
    assert_eq!(seen, expected);
    assert!(nobody.tools().await.is_empty());

    assert_eq!(text_of(&ci.call("b__echo").await), "x");
    for (client, path, tool) in [
        (&ci, "/mcp", "a__add"),
        (&ci, "/mcp", "b__time"),
        (&ci, "/mcp/b", "time"),
        (&ci, "/mcp/a", "add"),
        (&reader, "/mcp", "a__ask"),
        (&reader, "/mcp/a", "ask"),
        (&nobody, "/mcp", "a__echo"),
    ] {
        let client = client.at(path);
        let prefix = tool.rsplit_once("__").map_or(String::new(), |(server, _)| format!("{server}__"));
        let invented = format!("{prefix}nothing");
        let (denied, unknown) = (client.call(tool).await, client.call(&invented).await);
        assert_eq!(code_of(&denied), -32602, "{path} {tool}");
        assert_eq!(
            denied["error"].to_string().replace(tool, "X"),
            unknown["error"].to_string().replace(&invented, "X"),
            "what is denied looks like what does not exist"
        );
    }
    // A list that depends on the caller is nobody else's.
    let list = ci.request("tools/list", json!({})).await.json();
    assert_eq!(list["result"]["cacheScope"], "private");
}

#[tokio::test]
async fn an_endpoint_of_which_nothing_may_be_used_is_not_there() {
    let rules = "[policy.rules.all]\nallow = [\"a/*\"]\n";
    let gateway = Gateway::start(&(SETTING.to_owned() + rules + &demo("a") + &demo("secret"))).await;
    let client = Client::new(&gateway, "/mcp", &["ci"]).await;
    let hidden = client.at("/mcp/secret").request("tools/list", json!({})).await;
    let absent = client.at("/mcp/absent").request("tools/list", json!({})).await;
    assert_eq!((hidden.status, absent.status), (404, 404));
    assert_eq!(hidden.text().replace("secret", "X"), absent.text().replace("absent", "X"));
    for method in
        ["server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"]
    {
        let answer = client.request(method, json!({})).await;
        assert!(!answer.text().contains("secret"), "{method}: {}", answer.text());
    }
}

/// The conformance server lists resources, templates and prompts.
#[tokio::test]
async fn prompts_resources_templates_completions_and_subscriptions_are_withheld_alike() {
    let rules = "[policy]\ndefault = \"allow\"\n[policy.rules.ci]\n\
                 deny = [\"prompt:s/test_prompt_with_arguments\", \"resource:s/test://static-text\", \
                 \"resource:s/test://template/*\"]\n";
    let gateway = Gateway::start(&(SETTING.to_owned() + rules + &conformance("s", &[]))).await;
    for path in ["/mcp", "/mcp/s"] {
        let client = Client::new(&gateway, path, &["ci", "--another"]).await;
        let prefix = if path == "/mcp" { "s__" } else { "" };
        let prompt = format!("{prefix}test_prompt_with_arguments");
        let prompts = client.names("prompts/list", "prompts", "name").await;
        assert!(!prompts.contains(&prompt) && !prompts.is_empty(), "{prompts:?}");
        let resources = client.names("resources/list", "resources", "uri").await;
        assert!(
            !resources.contains(&"test://static-text".to_owned()) && !resources.is_empty(),
            "{resources:?}"
        );
        let templates = client.names("resources/templates/list", "resourceTemplates", "uriTemplate").await;
        assert!(templates.iter().all(|template| !template.starts_with("test://template/")), "{templates:?}");

        let same = |denied: &Value, unknown: &Value, names: [&str; 2]| {
            let (denied, unknown) = (denied["error"].to_string(), unknown["error"].to_string());
            assert_eq!(denied.replace(names[0], "X"), unknown.replace(names[1], "X"), "{path}");
            assert!(denied.contains("code"), "{denied}");
        };
        let ask = async |method: &str, params: Value| client.request(method, params).await.json();
        let invented = format!("{prefix}nothing");
        same(
            &ask("prompts/get", json!({ "name": prompt, "arguments": { "arg1": "a", "arg2": "b" } })).await,
            &ask("prompts/get", json!({ "name": invented, "arguments": {} })).await,
            [&prompt, &invented],
        );
        same(
            &ask("resources/read", json!({ "uri": "test://static-text" })).await,
            &ask("resources/read", json!({ "uri": "other://nothing" })).await,
            ["test://static-text", "other://nothing"],
        );
        same(
            &ask("resources/read", json!({ "uri": "test://template/1/data" })).await,
            &ask("resources/read", json!({ "uri": "other://nothing" })).await,
            ["test://template/1/data", "other://nothing"],
        );
        let completion = |name: &str| json!({ "ref": { "type": "ref/prompt", "name": name }, "argument": { "name": "arg1", "value": "" } });
        same(
            &ask("completion/complete", completion(&prompt)).await,
            &ask("completion/complete", completion(&invented)).await,
            [&prompt, &invented],
        );
        let body = crate::support::Modern::body(
            &json!(7),
            "subscriptions/listen",
            json!({ "notifications": { "resourceSubscriptions": ["test://static-text"] } }),
        );
        let headers = [
            ("authorization", client.bearer.as_str()),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "subscriptions/listen"),
        ];
        let mut stream = wire::post(gateway.address, path, &headers, body.to_string()).await;
        let acknowledged = stream.message().await.expect("an acknowledgement");
        assert_eq!(
            acknowledged["params"]["notifications"]["resourceSubscriptions"],
            Value::Null,
            "{acknowledged}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_still_coming_up_is_not_given_away() {
    // It never comes up: a call of somebody who may use it waits for it, and names it in the end.
    let slow = "\n[servers.slow]\ncommand = \"sleep\"\nargs = [\"60\"]\nprotocol = \"legacy\"\n";
    let rules = "[policy.rules.all]\nallow = [\"a/*\"]\n";
    let gateway = Gateway::launch(&(SETTING.to_owned() + rules + &scripted("a", &[]) + slow)).await;
    let client = Client::new(&gateway, "/mcp", &["ci"]).await;
    let (hidden, absent) = (client.call("slow__x").await, client.call("absent__x").await);
    assert_eq!(
        hidden["error"].to_string().replace("slow__x", "X"),
        absent["error"].to_string().replace("absent__x", "X")
    );
}

#[test]
fn explain_names_the_rule_its_file_and_its_line() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("gateway.toml");
    let rules = "[policy.rules.ci]\nprincipals = [\"key:ci\"]\nallow = [\"a/*\"]\ndeny = [\"*/delete_*\"]\n";
    std::fs::write(&file, rules.to_owned() + &demo("a")).expect("written");
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["policy", "explain"]).args(arguments).arg("--config").arg(&file);
        let output = command.output().expect("ran");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, text) = explain(&["key:ci", "a__delete_it"]);
    assert_eq!(code, Some(3));
    assert!(
        text.starts_with("denied: key:ci") && text.contains("policy.rules.ci.deny has \"*/delete_*\""),
        "{text}"
    );
    assert!(text.contains("gateway.toml:4)"), "{text}");
    let (code, text) = explain(&["key:ci", "a/read"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("policy.rules.ci.allow has \"a/*\"") && text.contains("gateway.toml:3)"), "{text}");
    let (code, text) = explain(&["anonymous", "a__read"]);
    assert_eq!(code, Some(3));
    assert!(text.contains("no rule speaks of it"), "{text}");
    assert_eq!(explain(&["key:ci", "nowhere__x"]).0, Some(2));
}
