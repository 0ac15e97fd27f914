//! Questions of legacy servers to modern clients: the call waits here while its client finds answers.

use serde_json::{Value, json};

use crate::support::{
    Backend, Gateway, Legacy, Modern, Reply, code_of, eventually, message_of, over_http, scripted, stats,
    text_of,
};

fn isolated(isolation: &str) -> String {
    scripted("s", &["--era", "legacy"]) + &format!("isolation = \"{isolation}\"\n")
}

/// One call, which is repeated with what its server wants to know.
struct Conversation {
    client: Modern,
    params: Value,
    capabilities: Value,
    id: u64,
}

impl Conversation {
    fn new(gateway: &Gateway, arguments: Value) -> Conversation {
        let capabilities = json!({ "elicitation": {}, "sampling": {}, "roots": {} });
        let params = json!({ "name": "s__inquire", "arguments": arguments });
        Conversation { client: Modern::new(gateway, "/mcp"), params, capabilities, id: 0 }
    }

    async fn send(&mut self, more: &[(&str, &Value)]) -> Reply {
        self.id += 1;
        let mut params = self.params.clone();
        params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": self.capabilities });
        for (name, value) in more {
            params[*name] = (*value).clone();
        }
        let reply =
            self.client.post(&Modern::body(&json!(self.id), "tools/call", params)).await.whole().await;
        assert_eq!(reply.json()["id"], self.id, "{}", reply.text());
        reply
    }

    async fn begin(&mut self) -> Value {
        self.send(&[]).await.json()
    }

    async fn answer(&mut self, asked: &Value, answers: &Value) -> Value {
        let state = &asked["result"]["requestState"];
        self.send(&[("requestState", state), ("inputResponses", answers)]).await.json()
    }
}

/// What is asked, as (key, text), in the order of the text.
fn questions(asked: &Value) -> Vec<(String, String)> {
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert!(asked["result"]["requestState"].is_string(), "{asked}");
    let requests = asked["result"]["inputRequests"].as_object().expect("questions");
    let text = |request: &Value| request["params"]["message"].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = requests.iter().map(|(key, request)| (key.clone(), text(request))).collect();
    all.sort_by(|a, b| a.1.cmp(&b.1));
    all
}

fn accept(questions: &[(String, String)]) -> Value {
    let answer = |text: &str| json!({ "action": "accept", "content": { "value": text } });
    questions.iter().map(|(key, text)| (key.clone(), answer(text))).collect::<serde_json::Map<_, _>>().into()
}

fn values(done: &Value) -> Vec<String> {
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    let answers: Vec<Value> = serde_json::from_str(&text_of(done)).expect("a list");
    answers.iter().map(|answer| answer["content"]["value"].as_str().unwrap_or_default().to_owned()).collect()
}

/// How often the tools of the calling client's own child have been called, without the question itself.
async fn runs(gateway: &Gateway) -> u64 {
    let capabilities = json!({ "elicitation": {}, "sampling": {}, "roots": {} });
    let client = Legacy::able(gateway, "/mcp", capabilities).await;
    stats(&client, "s__stats").await["calls"].as_u64().expect("a count")
}

#[tokio::test]
async fn several_questions_in_several_rounds_are_asked_and_answered_in_one_run_of_the_tool() {
    let backend = Backend::start("scripted-server", &["--era", "legacy"]).await;
    let http = over_http("s", &backend.url);
    for entry in [isolated("principal"), isolated("session"), isolated("shared") + "questions = true\n", http]
    {
        let gateway = Gateway::start(&entry).await;
        // What a server writes at once reaches the gateway at once, unless the machine holds the server up in between.
        // Then the client is asked twice, and the same is tried again.
        let mut together = false;
        for _ in 0..TRIES {
            together = converse(&gateway, &entry).await == [3, 3];
            if together {
                break;
            }
        }
        assert!(together, "what is asked at once is never put to the client at once: {entry}");
    }
}

/// How often questions that are asked at once may be torn apart by a busy machine.
const TRIES: usize = 30;

