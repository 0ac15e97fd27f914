//! An HTTPS server under a certificate that only the tests' own authority has signed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::stub::Seen;

/// The certificate of the tests' authority.
pub fn authority() -> PathBuf {
    file("ca.pem")
}

/// The configuration of a server under that certificate.
pub fn config() -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).expect("certificate");
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a usable certificate")
}

/// Serves until the test process ends, and returns where. The server for each connection is a thread of its own.
pub fn serve(answer: fn(&Seen) -> (String, String)) -> SocketAddr {
    let config = Arc::new(config());
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            // A client that does not trust us hangs up: no more than the end of this thread.
            std::thread::spawn(move || converse(stream, config, answer));
        }
    });
    address
}

fn converse(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    answer: fn(&Seen) -> (String, String),
) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let seen = Seen { line, headers: Vec::new(), body: String::from_utf8_lossy(&body).into_owned() };
        let (head, body) = answer(&seen);
        let text = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(text.as_bytes()).ok()?;
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}
