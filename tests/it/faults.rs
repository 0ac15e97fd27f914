//! What a fleet does about servers that are idle, hung, busy, slow or failing, by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::processes::{alive, marked, none_left, unique_name};
use crate::support::servers::program;
use crate::support::{
    Backend, Counter, Gateway, Legacy, code_of, eventually, message_of, over_http, processes, scripted,
    section, shell, stats, text_of,
};

/// Health checks that are quick enough for a test.
const QUICK: &str = "health_interval = \"100ms\"\nhealth_misses = 2\n";

async fn pid(client: &Legacy, server: &str) -> u64 {
    let told: Value =
        serde_json::from_str(&client.text(&format!("{server}__whoami"), json!({})).await).expect("JSON");
    told["pid"].as_u64().expect("a pid")
}

fn halt(pid: u64) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::STOP).expect("signal sent");
}

/// The value of a metric, with its labels as they are written.
async fn metric(gateway: &Gateway, name: &str) -> Option<f64> {
    let reply = gateway.get("/metrics", &[]).await;
    reply.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

async fn echo(client: &Legacy, server: &str) -> Value {
    client.call(&format!("{server}__echo"), json!({ "message": "here" })).await
}

async fn state(gateway: &Gateway, server: &str) -> String {
    gateway.readiness().await["servers"][server].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_lazy_server_is_listed_from_the_last_run_and_started_by_the_first_call() {
    let name = unique_name();
    let config = marked(&scripted(&name, &[]), &name) + "start = \"lazy\"\n";
    // Of a server that nobody has ever seen nothing is known, so the first run asks it.
    let mut first = Gateway::start(&config).await;
    eventually("its lists are on file", || async { (state(&first, &name).await == "ready").then_some(()) })
        .await;
    first.signal(Signal::TERM);
    first.ended().await;
    let second = Gateway::launch_again(&first, &config, 0).await;
    let client = Legacy::open(&second, "/mcp").await;
    let tools = client.request("tools/list", json!({})).await.json();
    assert_eq!(tools["result"]["tools"][0]["name"], format!("{name}__echo"));
    let readiness = second.readiness().await;
    assert_eq!((&readiness["status"], &readiness["servers"][&name]), (&json!("ready"), &json!("dormant")));
    assert_eq!(code_of(&client.call(&format!("{name}__no-such-tool"), json!({})).await), -32602);
    assert_eq!(alive(&name), [0u32; 0], "neither a list nor an unknown name wakes it");
    assert_eq!(text_of(&echo(&client, &name).await), "here");
    assert_eq!(state(&second, &name).await, "ready");
}

#[tokio::test]
async fn an_idle_server_is_stopped_and_the_next_calls_wake_it_together() {
    let name = unique_name();
    let gateway = Gateway::start(&(marked(&scripted(&name, &[]), &name) + "idle_stop = \"300ms\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let long = client.call(&format!("{name}__sleep"), json!({ "ms": 900 })).await;
    assert_eq!(text_of(&long), "slept", "a server at work is not idle");
    none_left(&name).await;
    gateway.in_state(&name, &["dormant"]).await;
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let (client, name) = (client.clone(), name.clone());
        calls.spawn(async move { echo(&client, &name).await });
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(text_of(&answer.unwrap()), "here");
    }
    let generation = metric(&gateway, &format!("trunkline_server_generation{{server=\"{name}\"}}")).await;
    assert_eq!(generation, Some(2.0), "they woke it once");
}

#[tokio::test]
async fn no_call_is_lost_to_a_server_that_is_just_falling_asleep() {
    let gateway =
        Gateway::start(&(scripted("s", &[]) + "idle_stop = \"5ms\"\nstop_grace = \"200ms\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for round in 0..60u64 {
        assert_eq!(text_of(&echo(&client, "s").await), "here", "round {round}");
        // Around the very moment.
        sleep(Duration::from_micros(round * 977 % 8_000)).await;
    }
    let slept = metric(&gateway, "trunkline_server_generation{server=\"s\"}").await;
    assert!(slept > Some(5.0), "it was asleep many times: {slept:?}");
}

#[tokio::test]
async fn a_hung_child_is_replaced_when_it_is_idle() {
    for era in ["legacy", "modern"] {
        let gateway = Gateway::start(&(scripted("s", &["--era", era]) + QUICK)).await;
        let client = Legacy::open(&gateway, "/mcp").await;
        let before = pid(&client, "s").await;
        halt(before);
        eventually("it is replaced", || async {
            (metric(&gateway, "trunkline_server_generation{server=\"s\"}").await == Some(2.0)).then_some(())
        })
        .await;
        assert_eq!(text_of(&echo(&client, "s").await), "here", "{era}");
        assert_ne!(pid(&client, "s").await, before);
        assert!(gateway.log().contains("has not answered health checks"), "{era}");
    }
}

#[tokio::test]
async fn a_hung_child_with_calls_is_replaced_when_one_has_run_into_its_deadline() {
    let gateway = Gateway::start(&(scripted("s", &[]) + QUICK + "call_timeout = \"900ms\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    halt(pid(&client, "s").await);
    let started = Instant::now();
    // Somebody always calls, so it is never idle.
    let mut calls = JoinSet::new();
    for number in 0..20 {
        let client = client.clone();
        calls.spawn(async move {
            sleep(Duration::from_millis(number * 100)).await;
            echo(&client, "s").await
        });
    }
    eventually("it is replaced", || async {
        (metric(&gateway, "trunkline_server_generation{server=\"s\"}").await >= Some(2.0)).then_some(())
    })
    .await;
    assert!(
        started.elapsed() >= Duration::from_millis(850),
        "not before the first deadline: {:?}",
        started.elapsed()
    );
    calls.join_all().await;
    assert_eq!(text_of(&echo(&client, "s").await), "here");
}

#[tokio::test]
async fn a_single_threaded_server_in_a_long_tool_is_busy_and_not_hung() {
    let case = r#"*'"tools/call"'*) sleep 1.5; printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[{"type":"text","text":"worked"}]}}' ;;"#;
    let gateway = Gateway::start(&(shell("busy", r#""tools":{}"#, case) + QUICK)).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("busy__odd", json!({})).await, "worked");
    assert!(gateway.log().contains("does not answer health checks"), "it had fallen silent");
    assert_eq!(metric(&gateway, "trunkline_server_generation{server=\"busy\"}").await, Some(1.0));
    eventually("it is well again", || async {
        (metric(&gateway, "trunkline_server_healthy{server=\"busy\"}").await == Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn unanswered_health_checks_leave_nothing_behind_and_are_not_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let (pings, cancels) = (folder.path().join("pings"), folder.path().join("cancels"));
    let cases = format!(
        "*'\"ping\"'*) echo p >> '{}' ;;\n*notifications/cancelled*) echo c >> '{}' ;;",
        pings.display(),
        cancels.display()
    );
    let config =
        shell("mute", r#""tools":{}"#, &cases) + "health_interval = \"50ms\"\nhealth_misses = 100000\n";
    let gateway = Gateway::start(&config).await;
    let counted = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    eventually("it has been asked ten times", || async { (counted(&pings) >= 10).then_some(()) }).await;
    let pending = metric(&gateway, "trunkline_server_pending{server=\"mute\"}").await.expect("the metric");
    assert!(pending <= 1.0, "{pending} entries are left of {} questions", counted(&pings));
    assert_eq!(counted(&cancels), 0);
}

#[tokio::test]
async fn a_handshake_that_is_given_up_is_not_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    // It reads and says nothing, and keeps what it read, also over a further start.
    let config = section("mute", "sh", &["-c", &format!("exec tee -a '{}' > /dev/null", said.display())])
        + "start_timeout = \"300ms\"\nprotocol = \"legacy\"\n";
    let gateway = Gateway::launch(&config).await;
    let heard = || std::fs::read_to_string(&said).unwrap_or_default();
    eventually("it has been greeted", || async { heard().contains("\"initialize\"").then_some(()) }).await;
    gateway.in_state("mute", &["backoff", "failed"]).await;
    assert!(!heard().contains("cancelled"), "{}", heard());
}

#[tokio::test]
async fn calls_without_an_answer_open_the_breaker_which_refuses_at_once_and_lets_one_through_later() {
    let breaker = "call_timeout = \"100ms\"\nbreaker = { open = \"700ms\" }\n";
    let gateway = Gateway::start(&(scripted("s", &[]) + breaker + &scripted("fine", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    // A tool's own errors are answers.
    for _ in 0..10 {
        client.call("s__refuse", json!({})).await;
        client.call("s__fail", json!({})).await;
    }
    assert_eq!(text_of(&echo(&client, "s").await), "here");
    for _ in 0..3 {
        assert_eq!(code_of(&client.call("s__hang", json!({})).await), -31504);
    }
    let started = Instant::now();
    let refused = echo(&client, "s").await;
    let took = started.elapsed();
    assert_eq!(
        (code_of(&refused), &refused["error"]["data"]),
        (-31503, &json!({ "retry_after": 1 })),
        "{refused}"
    );
    assert!(message_of(&refused).contains("'s'") && message_of(&refused).contains("1 s"), "{refused}");
    println!("a refusal took {took:?}, connection and all");
    assert!(took < Duration::from_millis(80), "{took:?}");
    assert_eq!(metric(&gateway, "trunkline_breaker_state{server=\"s\",state=\"open\"}").await, Some(1.0));
    assert_eq!(text_of(&echo(&client, "fine").await), "here");
    sleep(Duration::from_millis(720)).await;
    assert_eq!(text_of(&echo(&client, "s").await), "here", "half-open, and well again");
    assert_eq!(metric(&gateway, "trunkline_breaker_state{server=\"s\",state=\"closed\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_new_generation_starts_with_a_closed_breaker() {
    let gateway = Gateway::start(&(scripted("s", &[]) + "call_timeout = \"100ms\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let victim = pid(&client, "s").await;
    for _ in 0..3 {
        client.call("s__hang", json!({})).await;
    }
    assert_eq!(code_of(&echo(&client, "s").await), -31503);
    processes::kill(victim);
    eventually("the next generation answers", || async {
        echo(&client, "s").await.get("result").map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn the_death_of_a_server_under_many_calls_does_not_close_the_way_to_the_next() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let victim = pid(&client, "s").await;
    let mut counter = Counter::start(&client, "s__stats").await;
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        calls.spawn(async move { client.call("s__hang", json!({})).await });
    }
    counter.reach(64).await;
    let before = descriptors(&gateway);
    processes::kill(victim);
    let killed = Instant::now();
    // A call that was written before the death is known may have been read; it is not sent twice.
    eventually("the next generation answers", || async {
        echo(&client, "s").await.get("result").map(|_| ())
    })
    .await;
    println!("served again {:?} after the kill", killed.elapsed());
    calls.join_all().await;
    let settled = async |name: &str, wanted: f64| {
        eventually(name, || async { (metric(&gateway, name).await == Some(wanted)).then_some(()) }).await;
    };
    settled("trunkline_in_flight", 0.0).await;
    settled("trunkline_server_in_flight{server=\"s\"}", 0.0).await;
    // What is left is our own subscription to its announcements.
    eventually("no entry is left", || async {
        (metric(&gateway, "trunkline_server_pending{server=\"s\"}").await <= Some(1.0)).then_some(())
    })
    .await;
    eventually("no descriptor is left", || async { (descriptors(&gateway) < before).then_some(()) }).await;
}

fn descriptors(gateway: &Gateway) -> usize {
    let folder = format!("/proc/{}/fd", gateway.pid().as_raw_nonzero());
    std::fs::read_dir(folder).expect("descriptors").count()
}

#[tokio::test]
async fn a_tool_has_a_deadline_of_its_own_and_progress_has_an_end() {
    let config = scripted("s", &[])
        + "max_call_time = \"600ms\"\ncall_timeout = \"300ms\"\ntools = { timeouts = { \"ha*\" = \"100ms\", sleep = \"5s\" } }\n";
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let started = Instant::now();
    assert_eq!(code_of(&client.call("s__hang", json!({})).await), -31504);
    assert!(started.elapsed() < Duration::from_millis(280), "{:?}", started.elapsed());
    assert_eq!(
        client.text("s__sleep", json!({ "ms": 900 })).await,
        "slept",
        "longer than every other deadline"
    );
    let endless = json!({ "name": "s__stream", "arguments": { "notes": 100, "ms": 50 }, "_meta": { "progressToken": 1 } });
    let answer = client.request("tools/call", endless).await.messages();
    let last = answer.last().expect("an answer");
    assert!(code_of(last) == -31504 && message_of(last).contains("max_call_time"), "{last}");
}

#[tokio::test]
async fn a_child_gets_its_limits_and_is_measured() {
    let case = r#"*'"tools/call"'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[{"type":"text","text":"'"$(ulimit -n) $(ulimit -t) $(ulimit -d)"'"}]}}' ;;"#;
    let config = shell("sh", r#""tools":{}"#, case)
        + "limits = { memory = \"64MiB\", cpu = \"7m\", open_files = 77 }\n"
        + &scripted("two", &["--spawn-grandchild"]);
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("sh__odd", json!({})).await, "77 420 65536");
    let measured =
        async |name: &str| metric(&gateway, &format!("{name}{{server=\"two\"}}")).await.unwrap_or_default();
    eventually("the server and what it started are counted", || async {
        (measured("trunkline_server_processes").await == 2.0).then_some(())
    })
    .await;
    assert!(measured("trunkline_server_resident_memory_bytes").await > 1e6);
    assert!(measured("trunkline_server_open_files").await >= 6.0);
}

#[tokio::test]
async fn only_so_many_servers_come_up_at_the_same_moment_and_a_stuck_one_holds_up_nobody_for_long() {
    let mut config = "[gateway]\nparallel_starts = 1\n".to_owned();
    for name in ["a", "b", "c"] {
        config += &scripted(name, &["--slow-start", "300"]);
    }
    let started = Instant::now();
    let gateway = Gateway::start(&config).await;
    assert!(started.elapsed() >= Duration::from_millis(900), "one after another: {:?}", started.elapsed());
    drop(gateway);
    let stuck = section("stuck", "sleep", &["600"]);
    let gateway =
        Gateway::launch(&("[gateway]\nparallel_starts = 1\n".to_owned() + &stuck + &scripted("fine", &[])))
            .await;
    let started = Instant::now();
    gateway.in_state("fine", &["ready"]).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(state(&gateway, "stuck").await, "starting");
}

#[tokio::test]
async fn a_server_that_takes_20_seconds_to_start_delays_nobody_and_is_listed_from_the_last_run() {
    let script = format!("sleep $DELAY; exec '{}'", program("scripted-server").display());
    let config = |delay: &str| {
        section("slow", "sh", &["-c", &script])
            + &format!(
                "env = {{ DELAY = \"{delay}\" }}\nstart_timeout = \"1500ms\"\nstop_grace = \"100ms\"\n"
            )
            + &scripted("fine", &[])
    };
    let mut first = Gateway::start(&config("0")).await;
    first.signal(Signal::TERM);
    first.ended().await;
    let started = Instant::now();
    let second = Gateway::launch_again(&first, &config("20"), 0).await;
    let client = Legacy::open(&second, "/mcp").await;
    let tools = client.request("tools/list", json!({})).await.json();
    let names: Vec<&str> = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert!(names.contains(&"slow__echo") && names.contains(&"fine__echo"), "{names:?}");
    assert_eq!(text_of(&echo(&client, "fine").await), "here");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let refused = echo(&client, "slow").await;
    assert_eq!(code_of(&refused), -31503, "its own callers wait, for a bounded time: {refused}");
}

#[tokio::test]
async fn a_full_server_refuses_with_a_hint_and_its_queue_has_an_end() {
    let gateway =
        Gateway::start(&(scripted("s", &[]) + "max_in_flight = 2\n" + &scripted("fine", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        calls.spawn(async move { (client.call("s__sleep", json!({ "ms": 6500 })).await, Instant::now()) });
    }
    let started = Instant::now();
    assert_eq!(text_of(&echo(&client, "fine").await), "here");
    let (mut served, mut at_once, mut later) = (0, 0, 0);
    while let Some(done) = calls.join_next().await {
        let (answer, at) = done.unwrap();
        if answer.get("result").is_some() {
            served += 1;
            continue;
        }
        assert_eq!(
            (code_of(&answer), &answer["error"]["data"]),
            (-31429, &json!({ "retry_after": 5 })),
            "{answer}"
        );
        match at - started {
            soon if soon < Duration::from_secs(2) => at_once += 1,
            wait if wait > Duration::from_secs(4) => later += 1,
            odd => panic!("refused after {odd:?}"),
        }
    }
    assert_eq!((served, at_once, later), (2, 4, 2), "two places, two in the queue, four too many");
}

#[tokio::test]
async fn an_http_server_that_hangs_gets_a_new_generation_and_serves_again_when_it_is_well() {
    let backend = Backend::start("scripted-server", &["--era", "legacy"]).await;
    let config = over_http("h", &backend.url)
        + QUICK
        + "call_timeout = \"500ms\"\nstart_timeout = \"500ms\"\nbreaker = { failures = 1000 }\n";
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let hung = pid(&client, "h").await;
    halt(hung);
    gateway.in_state("h", &["starting", "backoff", "failed"]).await;
    let pid = i32::try_from(hung).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::CONT).expect("signal sent");
    eventually("it serves again", || async { echo(&client, "h").await.get("result").map(|_| ()) }).await;
    assert!(gateway.log().contains("has not answered health checks"));
}

#[tokio::test]
async fn an_http_server_with_traffic_is_not_asked_for_its_health() {
    let backend = Backend::start("scripted-server", &["--era", "legacy"]).await;
    let gateway = Gateway::start(&(over_http("h", &backend.url) + "health_interval = \"300ms\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let before = stats(&client, "h__stats").await["pings"].as_u64();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        echo(&client, "h").await;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stats(&client, "h__stats").await["pings"].as_u64(), before);
    eventually("in silence it is asked", || async {
        sleep(Duration::from_millis(700)).await;
        (stats(&client, "h__stats").await["pings"].as_u64() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_silent_stream_of_an_http_server_counts_as_broken() {
    let backend = Backend::start("scripted-server", &[]).await;
    let gateway = Gateway::start(&(over_http("h", &backend.url) + "stream_idle_timeout = \"300ms\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let params = json!({ "name": "h__stream", "arguments": { "notes": 2, "ms": 5000 }, "_meta": { "progressToken": 1 } });
    let started = Instant::now();
    let answer = client.request("tools/call", params).await.messages();
    let last = answer.last().expect("an answer");
    assert!(code_of(last) == -31504 && message_of(last).contains("stream_idle_timeout"), "{last}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_http_server_that_goes_away_and_comes_back_is_served_again() {
    let backend = Backend::start("scripted-server", &[]).await;
    let port = backend.port().to_string();
    let gateway = Gateway::start(&over_http("h", &backend.url)).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    drop(backend);
    let answer = echo(&client, "h").await;
    assert!([-31503, -31502].contains(&code_of(&answer)), "{answer}");
    let _backend = Backend::start("scripted-server", &["--port", &port]).await;
    eventually("it serves again", || async { echo(&client, "h").await.get("result").map(|_| ()) }).await;
}

#[tokio::test]
async fn a_child_that_closes_its_stdout_and_lives_on_is_not_waited_for_politely() {
    let args = ["--era", "legacy", "--close-stdout-after", "3", "--ignore-eof"];
    let gateway =
        Gateway::start(&(scripted("s", &args) + "protocol = \"legacy\"\nrestart_budget = 1000\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let started = Instant::now();
    let mut answered = 0;
    while answered < 2 {
        assert!(started.elapsed() < Duration::from_secs(4), "it is replaced at once, not after its grace");
        if echo(&client, "s").await.get("result").is_some() {
            answered += 1;
        }
    }
}

#[tokio::test]
async fn memory_stays_flat_at_twice_the_load_that_can_be_served() {
    const PLACES: usize = 16;
    let config = format!("[gateway]\nmax_in_flight = {}\n", PLACES * 3 / 2)
        + &scripted("s", &[])
        + &format!("max_in_flight = {PLACES}\n");
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    // Twice as many callers as places, all the time, each with a body that would be seen if it were kept.
    let (served, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..PLACES * 2 {
        let (client, served, refused) = (client.clone(), served.clone(), refused.clone());
        callers.spawn(async move {
            let arguments = json!({ "ms": 50, "ballast": "x".repeat(100_000) });
            loop {
                let answer = client.call("s__sleep", arguments.clone()).await;
                if answer.get("result").is_some() {
                    served.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                assert_eq!(code_of(&answer), -31429, "{answer}");
                assert!(answer["error"]["data"]["retry_after"].as_u64() > Some(0), "{answer}");
                refused.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
    let reach = async |wanted: usize| {
        eventually("the load goes on", || async { (served.load(Ordering::Relaxed) >= wanted).then_some(()) })
            .await;
        resident(&gateway)
    };
    let early = reach(200).await;
    let late = reach(1000).await;
    assert!(refused.load(Ordering::Relaxed) > 20, "some are refused");
    println!("resident after 200 calls {early} KiB, after 1000 {late} KiB");
    assert!(late < early + 8 * 1024, "grown from {early} to {late} KiB");
}

/// Resident memory of the gateway in KiB.
fn resident(gateway: &Gateway) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", gateway.pid().as_raw_nonzero())).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
