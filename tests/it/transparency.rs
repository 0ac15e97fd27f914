//! A corpus of odd messages goes through in both directions byte for byte, but for the fields that are the gateway's.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::stub::{Seen, Stub};
use crate::support::{Gateway, Legacy, over_http, section, wire};

const ID: &str = r#""\u0061 1""#;
/// Deep enough for any honest message, and far deeper than a parser that recurses likes.
const DEPTH: usize = 2000;
const INFO: &str = r#""io.modelcontextprotocol/serverInfo":{"name":"odd","version":"1"}"#;
const META: &str = r#""_meta" : {"io.modelcontextprotocol/protocolVersion":"2026-07-28", "vendor/key":[1,{"a":2}] ,"io.modelcontextprotocol/clientCapabilities":{"extensions":{"x/y":{"z":1}}}}"#;
/// The same for a server of the older era.
const OLD_META: &str = r#""_meta" : { "vendor/key":[1,{"a":2}]}"#;

/// The corpus: params, and the result or error that they are answered with.
fn corpus() -> Vec<(String, String)> {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let mut params = lines(include_str!("../corpora/params.txt"));
    let mut results = lines(include_str!("../corpora/results.txt"));
    let deep = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    params.push(format!(r#"{{"name":@,"arguments":{{"deep":{deep}}}}}"#));
    results.push(format!(r#"{{"content":[],"deep":{deep}}}"#));
    assert_eq!(params.len(), results.len());
    params.into_iter().zip(results).collect()
}

/// A server's whole reply, in an order and spacing of its own.
fn reply(id: &str, result: &str, modern: bool) -> String {
    match result.strip_prefix('!') {
        Some(error) => format!(r#"{{ "error" : {error},"x-reply":[1, 2], "id" : {id} , "jsonrpc":"2.0" }}"#),
        None => format!(
            r#"{{ "result" : {},"x-reply":[1, 2], "id" : {id} , "jsonrpc":"2.0" }}"#,
            sent(result, modern)
        ),
    }
}

/// A result as a server of the era says it.
fn sent(result: &str, modern: bool) -> String {
    let body = result.strip_suffix('}').expect("an object");
    let (fields, space) = body.split_at(body.trim_end().len());
    if modern { format!(r#"{fields}, "resultType":"complete"{space}}}"#) } else { result.to_owned() }
}

/// The answer to anything else; an error for what such a server does not know.
fn introduction(method: &str, id: &str, modern: bool) -> String {
    let tools = r#""tools":[{"name":"odd","inputSchema":{"type":"object"}}]"#;
    let result = match (method, modern) {
        ("server/discover", true) => format!(
            r#"{{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{{"tools":{{}}}},"ttlMs":0,"cacheScope":"private","_meta":{{{INFO}}}}}"#
        ),
        ("initialize", false) => r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"odd","version":"1"}}"#.to_owned(),
        ("tools/list", true) => format!(r#"{{"resultType":"complete",{tools},"ttlMs":0,"cacheScope":"private"}}"#),
        ("tools/list", false) => format!("{{{tools}}}"),
        _ => return format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no such method"}}}}"#),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// The id of a message whose id comes before anything of the same name.
fn id_of(message: &str) -> &str {
    let rest = message.split_once(r#""id":"#).map_or("", |(_, rest)| rest);
    rest.split([',', '}']).next().unwrap_or_default()
}

fn method_of(message: &str) -> &str {
    message.split_once(r#""method":""#).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

/// A server in a few lines of shell, which writes down what it is called with and answers what the file says.
fn on_pipes(name: &str, modern: bool, folder: &Path, replies: &[String]) -> String {
    let (answers, seen) = (folder.join(format!("{name}.replies")), folder.join(format!("{name}.seen")));
    std::fs::write(&answers, replies.join("\n") + "\n").expect("written");
    let arms: String = ["server/discover", "initialize", "tools/list"]
        .iter()
        .map(|method| {
            format!("*'\"method\":\"{method}\"'*) say '{}' ;;\n", introduction(method, "@ID@", modern))
        })
        .collect();
    let script = format!(
        r#"n=0
say() {{ printf '%s%s%s\n' "${{1%%@ID@*}}" "$id" "${{1#*@ID@}}"; }}
while IFS= read -r line; do
id=${{line#*\"id\":}}; id=${{id%%[,\}}]*}}
case "$line" in
*'"method":"tools/call"'*) n=$((n+1)); printf '%s\n' "$line" >> '{}'; say "$(sed -n "${{n}}p" '{}')" ;;
{arms}*'"method":"notifications/'*) ;;
*) say '{}' ;;
esac; done"#,
        seen.display(),
        answers.display(),
        introduction("", "@ID@", modern),
    );
    section(name, "sh", &["-c", &script.replace("${", "$${")])
}

/// The same over HTTP.
async fn over_http_stub(modern: bool, results: Vec<String>) -> Stub {
    let calls = AtomicUsize::new(0);
    Stub::start(move |request: &Seen| {
        let (id, method) = (id_of(&request.body), method_of(&request.body));
        let body = match method {
            "tools/call" => {
                reply(id, &results[calls.fetch_add(1, Ordering::Relaxed) % results.len()], modern)
            }
            _ if id.is_empty() => return ("202 Accepted".to_owned(), String::new()),
            other => introduction(other, id, modern),
        };
        ("200 OK\r\ncontent-type: application/json".to_owned(), body)
    })
    .await
}

/// What a server must have seen of a call.
fn check_request(seen: &str, params: &str, client_modern: bool, server_modern: bool) {
    let id = id_of(seen);
    assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()), "the id is ours: {seen}");
    let named = params.replace('@', r#""odd""#);
    let (head, tail) = (
        format!(r#"{{"jsonrpc":"2.0","id":{id},"x-top":{{"k":[1]}},"method":"tools/call","params":"#),
        r#","y":null}"#,
    );
    match (client_modern, server_modern) {
        (false, true) => {
            let inner = seen
                .strip_prefix(&head)
                .and_then(|rest| rest.strip_suffix(tail))
                .unwrap_or_else(|| panic!("{seen}"));
            let ours = inner.strip_suffix(&named[1..]).unwrap_or_else(|| panic!("{inner}\nis not\n{named}"));
            assert!(
                ours.starts_with(r#"{"_meta":{"io.modelcontextprotocol/"#) && ours.ends_with("},"),
                "{ours}"
            );
        }
        (true, false) => assert_eq!(seen, format!("{head}{}{tail}", named.replace(META, OLD_META))),
        _ => assert_eq!(seen, format!("{head}{named}{tail}")),
    }
}

/// What a client must have got.
fn check_reply(got: &str, result: &str, client_modern: bool, server_modern: bool) {
    // What a legacy client must not see is what a modern server had to add.
    let expected = reply(ID, result, server_modern && client_modern);
    if client_modern && !server_modern {
        let ours =
            [format!(r#""_meta":{{{INFO}}},"#), format!("{INFO},"), r#""resultType":"complete","#.to_owned()];
        let stripped = ours.iter().fold(got.to_owned(), |text, field| text.replacen(field, "", 1));
        assert_eq!(stripped, expected);
        assert!(result.starts_with('!') || got.contains(INFO), "{got}");
    } else {
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn the_corpus_goes_through_in_both_directions_byte_for_byte() {
    let corpus = corpus();
    let folder = tempfile::tempdir().unwrap();
    // Each server is called with the whole corpus by clients of both eras at both endpoints.
    let rounds = 4;
    let results: Vec<String> = corpus.iter().map(|(_, result)| result.clone()).collect();
    let replies = |modern: bool| -> Vec<String> {
        (0..rounds).flat_map(|_| &results).map(|result| reply("@ID@", result, modern)).collect()
    };
    let (old, new) =
        (over_http_stub(false, results.clone()).await, over_http_stub(true, results.clone()).await);
    let config = on_pipes("po", false, folder.path(), &replies(false))
        + &on_pipes("pn", true, folder.path(), &replies(true))
        + &over_http("ho", &old.url("/mcp"))
        + &over_http("hn", &new.url("/mcp"));
    let gateway = Gateway::start(&config).await;
    for (server, server_modern) in [("po", false), ("pn", true), ("ho", false), ("hn", true)] {
        for (path, name) in
            [("/mcp".to_owned(), format!("{server}__odd")), (format!("/mcp/{server}"), "odd".to_owned())]
        {
            let session = Legacy::open(&gateway, &path).await.session;
            for client_modern in [false, true] {
                let headers = if client_modern {
                    vec![
                        ("mcp-protocol-version", "2026-07-28"),
                        ("mcp-method", "tools/call"),
                        ("mcp-name", &*name),
                    ]
                } else {
                    vec![("mcp-session-id", &*session)]
                };
                for (params, result) in &corpus {
                    let params = match (client_modern, params.trim_end().strip_suffix('}')) {
                        (true, Some(open)) => format!("{open},{META}}}"),
                        _ => params.clone(),
                    };
                    let spelt = params.replace('@', &format!("\"{name}\""));
                    let body = format!(
                        r#"{{"jsonrpc":"2.0","id":{ID},"x-top":{{"k":[1]}},"method":"tools/call","params":{spelt},"y":null}}"#
                    );
                    let got = wire::post(gateway.address, &path, &headers, body).await.whole().await;
                    check_reply(got.text(), result, client_modern, server_modern);
                    let seen = match server {
                        "ho" => old.seen().pop().expect("a call").body,
                        "hn" => new.seen().pop().expect("a call").body,
                        _ => {
                            let file = folder.path().join(format!("{server}.seen"));
                            let all = std::fs::read_to_string(file).unwrap();
                            all.lines().next_back().expect("a call").to_owned()
                        }
                    };
                    check_request(&seen, &params, client_modern, server_modern);
                }
            }
        }
    }
}
