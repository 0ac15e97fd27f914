//! Plain HTTP services behind the gateway: what goes through, and that it goes through as it comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::{Backend, Gateway, eventually, service, tls, wire, within};

async fn started() -> (Backend, Gateway) {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url)
        + "health = \"/api/version\"\nheaders = { Authorization = \"Bearer configured\", X-Own = \"1\" }\n";
    let gateway = Gateway::start(&("[auth]\nanonymous = \"always\"\n".to_owned() + &config)).await;
    (ollama, gateway)
}

#[tokio::test]
async fn a_request_reaches_the_service_as_it_is_but_for_what_is_between_the_client_and_us() {
    let (_ollama, gateway) = started().await;
    let headers = [
        ("authorization", "Bearer the-clients-own"),
        ("cookie", "session=1"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-own", "of the client"),
        ("accept", "application/x-ndjson"),
        ("content-type", "text/plain"),
    ];
    let path = "/services/o/some/where%20else?q=%2F..&r";
    let reply = wire::request(gateway.address, "PUT", path, &headers, "a body").await.whole().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = reply.json();
    assert_eq!(
        json!([seen["method"], seen["path"], seen["query"], seen["body"]]),
        json!(["PUT", "/some/where%20else", "q=%2F..&r", "a body"])
    );
    let seen = &seen["headers"];
    assert_eq!(seen["authorization"], "Bearer configured", "the client's own credential stays with us");
    assert_eq!(json!([seen["x-own"], seen["content-length"]]), json!(["1", "6"]));
    assert_eq!(json!([seen["accept"], seen["content-type"]]), json!(["application/x-ndjson", "text/plain"]));
    for gone in ["cookie", "connection", "x-hop", "te", "x-forwarded-for", "keep-alive"] {
        assert_eq!(seen[gone], Value::Null, "{gone}");
    }
    assert!(seen["via"].as_str().unwrap().starts_with("1.1 trunkline-"), "{seen}");
    assert!(!gateway.log().contains("configured"), "no credential is logged");
}

#[tokio::test]
async fn a_line_arrives_before_the_next_one_has_been_made() {
    let (ollama, gateway) = started().await;
    ollama.behave(json!({ "hold": true })).await;
    let body = json!({ "model": "m", "prompt": "one two" }).to_string();
    let mut answer = wire::request(gateway.address, "POST", "/services/o/api/generate", &[], body).await;
    let kind = answer.headers.get("content-type").unwrap();
    assert_eq!(kind, "application/x-ndjson");
    let first = answer.piece().await.unwrap().unwrap();
    let first: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(json!([first["response"], first["done"]]), json!(["better: ", false]));
    // Only now is the rest made.
    ollama.behave(json!({ "hold": false })).await;
    let rest = answer.whole().await;
    assert_eq!(rest.text().lines().count(), 2, "{}", rest.text());
}

/// The quickest of many, in turn with the service itself: what a busy machine adds is added to some of both.
#[tokio::test]
async fn the_first_piece_of_a_stream_comes_as_soon_as_from_the_service_itself() {
    let (ollama, gateway) = started().await;
    ollama.behave(json!({ "hold": true })).await;
    let direct = std::net::SocketAddr::from(([127, 0, 0, 1], ollama.port()));
    let body = json!({ "model": "m", "prompt": "one two" }).to_string();
    let mut quickest = [Duration::MAX; 2];
    for _ in 0..40 {
        for (slot, (address, path)) in
            [(direct, "/api/generate"), (gateway.address, "/services/o/api/generate")].into_iter().enumerate()
        {
            let asked = Instant::now();
            let mut answer = wire::request(address, "POST", path, &[], body.clone()).await;
            answer.piece().await.unwrap().unwrap();
            quickest[slot] = quickest[slot].min(asked.elapsed());
        }
    }
    let [own, ours] = quickest;
    println!("the first piece after {own:?} from the service, after {ours:?} through the gateway");
    assert!(ours < own + Duration::from_millis(20), "{own:?} directly, {ours:?} through the gateway");
}

#[tokio::test]
async fn an_event_arrives_while_its_stream_stays_open_and_a_client_that_leaves_ends_it_at_the_service() {
    let (ollama, gateway) = started().await;
    let mut answer = wire::request(gateway.address, "GET", "/services/o/stall", &[], "").await;
    assert_eq!(answer.piece().await.unwrap().unwrap(), "data: begun\n\n");
    assert_eq!(ollama.seen().await["running"], 1);
    drop(answer);
    eventually("the service is rid of the request", || async {
        (ollama.seen().await["running"] == 0).then_some(())
    })
    .await;
    eventually("its place is free", || async {
        (gateway.metric("trunkline_in_flight").await == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_and_its_answer_stream_at_the_same_time() {
    let (_ollama, gateway) = started().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (pieces, taken) = mpsc::channel::<Bytes>(1);
    let request =
        http::Request::post("/services/o/echo").header("host", "localhost").body(Pieces(taken)).unwrap();
    pieces.send(Bytes::from_static(b"one")).await.unwrap();
    let answer = within("the head", sender.send_request(request)).await.unwrap();
    let mut body = answer.into_body();
    for piece in ["one", "two", "three"] {
        let frame = within("an echo", body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
        // The next is sent after the echo of the one before has come back.
        let next = match piece {
            "one" => "two",
            "two" => "three",
            _ => continue,
        };
        pieces.send(Bytes::from_static(next.as_bytes())).await.unwrap();
    }
    drop(pieces);
    assert!(within("the end", body.frame()).await.is_none());
}

/// A body whose pieces come when the test sends them.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[tokio::test]
async fn no_path_and_no_redirect_leaves_the_service() {
    let ollama = Backend::ollama(0).await;
    let gateway = Gateway::start(&service("o", &format!("{}/api", ollama.url))).await;
    let get = |path: String| {
        let address = gateway.address;
        async move { wire::request(address, "GET", &path, &[], "").await.whole().await }
    };
    assert_eq!(get("/services/o/version".to_owned()).await.json()["version"], "0.9.0");
    for path in ["/../seen", "/%2e%2e/seen", "/x/..%2f..%2fseen", "//evil.example/seen", "/..;/seen"] {
        let reply = get(format!("/services/o{path}")).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_request")), "{path}");
    }
    // The absolute form names another host, and goes to the service all the same.
    let elsewhere = format!("http://127.0.0.1:{}/services/o/version", ollama.port());
    assert_eq!(get(elsewhere).await.json()["version"], "0.9.0");
    assert_eq!(get("/services/other/version".to_owned()).await.status, 404);
    let gateway = Gateway::start(&service("o", &ollama.url)).await;
    let to = |to: &str| {
        let (address, path) = (gateway.address, format!("/services/o/redirect?to={to}"));
        async move { wire::request(address, "GET", &path, &[], "").await.whole().await }
    };
    let reply = to("http://evil.example/x").await;
    assert_eq!((reply.status, reply.header("location")), (307, Some("http://evil.example/x")));
    let reply = to(&format!("{}/api/version", ollama.url)).await;
    assert_eq!((reply.status, reply.header("location")), (307, Some("/services/o/api/version")));
}

#[tokio::test]
async fn a_certificate_is_checked_unless_a_key_says_otherwise_and_each_start_warns_of_that() {
    let address = tls::serve(|seen| ("200 OK".to_owned(), format!("{:?}", seen.line)));
    let url = format!("https://{address}");
    let config = service("plain", &url)
        + &service("ca", &url)
        + &format!("ca_file = {:?}\n", tls::authority())
        + &service("off", &url)
        + "tls_verify = false\n";
    let gateway = Gateway::start(&config).await;
    let reply = gateway.get("/services/plain/x", &[]).await;
    assert_eq!(
        (reply.status, reply.json()["error"].as_str()),
        (503, Some("unavailable")),
        "{}",
        reply.text()
    );
    for name in ["ca", "off"] {
        assert_eq!(gateway.get(&format!("/services/{name}/x"), &[]).await.status, 200, "{name}");
    }
    let warnings: Vec<String> =
        gateway.log().lines().filter(|line| line.contains("tls_verify")).map(str::to_owned).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("off"), "{warnings:?}");
}
