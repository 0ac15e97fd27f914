//! Prompt enhancement against a process that behaves like Ollama: who is asked, how often, and what a trouble costs.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Backend, Gateway, eventually, service, wire};

async fn started(more: &str) -> (Backend, Gateway) {
    let ollama = Backend::ollama(0).await;
    let gateway =
        Gateway::start(&(service("o", &ollama.url) + "\n[enhance]\nservice = \"o\"\n" + more)).await;
    (ollama, gateway)
}

async fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: Value) -> Value {
    let reply = wire::request(gateway.address, "POST", path, headers, body.to_string()).await.whole().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn enhance(gateway: &Gateway, prompt: &str) -> Value {
    post(gateway, "/enhance", &[], json!({ "prompt": prompt })).await
}

#[tokio::test]
async fn a_known_prompt_is_answered_without_the_model_unless_the_cache_is_passed_by_or_reset() {
    let (ollama, gateway) = started("").await;
    let first = enhance(&gateway, "write a poem").await;
    assert_eq!(
        first,
        json!({
            "original": "write a poem", "prompt": "better: write a poem", "enhanced": true,
            "model": "llama3.2:3b", "cached": false, "reason": null,
        })
    );
    let asked: Value = serde_json::from_str(ollama.seen().await["last"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(asked["options"], json!({ "temperature": 0.3, "num_predict": 500 }));
    assert_eq!(json!([asked["stream"], asked["prompt"]]), json!([false, "write a poem"]));
    let second = enhance(&gateway, "write a poem").await;
    assert_eq!(json!([second["cached"], second["prompt"]]), json!([true, "better: write a poem"]));
    assert_eq!(ollama.seen().await["generated"], 1, "a hit asks nobody");
    let body = json!({ "prompt": "write a poem", "bypass_cache": true });
    assert_eq!(post(&gateway, "/enhance", &[], body).await["cached"], false);
    assert_eq!(ollama.seen().await["generated"], 2);
    let stats = gateway.get("/enhance/stats", &[]).await.json();
    assert_eq!(json!([stats["enhanced"], stats["cached"], stats["cache"]["size"]]), json!([2, 1, 1]));
    post(&gateway, "/ollama/reset", &[], json!({})).await;
    let stats = gateway.get("/ollama/stats", &[]).await.json();
    assert_eq!(
        json!([stats["cache"]["size"], stats["cache"]["hits"], stats["ollama_healthy"]]),
        json!([0, 0, true])
    );
    enhance(&gateway, "write a poem").await;
    assert_eq!(ollama.seen().await["generated"], 3);
}

#[tokio::test]
async fn fifty_equal_prompts_at_once_are_one_question() {
    let (ollama, gateway) = started("").await;
    ollama.behave(json!({ "hold": true })).await;
    let all: Vec<_> = (0..50)
        .map(|_| {
            let address = gateway.address;
            let body = json!({ "prompt": "the same" }).to_string();
            tokio::spawn(
                async move { wire::request(address, "POST", "/enhance", &[], body).await.whole().await },
            )
        })
        .collect();
    eventually("a model is asked", || async { (ollama.seen().await["generated"] == 1).then_some(()) }).await;
    ollama.behave(json!({ "hold": false })).await;
    for one in all {
        let answer = one.await.unwrap().json();
        assert_eq!(json!([answer["prompt"], answer["enhanced"]]), json!(["better: the same", true]));
    }
    assert_eq!(ollama.seen().await["generated"], 1);
}

#[tokio::test]
async fn a_model_that_is_down_costs_the_original_prompt_and_nobody_a_failure_and_soon_no_time() {
    let (ollama, gateway) = started("").await;
    drop(ollama);
    for number in 0..3 {
        let answer = enhance(&gateway, &format!("prompt {number}")).await;
        assert_eq!(json!([answer["enhanced"], answer["prompt"]]), json!([false, format!("prompt {number}")]));
        assert!(answer["reason"].as_str().unwrap().contains("cannot be reached"), "{answer}");
    }
    let since = Instant::now();
    let answer = enhance(&gateway, "prompt 4").await;
    assert!(since.elapsed() < Duration::from_secs(5), "an open breaker makes nobody wait");
    assert_eq!(json!([answer["enhanced"], answer["prompt"]]), json!([false, "prompt 4"]));
    assert!(answer["reason"].as_str().unwrap().contains("the next try is in"), "{answer}");
    let stats = gateway.get("/enhance/stats", &[]).await.json();
    assert_eq!(json!([stats["failed"], stats["refused"], stats["breaker"]]), json!([3, 1, "open"]));
    let agenthub = post(&gateway, "/ollama/enhance", &[], json!({ "prompt": "p" })).await;
    assert_eq!(
        json!([agenthub["enhanced"], agenthub["was_enhanced"], agenthub["cached"]]),
        json!(["p", false, false])
    );
    assert!(agenthub["error"].is_string());
}

#[tokio::test]
async fn a_slow_model_is_given_up_in_time_and_a_cold_one_is_waited_for() {
    let (ollama, gateway) = started("timeout = \"2s\"\n").await;
    ollama.behave(json!({ "cold": 300 })).await;
    assert_eq!(enhance(&gateway, "cold").await["enhanced"], true);
    ollama.behave(json!({ "slow": 600_000 })).await;
    let answer = enhance(&gateway, "slow").await;
    assert_eq!(json!([answer["enhanced"], answer["prompt"]]), json!([false, "slow"]));
    assert!(answer["reason"].as_str().unwrap().contains("enhance.timeout"), "{answer}");
}

#[tokio::test]
async fn a_client_has_its_own_rule_over_the_default_and_a_request_may_only_be_stricter_about_privacy() {
    let (ollama, gateway) = started(
        "[enhance.default]\nmodel = \"missing\"\nfallback = [\"missing-too\", \"small\"]\n\
         [enhance.clients.coder]\nmodel = \"coder\"\n\
         [enhance.clients.off]\nenabled = false\n\
         [enhance.clients.secret]\nmodel = \"m\"\nprivacy = \"none\"\n",
    )
    .await;
    let ask = |client: &'static str, privacy: Value| {
        let body = json!({ "prompt": "p", "privacy": privacy });
        let gateway = &gateway;
        async move { post(gateway, "/enhance", &[("x-client-name", client)], body).await }
    };
    assert_eq!(ask("anybody", Value::Null).await["model"], "small", "the chain is gone through");
    assert_eq!(ollama.seen().await["generated"], 3);
    assert_eq!(ask("coder", json!("local")).await["model"], "coder", "the service is on this machine");
    for (client, privacy, why) in [
        ("off", Value::Null, "disabled"),
        ("secret", json!("any"), "privacy"),
        ("coder", json!("none"), "privacy"),
    ] {
        let answer = ask(client, privacy).await;
        assert_eq!(json!([answer["enhanced"], answer["prompt"]]), json!([false, "p"]), "{client}");
        assert!(answer["reason"].as_str().unwrap().contains(why), "{answer}");
    }
    assert_eq!(ollama.seen().await["generated"], 4, "what no model may see is sent to none");
    let bad = wire::request(gateway.address, "POST", "/enhance", &[], r#"{"prompt":1}"#).await.whole().await;
    assert_eq!((bad.status, bad.json()["error"].as_str()), (400, Some("invalid_request")));
}