/// A call whose server asks three questions twice over. Answers how many the client was asked at first, and at first in
/// the second round.
async fn converse(gateway: &Gateway, entry: &str) -> [usize; 2] {
    let mut call = Conversation::new(gateway, json!({ "text": "x", "count": 3, "rounds": 2 }));
    let mut asked = call.begin().await;
    let mut texts: Vec<String> = Vec::new();
    let mut at_first = [0; 2];
    while asked["result"]["resultType"] == "input_required" {
        let open = questions(&asked);
        let round = texts.len() / 3;
        assert!(texts.len() + open.len() <= 3 * (round + 1), "rounds are not mixed: {asked}");
        if texts.len().is_multiple_of(3) {
            at_first[round] = open.len();
        }
        texts.extend(open.iter().map(|(_, text)| text.clone()));
        asked = call.answer(&asked, &accept(&open)).await;
    }
    let all = ["x/1/1", "x/1/2", "x/1/3", "x/2/1", "x/2/2", "x/2/3"];
    assert_eq!(texts, all, "each is asked once, in its turn: {entry}");
    assert_eq!(values(&asked), all, "{entry}");
    at_first
}

#[tokio::test]
async fn what_is_left_unanswered_is_asked_again_under_the_same_key() {
    let gateway = Gateway::start(&isolated("principal")).await;
    let mut call = Conversation::new(&gateway, json!({ "text": "x", "count": 3 }));
    let first = call.begin().await;
    let open = questions(&first);
    let nonsense = json!({ open[1].0.clone(): 5, "unheard-of": {} });
    let second = call.answer(&first, &nonsense).await;
    assert_eq!(questions(&second), open, "what is no answer answers nothing");
    let third = call.answer(&second, &accept(&open[..1])).await;
    assert_eq!(questions(&third), open[1..]);
    let done = call.answer(&third, &accept(&open[1..])).await;
    assert_eq!(values(&done), ["x/1/1", "x/1/2", "x/1/3"]);
    assert_eq!(runs(&gateway).await, 2, "one run of the tool, and the question how often");
}

#[tokio::test]
async fn a_state_is_good_once_for_its_own_request_and_the_tool_is_not_run_again() {
    let gateway = Gateway::start(&isolated("principal")).await;
    let mut call = Conversation::new(&gateway, json!({ "text": "x" }));
    let asked = call.begin().await;
    let answers = accept(&questions(&asked));
    let state = asked["result"]["requestState"].clone();
    let mut other = Conversation::new(&gateway, json!({ "text": "y" }));
    let refused = other.answer(&asked, &answers).await;
    assert_eq!(code_of(&refused), -32602, "it is bound to its request: {refused}");
    let forged = json!(state.as_str().unwrap().to_owned() + "A");
    let refused = call.send(&[("requestState", &forged), ("inputResponses", &answers)]).await.json();
    assert_eq!(code_of(&refused), -32602, "{refused}");
    assert_eq!(values(&call.answer(&asked, &answers).await), ["x/1/1"]);
    let refused = call.answer(&asked, &answers).await;
    assert_eq!(code_of(&refused), -32602, "it has been used: {refused}");
    assert_eq!(runs(&gateway).await, 2, "one run of the tool, and the question how often");
}

#[tokio::test]
async fn a_state_of_another_run_of_the_gateway_is_refused_and_nothing_runs() {
    let config = isolated("principal");
    let mut gateway = Gateway::start(&config).await;
    let mut call = Conversation::new(&gateway, json!({ "text": "x" }));
    let asked = call.begin().await;
    gateway.signal(rustix::process::Signal::KILL);
    gateway.ended().await;
    let again = Gateway::launch_again(&gateway, &config, 0).await;
    again.ready().await;
    let mut call = Conversation { client: Modern::new(&again, "/mcp"), ..call };
    let refused = call.answer(&asked, &accept(&questions(&asked))).await;
    assert_eq!(code_of(&refused), -32602, "{refused}");
    assert_eq!(runs(&again).await, 1, "only the question how often");
}

#[tokio::test]
async fn abandoned_rounds_are_given_up_and_the_server_is_told() {
    let gateway = Gateway::start(&(isolated("principal") + "answer_timeout = \"400ms\"\n")).await;
    let mut call = Conversation::new(&gateway, json!({ "text": "x" }));
    let asked = call.begin().await;
    let capabilities = json!({ "elicitation": {}, "sampling": {}, "roots": {} });
    let client = Legacy::able(&gateway, "/mcp", capabilities).await;
    eventually("the server hears of it", || async {
        (stats(&client, "s__stats").await["cancellations"] == 1).then_some(())
    })
    .await;
    let refused = call.answer(&asked, &accept(&questions(&asked))).await;
    assert_eq!(code_of(&refused), -32602, "{refused}");
}

