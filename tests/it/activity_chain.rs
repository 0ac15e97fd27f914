//! The chain over the activity log of a real gateway: `trunkline activity verify` beside it, after it, and after somebody has
//! had a hand in the file.

use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::activity::activity;
use crate::support::servers::PROGRAM;
use crate::support::{Gateway, Legacy, Modern, eventually, scripted};

/// What the command's exit code says of a log that is not as it was written.
const NOT_WHOLE: i32 = 5;

fn verify(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["activity", "verify", "--config"]).arg(gateway.folder().join("gateway.toml"));
    command.arg("--data-dir").arg(gateway.folder().join("data")).args(arguments);
    command.output().expect("run")
}

fn verdict(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn edit(gateway: &Gateway, sql: &'static str) {
    let file = gateway.folder().join("data").join("activity.db");
    let mut conn = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn the_log_is_whole_beside_the_gateway_and_after_it_and_a_changed_row_is_named() {
    let mut gateway = Gateway::start(&(scripted("s", &[]) + "[activity]\nchain = true\n")).await;
    let legacy = Legacy::open(&gateway, "/mcp").await;
    for number in 0..20 {
        legacy.call("s__echo", json!({ "message": number.to_string() })).await;
    }
    let beside = eventually("the rows are on file", || async {
        let output = verify(&gateway, &["--json"]);
        let verdict = verdict(&output);
        (output.status.success() && verdict["rows"].as_u64() >= Some(21)).then_some(verdict)
    })
    .await;
    let modern = Modern::new(&gateway, "/mcp/s");
    modern.call("echo", json!({ "message": "x" })).await;
    gateway.signal(Signal::TERM);
    gateway.ended().await;

    // The gateway's own log is where the end of the chain is kept.
    let log = gateway.log();
    let end = log.lines().find(|line| line.contains("the chain of the activity log ends here")).expect(&log);
    let digest = end.split('"').nth(1).expect(end).to_owned();
    let after = verify(&gateway, &["--head", &digest, "--json"]);
    assert_eq!(after.status.code(), Some(0), "{after:?}");
    assert_eq!(verdict(&after)["head"]["digest"], json!(digest));
    assert!(verdict(&after)["links"].as_u64() > beside["links"].as_u64());
    let said = String::from_utf8(verify(&gateway, &[]).stdout).unwrap();
    assert!(said.starts_with("whole: ") && said.contains(&digest), "{said}");

    // An end that was cut off with its rows shows to those who have kept it.
    edit(
        &gateway,
        "DELETE FROM call WHERE id >= (SELECT max(first) FROM link WHERE kind = 'rows');
         DELETE FROM link WHERE number = (SELECT max(number) FROM link)",
    )
    .await;
    assert_eq!(verify(&gateway, &[]).status.code(), Some(0));
    let cut = verify(&gateway, &["--head", &digest]);
    assert_eq!(cut.status.code(), Some(NOT_WHOLE), "{cut:?}");

    // A row of the beginning is found long after the file has grown beyond it.
    edit(&gateway, "UPDATE call SET total = total + 1 WHERE id = (SELECT min(id) FROM call)").await;
    let changed = verify(&gateway, &[]);
    let said = String::from_utf8_lossy(&changed.stdout);
    assert_eq!(changed.status.code(), Some(NOT_WHOLE));
    assert!(said.starts_with("NOT whole: a row of it") && said.contains("where: link 2"), "{said}");
    assert!(!activity(&gateway, &[]).is_empty(), "it is read all the same");
}

#[tokio::test]
async fn a_gateway_that_is_killed_or_has_rows_erased_leaves_a_whole_chain_and_one_without_a_chain_says_so() {
    let mut gateway = Gateway::start(&(scripted("s", &[]) + "[activity]\nchain = true\n")).await;
    let legacy = Legacy::open(&gateway, "/mcp").await;
    legacy.call("s__echo", json!({ "message": "x" })).await;
    eventually("the rows are on file", || async {
        (verdict(&verify(&gateway, &["--json"]))["rows"].as_u64() >= Some(2)).then_some(())
    })
    .await;
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    assert_eq!(verify(&gateway, &[]).status.code(), Some(0));
    let mut erase = Command::new(PROGRAM);
    erase.args(["activity", "--erase", "--principal", "anonymous", "--data-dir"]);
    assert!(erase.arg(gateway.folder().join("data")).status().expect("run").success());
    let output = verify(&gateway, &["--json"]);
    assert_eq!((output.status.code(), verdict(&output)["erased"].as_u64()), (Some(0), Some(2)), "{output:?}");

    let mut plain = Gateway::start(&scripted("s", &[])).await;
    Legacy::open(&plain, "/mcp").await;
    plain.signal(Signal::TERM);
    plain.ended().await;
    let output = verify(&plain, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(NOT_WHOLE), "{said}");
    assert!(said.contains("there is no chain") && said.contains("activity.chain = true"), "{said}");
    let typo = verify(&plain, &["--head", "abc"]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&typo.stderr).contains("64 hexadecimal digits"));
}
