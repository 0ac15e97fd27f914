//! A collector of traces: a server that takes OTLP over HTTP and keeps what it got.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{eventually, stub};

/// A running collector. Dropping it ends it and cuts its connections.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

/// One export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Method, path and version.
    pub line: String,
    /// The headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// What it says.
    pub request: ExportTraceServiceRequest,
}

#[derive(Default)]
struct Kept {
    exports: Vec<Export>,
    /// The answers to come; when there are none, it takes everything. Nothing at all means that it hangs.
    answers: Vec<Option<(String, Vec<u8>)>>,
    /// How often it has been asked.
    asked: usize,
}

impl Collector {
    /// A collector on a port of its own.
    pub async fn start() -> Collector {
        Collector::start_at(0).await
    }

    /// A collector on this port.
    pub async fn start_at(port: u16) -> Collector {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("bound");
        let address = listener.local_addr().expect("address");
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let shared = kept.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(BufReader::new(stream), shared.clone()));
            }
        });
        Collector { address, kept, task }
    }

    /// The section of a gateway's configuration that sends traces here at once.
    pub fn section(&self) -> String {
        format!("\n[traces]\nendpoint = \"http://{}\"\ndelay = \"10ms\"\n", self.address)
    }

    /// Answers the next exports so, one after the other: status line and headers, and a body.
    pub fn answer(&self, head: &str, body: Vec<u8>) {
        self.kept.lock().expect("kept").answers.push(Some((head.to_owned(), body)));
    }

    /// Does not answer the next export.
    pub fn hang(&self) {
        self.kept.lock().expect("kept").answers.push(None);
    }

    /// The exports that were taken.
    pub fn exports(&self) -> Vec<Export> {
        self.kept.lock().expect("kept").exports.clone()
    }

    /// How often it has been asked.
    pub fn asked(&self) -> usize {
        self.kept.lock().expect("kept").asked
    }

    /// The spans that were taken.
    pub fn spans(&self) -> Vec<Span> {
        let exports = self.exports().into_iter();
        let resources = exports.flat_map(|export| export.request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// Waits for a span for which `is_it` holds.
    pub async fn span(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        eventually(what, || async { self.spans().into_iter().find(&is_it) }).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An attribute as text; empty if it is not there.
pub fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|found| found.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        None => String::new(),
        other => panic!("{name} is {other:?}"),
    }
}

/// An id in the digits of `traceparent`.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn serve(mut stream: BufReader<TcpStream>, kept: Arc<Mutex<Kept>>) {
    while let Some((line, headers, body)) = stub::read(&mut stream).await {
        let answer = {
            let mut kept = kept.lock().expect("kept");
            kept.asked += 1;
            if kept.answers.is_empty() {
                Some(("200 OK".to_owned(), Vec::new()))
            } else {
                kept.answers.remove(0)
            }
        };
        let Some((head, answer)) = answer else {
            std::future::pending::<()>().await;
            return;
        };
        if head.starts_with("200") {
            let request = ExportTraceServiceRequest::decode(&body[..]).expect("an export");
            kept.lock().expect("kept").exports.push(Export { line, headers, request });
        }
        let head = format!(
            "HTTP/1.1 {head}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if stream.write_all(&[head.as_bytes(), &answer].concat()).await.is_err() {
            return;
        }
    }
}