#[tokio::test]
async fn more_waiting_calls_than_may_be_are_refused_with_a_hint() {
    let gateway = Gateway::start(&format!("[gateway]\nmax_parked = 1\n{}", isolated("principal"))).await;
    let mut first = Conversation::new(&gateway, json!({ "text": "x" }));
    let asked = first.begin().await;
    let mut second = Conversation::new(&gateway, json!({ "text": "y" }));
    let refused = second.begin().await;
    assert_eq!(code_of(&refused), -31429, "{refused}");
    assert!(message_of(&refused).contains("max_parked"), "{refused}");
    let done = first.answer(&asked, &accept(&questions(&asked))).await;
    assert_eq!(values(&done), ["x/1/1"]);
    assert_eq!(questions(&second.begin().await).len(), 1, "there is room again");
}

#[tokio::test]
async fn a_server_names_its_questions_and_answers_may_come_with_the_first_request() {
    let gateway = Gateway::start(&isolated("principal")).await;
    let mut call = Conversation::new(&gateway, json!({ "text": "x", "key": "name" }));
    let asked = call.begin().await;
    assert_eq!(questions(&asked), [("name-1-1".to_owned(), "x/1/1".to_owned())]);
    let brought = json!({ "name-1-1": { "action": "accept", "content": { "value": "here" } }, "more": {} });
    let done = call.send(&[("inputResponses", &brought)]).await.json();
    assert_eq!(values(&done), ["here"]);
    // A number of the gateway's own may mean something else each time.
    let mut nameless = Conversation::new(&gateway, json!({ "text": "x" }));
    let key = questions(&nameless.begin().await)[0].0.clone();
    let brought = json!({ key: { "action": "accept", "content": { "value": "guessed" } } });
    let asked = nameless.send(&[("inputResponses", &brought)]).await.json();
    assert_eq!(questions(&asked).len(), 1, "{asked}");
}

#[tokio::test]
async fn a_call_that_fails_for_want_of_a_capability_names_it_and_one_that_does_not_passes() {
    let gateway = Gateway::start(&isolated("principal")).await;
    for (method, needed) in [
        ("elicitation/create", json!({ "elicitation": {} })),
        ("sampling/createMessage", json!({ "sampling": {} })),
        ("roots/list", json!({ "roots": {} })),
    ] {
        for how in ["error", "result"] {
            let mut call = Conversation::new(&gateway, json!({ "method": method, "fail": how }));
            call.capabilities = json!({});
            let refused = call.send(&[]).await;
            assert_eq!((refused.status, code_of(&refused.json())), (400, -32021), "{}", refused.text());
            assert_eq!(refused.json()["error"]["data"], json!({ "requiredCapabilities": needed }));
        }
        let mut call = Conversation::new(&gateway, json!({ "method": method }));
        call.capabilities = json!({});
        let passed = call.begin().await;
        assert!(text_of(&passed).contains("-32601"), "{passed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_principal_carry_each_others_questions_and_no_answer_crosses() {
    for isolation in ["principal", "session"] {
        let gateway = Gateway::start(&isolated(isolation)).await;
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..WORKERS {
            let mut call = Conversation::new(&gateway, json!({}));
            tasks.spawn(async move {
                for nth in 0..ROUNDS {
                    let text = format!("{worker}-{nth}");
                    call.params["arguments"] = json!({ "text": text });
                    call.id = 0;
                    let mut asked = call.begin().await;
                    // The same principal's calls may carry each other's questions, never lose or mix them up.
                    while asked["result"]["resultType"] == "input_required" {
                        asked = call.answer(&asked, &accept(&questions(&asked))).await;
                    }
                    assert_eq!(values(&asked), [format!("{text}/1/1")], "{isolation}");
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("a worker");
        }
    }
}

const WORKERS: usize = 8;
const ROUNDS: usize = 40;

#[tokio::test]
async fn a_parked_call_gives_its_place_at_the_server_to_others_and_goes_on_all_the_same() {
    let entry = isolated("principal") + "questions = true\nmax_in_flight = 1\n";
    let gateway = Gateway::start(&entry).await;
    let mut parked = Conversation::new(&gateway, json!({ "text": "x" }));
    let asked = parked.begin().await;
    let mut other = Conversation::new(&gateway, json!({ "text": "y" }));
    let also = other.begin().await;
    assert_eq!(values(&other.answer(&also, &accept(&questions(&also))).await), ["y/1/1"]);
    assert_eq!(values(&parked.answer(&asked, &accept(&questions(&asked))).await), ["x/1/1"]);
}
