//! TLS at the front: real handshakes, real certificates, and clients that know nothing of us.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::issuer::{Idp, Signer};
use crate::support::servers::PROGRAM;
use crate::support::{Gateway, Modern, Pipe, demo, eventually, pipe, text_of, wire, within};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls/front").join(name)
}

/// A gateway under TLS, and the folder of its certificate.
struct Secured {
    gateway: Gateway,
    files: TempDir,
}

impl Secured {
    async fn start(certificate: &str, more: &str) -> Secured {
        let files = tempfile::tempdir().unwrap();
        install(files.path(), certificate);
        let gateway = Gateway::launch(&format!("{more}{}{}", section(files.path()), demo("demo"))).await;
        eventually("the demo server is ready", || async {
            let readiness = ask(gateway.address, HTTP1, "GET", "/readyz", "").await.1;
            readiness.contains("\"ready\"").then_some(())
        })
        .await;
        Secured { gateway, files }
    }

    /// Asks for a reload, and returns what the log says of it.
    async fn reload(&self) -> String {
        let before = told(&self.gateway).len();
        self.gateway.signal(Signal::HUP);
        eventually("the reload is told", || async { told(&self.gateway).into_iter().nth(before) }).await
    }

    /// How many handshakes failed for this reason.
    async fn failed(&self, reason: &str) -> u64 {
        let name = format!("trunkline_tls_handshake_failures_total{{reason=\"{reason}\"}} ");
        let metrics = ask(self.gateway.address, HTTP1, "GET", "/metrics", "").await.1;
        let found = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
        found.unwrap_or_default()
    }
}

fn section(files: &Path) -> String {
    let file = |name: &str| files.join(name).display().to_string();
    format!(
        "[gateway.tls]\ncertificate = {:?}\nkey = {:?}\nhandshake_timeout = \"1m\"\n",
        file("tls.pem"),
        file("tls.key")
    )
}

/// Puts a certificate and its key in place, each at once.
fn install(files: &Path, name: &str) {
    put(&files.join("tls.key"), &std::fs::read(sample(&format!("{name}.key"))).unwrap());
    put(&files.join("tls.pem"), &std::fs::read(sample(&format!("{name}.pem"))).unwrap());
}

