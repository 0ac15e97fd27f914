//! A service that speaks HTTP/2, which it says in the TLS handshake.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{Gateway, service, tls, wire};

/// A server that offers these protocols and tells how it was asked; where it listens, and how many connections it had.
async fn serve(offered: &[&str]) -> (SocketAddr, Arc<AtomicUsize>) {
    let mut config = tls::config();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let (address, connections) = (listener.local_addr().expect("address"), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.ok()?;
                let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                let agreed = String::from_utf8(agreed.unwrap_or_default()).ok()?;
                let answer = move |request| std::future::ready(Ok::<_, Infallible>(tell(&agreed, &request)));
                let io = TokioIo::new(stream);
                Builder::new(TokioExecutor::new()).serve_connection(io, service_fn(answer)).await.ok()
            });
        }
    });
    (address, connections)
}

fn tell(agreed: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let names: Vec<&str> = request.headers().keys().map(http::HeaderName::as_str).collect();
    let told = json!({
        "alpn": agreed,
        "version": format!("{:?}", request.version()),
        "path": request.uri().path(),
        "authority": request.uri().authority().map(ToString::to_string),
        "headers": names,
    });
    Response::new(Full::new(Bytes::from(told.to_string())))
}

#[tokio::test]
async fn http_2_is_spoken_with_a_service_that_offers_it_and_http_1_with_any_other() {
    for (offered, alpn, version) in [
        (&["h2", "http/1.1"][..], "h2", "HTTP/2.0"),
        (&["http/1.1"], "http/1.1", "HTTP/1.1"),
        (&[], "", "HTTP/1.1"),
    ] {
        let (address, connections) = serve(offered).await;
        let config =
            service("s", &format!("https://{address}/base")) + &format!("ca_file = {:?}\n", tls::authority());
        let gateway = Gateway::start(&config).await;
        // What belongs to one hop of HTTP/1.1 would be an error in HTTP/2.
        let headers = [("connection", "keep-alive, x-hop"), ("x-hop", "1"), ("te", "gzip"), ("upgrade", "x")];
        let ask = || async {
            let reply =
                wire::request(gateway.address, "GET", "/services/s/x", &headers, "").await.whole().await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply.json()
        };
        let told = ask().await;
        assert_eq!(json!([told["alpn"], told["version"], told["path"]]), json!([alpn, version, "/base/x"]));
        for gone in ["connection", "x-hop", "te", "upgrade", "keep-alive"] {
            let names = told["headers"].as_array().unwrap();
            assert!(!names.contains(&Value::from(gone)), "{gone} in {names:?}");
        }
        if alpn == "h2" {
            assert_eq!(told["authority"], Value::from(address.to_string()));
            // Once it is known that one connection carries all, no other is opened.
            let before = connections.load(Ordering::Relaxed);
            let all = at_once(ask, 20).await;
            assert_eq!((all.len(), connections.load(Ordering::Relaxed)), (20, before));
        }
    }
}

/// So many answers, asked for at once.
async fn at_once<F: Future<Output = Value>>(ask: impl Fn() -> F, count: usize) -> Vec<Value> {
    let mut all: Vec<_> = (0..count).map(|_| Box::pin(ask())).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}
