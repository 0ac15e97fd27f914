//! Where a browser comes back to after a login: a listener on this machine (RFC 8252, section 7.3).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// The path of the redirect.
const PATH: &str = "/callback";
/// The longest request head that is read.
const MAX_HEAD: usize = 16 << 10;
/// How long a browser may take to say what it wants: some open connections that they do not use.
const PATIENCE: Duration = Duration::from_secs(10);
/// Visits that wait to be judged.
const WAITING: usize = 8;

/// The listener.
#[derive(Debug)]
pub struct Loopback {
    port: u16,
    visits: mpsc::Receiver<Visit>,
    listening: tokio::task::JoinHandle<()>,
}

/// Somebody has come back.
#[derive(Debug)]
pub struct Visit {
    /// The query that they bring.
    pub query: String,
    reply: oneshot::Sender<String>,
    told: oneshot::Receiver<()>,
}

impl Visit {
    /// Tells the person in the browser, and returns when that is done.
    pub async fn tell(self, text: &str) {
        let _ = self.reply.send(text.to_owned());
        // An end without a word means that the browser has gone.
        let _ = self.told.await;
    }
}

impl Loopback {
    /// Listens on 127.0.0.1; with the port 0 on any that is free.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn bind(port: u16) -> io::Result<Loopback> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = listener.local_addr()?.port();
        let (sender, visits) = mpsc::channel(WAITING);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move { tokio::time::timeout(PATIENCE, serve(stream, sender)).await });
            }
        });
        Ok(Loopback { port, visits, listening })
    }

    /// Where the browser is to be sent.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// The next one who comes back.
    pub async fn visit(&mut self) -> Visit {
        match self.visits.recv().await {
            Some(visit) => visit,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(mut stream: TcpStream, visits: mpsc::Sender<Visit>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != PATH {
        return answer(&mut stream, "404 Not Found", "Nothing is here.").await;
    }
    let (reply, text) = oneshot::channel();
    let (_telling, told) = oneshot::channel();
    if visits.send(Visit { query: query.to_owned(), reply, told }).await.is_err() {
        return answer(&mut stream, "410 Gone", "Nobody waits for a login any more.").await;
    }
    let text = text.await.unwrap_or_else(|_| "Nobody waits for a login any more.".to_owned());
    answer(&mut stream, "200 OK", &text).await
}

/// A page of plain text: whatever it says, no browser takes it for anything else.
async fn answer(stream: &mut TcpStream, status: &str, text: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(port: u16, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn who_comes_back_is_told_and_an_idle_connection_keeps_nobody_out() {
        let mut loopback = Loopback::bind(0).await.unwrap();
        let port = loopback.port;
        assert_eq!(loopback.redirect_uri(), format!("http://127.0.0.1:{port}/callback"));
        let _idle = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert!(ask(port, "/favicon.ico").await.starts_with("HTTP/1.1 404"));
        let asking = tokio::spawn(async move { ask(port, "/callback?code=c&state=s").await });
        let visit = loopback.visit().await;
        assert_eq!(visit.query, "code=c&state=s");
        visit.tell("Done.").await;
        assert!(asking.await.unwrap().ends_with("\r\n\r\nDone."));
    }
}