fn put(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn told(gateway: &Gateway) -> Vec<String> {
    let is_one =
        |line: &&str| line.contains("configuration reloaded") || line.contains("configuration not reloaded");
    gateway.log().lines().filter(is_one).map(str::to_owned).collect()
}

fn own(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(sample(&format!("{name}.pem"))).unwrap()
}

const HTTP1: &[&[u8]] = &[b"http/1.1"];
const HTTP2: &[&[u8]] = &[b"h2", b"http/1.1"];
const NONE: &[&[u8]] = &[];

/// A client that trusts the tests' authority and looks at the name.
async fn connect(
    address: SocketAddr,
    alpn: &[&[u8]],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(sample("root.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("gateway.example").unwrap();
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// An open connection on which one request follows the other.
enum Line {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Line {
    async fn open(address: SocketAddr, alpn: &[&[u8]]) -> Line {
        let stream = connect(address, alpn, rustls::DEFAULT_VERSIONS).await.expect("agreed");
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        if two {
            let (send, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            Line::Two(send)
        } else {
            let (send, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            Line::One(send)
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> (StatusCode, String, Version) {
        let response = match self {
            Line::One(send) => within("an answer", send.send_request(request)).await,
            Line::Two(send) => within("an answer", send.send_request(request)).await,
        };
        let (head, body) = response.expect("an answer").into_parts();
        let body = within("a body", body.collect()).await.expect("a body").to_bytes();
        (head.status, String::from_utf8_lossy(&body).into_owned(), head.version)
    }

    /// A call of a tool by a modern client.
    async fn echo(&mut self, address: SocketAddr, message: &str) -> (String, Version) {
        let params = json!({ "name": "demo__echo", "arguments": { "message": message } });
        let body = Modern::body(&json!(1), "tools/call", params).to_string();
        let (_, text, version) = self.send(asking(address, "POST", "/mcp", &body)).await;
        // A slow machine makes a stream of it.
        let json = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
        let answer: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("{text}"));
        (text_of(&answer), version)
    }
}

fn asking(address: SocketAddr, method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("https://{address}{path}"))
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "demo__echo")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

/// One request on a connection of its own.
async fn ask(
    address: SocketAddr,
    alpn: &[&[u8]],
    method: &str,
    path: &str,
    body: &str,
) -> (StatusCode, String) {
    let answer = Line::open(address, alpn).await.send(asking(address, method, path, body)).await;
    (answer.0, answer.1)
}

/// The certificate that a new connection is shown.
async fn shown(address: SocketAddr) -> CertificateDer<'static> {
    let stream = connect(address, HTTP1, rustls::DEFAULT_VERSIONS).await.expect("agreed");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
}

#[tokio::test]
async fn clients_choose_http_2_or_1_1_in_the_handshake_and_both_are_served() {
    let it = Secured::start("first", "").await;
    let address = it.gateway.address;
    for (alpn, version) in [(HTTP2, Version::HTTP_2), (HTTP1, Version::HTTP_11), (NONE, Version::HTTP_11)] {
        let mut line = Line::open(address, alpn).await;
        for word in ["one", "two"] {
            assert_eq!(line.echo(address, word).await, (word.to_owned(), version));
        }
    }
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        assert!(connect(address, HTTP2, versions).await.is_ok(), "{versions:?}");
    }
    let foreign = connect(address, &[b"smtp"], rustls::DEFAULT_VERSIONS).await;
    assert!(foreign.is_err(), "a client of something else is told so in the handshake");
    eventually("it is counted", || async { (it.failed("incompatible").await == 1).then_some(()) }).await;
    // A client that shares no code with the gateway.
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let url = format!("https://{address}/readyz");
        let mut curl = Command::new("curl");
        curl.args(["-s", "-S", flag, "-w", " %{http_version}", "--cacert"]).arg(sample("root.pem")).arg(url);
        let output = tokio::task::spawn_blocking(move || curl.output().expect("curl")).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("\"ready\"") && text.ends_with(&format!(" {version}")), "{output:?}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_while_calls_go_on() {
    const RENEWALS: usize = 20;
    let it = Secured::start("first", "").await;
    let address = it.gateway.address;
    let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (over, calls) = (Arc::clone(&over), Arc::clone(&calls));
            tokio::spawn(async move {
                let alpn = if number % 2 == 0 { HTTP1 } else { HTTP2 };
                let mut line = Line::open(address, alpn).await;
                while !over.load(Ordering::Relaxed) {
                    // Half of them stay on the connection that they have, half come anew each time.
                    if number < 4 {
                        line = Line::open(address, alpn).await;
                    }
                    let word = calls.fetch_add(1, Ordering::Relaxed).to_string();
                    assert_eq!(line.echo(address, &word).await.0, word);
                }
            })
        })
        .collect();
    assert_eq!(shown(address).await, own("first"));
    for round in 1..=RENEWALS {
        let name = if round % 2 == 0 { "first" } else { "second" };
        install(it.files.path(), name);
        let line = it.reload().await;
        assert!(line.contains("settings changed: gateway.tls.certificate"), "{line}");
        assert_eq!(shown(address).await, own(name), "renewal {round}");
        let before = calls.load(Ordering::Relaxed);
        let more = || async { (calls.load(Ordering::Relaxed) > before + 16).then_some(()) };
        eventually("calls go on", more).await;
    }
    let again = it.reload().await;
    assert!(!again.contains("settings changed"), "{again}");
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no call failed");
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_changes_nothing_and_says_why() {
    let it = Secured::start("first", "").await;
    let mut line = Line::open(it.gateway.address, HTTP2).await;
    let files = it.files.path();
    let break_by: [(&dyn Fn(), &[&str]); 5] = [
        (
            &|| put(&files.join("tls.pem"), b"nonsense"),
            &["tls.pem", "holds no certificate", "name a PEM file"],
        ),
        (
            &|| put(&files.join("tls.pem"), &std::fs::read(sample("second.pem")).unwrap()),
            &["tls.key", "not the key"],
        ),
        (
            &|| put(&files.join("tls.key"), &std::fs::read(sample("locked.key")).unwrap()),
            &["tls.key", "openssl pkey"],
        ),
        (&|| std::fs::remove_file(files.join("tls.key")).unwrap(), &["tls.key", "cannot be read"]),
        (&|| install(files, "past"), &["tls.pem", "has expired", "a certificate that is good now"]),
    ];
    for (spoil, words) in break_by {
        install(files, "first");
        spoil();
        let told = it.reload().await;
        assert!(told.contains("not reloaded"), "{told}");
        assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
        assert_eq!(shown(it.gateway.address).await, own("first"), "{words:?}");
        assert_eq!(line.echo(it.gateway.address, "still here").await.0, "still here");
    }
    install(files, "second");
    assert!(it.reload().await.contains("configuration reloaded"));
    assert_eq!(shown(it.gateway.address).await, own("second"));
}

#[tokio::test]
async fn files_that_change_are_taken_up_where_files_are_watched() {
    let it = Secured::start("first", "[gateway]\nwatch = \"50ms\"\n").await;
    install(it.files.path(), "second");
    eventually("the new certificate is shown", || async {
        (shown(it.gateway.address).await == own("second")).then_some(())
    })
    .await;
    assert!(told(&it.gateway).iter().all(|line| line.contains("a changed file")), "{:?}", told(&it.gateway));
}

#[tokio::test]
async fn tls_is_switched_on_and_off_under_way() {
    let gateway = Gateway::start(&demo("demo")).await;
    let files = tempfile::tempdir().unwrap();
    install(files.path(), "first");
    let address = gateway.address;
    let file = gateway.folder().join("gateway.toml");
    put(&file, format!("{}{}", section(files.path()), demo("demo")).as_bytes());
    gateway.signal(Signal::HUP);
    eventually("TLS is spoken", || async {
        connect(address, HTTP1, rustls::DEFAULT_VERSIONS).await.is_ok().then_some(())
    })
    .await;
    put(&file, demo("demo").as_bytes());
    gateway.signal(Signal::HUP);
    eventually("plain HTTP is spoken", || async {
        (gateway.get("/readyz", &[]).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_speaks_plain_http_is_told_and_whoever_is_silent_or_slow_loses_the_place() {
    let it = Secured::start("first", "").await;
    // From here on: what is too slow for a client here is too slow for a busy machine, too.
    let file = it.gateway.folder().join("gateway.toml");
    let shorter = std::fs::read_to_string(&file).unwrap().replace("\"1m\"", "\"5s\"");
    put(&file, shorter.as_bytes());
    assert!(it.reload().await.contains("settings changed: gateway.tls.handshake_timeout"));
    let address = it.gateway.address;
    let body = "x".repeat(50_000);
    let reply = wire::request(address, "POST", "/mcp", &[], body).await.whole().await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("this port speaks TLS: write https://"), "{}", reply.text());
    // Silent; slow, in the middle of a record; and no TLS at all.
    let mut idle = Vec::new();
    for first in [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"\x00\x01\x02\x03\x04\x05\x06"] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(first).await.unwrap();
            idle.push(stream);
        }
    }
    // Nobody else waits for them.
    assert_eq!(Line::open(address, HTTP1).await.echo(address, "served").await.0, "served");
    for mut stream in idle {
        let mut rest = Vec::new();
        // The end, or a reset where bytes of ours were not read.
        let _ended = within("the end of an idle connection", stream.read_to_end(&mut rest)).await;
    }
    eventually("all are counted", || async {
        let counted = (it.failed("timeout").await, it.failed("malformed").await, it.failed("plain").await);
        (counted == (40, 20, 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn old_versions_are_refused_where_the_configuration_says_so() {
    let files = tempfile::tempdir().unwrap();
    install(files.path(), "first");
    let config = format!("{}min_version = \"1.3\"\n{}", section(files.path()), demo("demo"));
    let gateway = Gateway::launch(&config).await;
    let address = gateway.address;
    assert!(connect(address, HTTP1, &[&rustls::version::TLS12]).await.is_err());
    assert!(connect(address, HTTP1, &[&rustls::version::TLS13]).await.is_ok());
}

#[tokio::test]
async fn an_expired_certificate_is_served_at_the_start_with_a_warning_and_its_clients_know() {
    let files = tempfile::tempdir().unwrap();
    install(files.path(), "past");
    let gateway = Gateway::launch(&format!("{}{}", section(files.path()), demo("demo"))).await;
    let refused = connect(gateway.address, HTTP1, rustls::DEFAULT_VERSIONS).await.unwrap_err().to_string();
    assert!(refused.contains("xpired"), "{refused}");
    eventually("it is told", || async { gateway.log().contains("has expired").then_some(()) }).await;
    // What replaces it may be as it is: it could only be better.
    install(files.path(), "first");
    gateway.signal(Signal::HUP);
    eventually("the good one is shown", || async {
        connect(gateway.address, HTTP1, rustls::DEFAULT_VERSIONS).await.is_ok().then_some(())
    })
    .await;
    let metrics = ask(gateway.address, HTTP1, "GET", "/metrics", "").await.1;
    for line in [
        "trunkline_tls_handshake_failures_total{reason=\"refused\"} ",
        "trunkline_tls_certificate_expiry_timestamp_seconds 4922899200",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test]
async fn what_is_said_of_our_own_address_says_https() {
    let idp = Idp::start(&[&Signer::ec("e")]).await;
    let it = Secured::start("first", &idp.entry()).await;
    let address = it.gateway.address;
    for alpn in [HTTP1, HTTP2] {
        let (status, text) = ask(address, alpn, "GET", "/.well-known/oauth-protected-resource/mcp", "").await;
        assert_eq!(status, 200, "{text}");
        let metadata: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(metadata["resource"], format!("https://{address}/mcp"));
    }
}

async fn run(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(PROGRAM);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRUNKLINE_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    within("a command", command.output()).await.expect("run")
}

#[tokio::test]
async fn commands_and_bridges_find_a_gateway_under_tls() {
    let it = Secured::start("first", "").await;
    let address = it.gateway.address;
    // As its operator has it: the address in the file, the certificate made out to the name that clients use.
    let file = it.files.path().join("gateway.toml");
    let text = format!(
        "[gateway]\nlisten = \"{address}\"\ndata_dir = {:?}\n{}{}",
        it.gateway.folder().join("data"),
        section(it.files.path()),
        demo("demo")
    );
    std::fs::write(&file, text).unwrap();
    let (file, root) = (file.to_str().unwrap().to_owned(), sample("root.pem").display().to_string());
    let url = format!("https://{address}");
    for arguments in [
        &["health", "--config", &file][..],
        &["health", "--url", &url],
        &["status", "--config", &file],
        &["status", "--url", &url, "--ca-file", &root],
        &["doctor", "--no-start", "--config", &file],
    ] {
        let output = run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let doctor = String::from_utf8(run(&["doctor", "--no-start", "--config", &file]).await.stdout).unwrap();
    for said in [&format!("a gateway answers at {address}"), "for gateway.example"] {
        assert!(doctor.contains(said), "{doctor}");
    }
    let stranger = run(&["status", "--url", &url]).await;
    assert_eq!(
        stranger.status.code(),
        Some(4),
        "nobody is trusted unasked where a URL is named: {stranger:?}"
    );
    let connect = String::from_utf8(run(&["connect", "cursor", "--config", &file]).await.stdout).unwrap();
    assert!(connect.contains(&format!("https://{address}/mcp")), "{connect}");
    // No administrator without the file: a key that cannot be read is no hindrance.
    std::fs::remove_file(it.files.path().join("tls.key")).unwrap();
    let output = run(&["status", "--config", &file]).await;
    assert!(output.status.success(), "{output:?}");
    let mut bridge = Pipe::start(pipe::command(&["--connect", &url, "--ca-file", &root]));
    let params = json!({ "name": "demo__echo", "arguments": { "message": "over the bridge" } });
    bridge.say(&Modern::body(&json!(7), "tools/call", params).to_string()).await;
    let answer: Value = serde_json::from_str(&bridge.line().await.expect("an answer")).unwrap();
    assert_eq!(text_of(&answer), "over the bridge");
}
