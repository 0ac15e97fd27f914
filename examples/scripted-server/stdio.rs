//! Standard input and output.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Stdout};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::LONGEST_LIFE;
use crate::message::{Reply, Sink};
use crate::protocol::Server;

/// Standard output, one line at a time.
pub(crate) struct Output {
    inner: Mutex<Inner>,
}

struct Inner {
    stdout: Stdout,
    /// How many more lines are written before it is closed; `None` when it stays open.
    left: Option<usize>,
}

impl Output {
    fn new(left: Option<usize>) -> Self {
        Self { inner: Mutex::new(Inner { stdout: tokio::io::stdout(), left }) }
    }

    /// Writes one line. That nobody reads any more is the reader's matter.
    pub(crate) async fn line(&self, mut bytes: Vec<u8>) {
        bytes.push(b'\n');
        let mut inner = self.inner.lock().await;
        let _gone = inner.write(&bytes).await;
        if let Some(left) = &mut inner.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                close_stdout();
            }
        }
    }

    /// Writes without a line's end for as long as somebody reads. Nothing else gets out meanwhile.
    pub(crate) async fn endless(&self, chunk: &[u8]) -> Reply {
        let mut inner = self.inner.lock().await;
        while inner.write(chunk).await.is_ok() {}
        Reply::Silence
    }
}

impl Inner {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stdout.write_all(bytes).await?;
        self.stdout.flush().await
    }
}

/// Puts `/dev/null` in the place of standard output, so that its reader sees the end.
fn close_stdout() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        let _closed = rustix::stdio::dup2_stdout(null);
    }
}

pub(crate) async fn serve(server: Arc<Server>) -> std::io::Result<()> {
    let output = Arc::new(Output::new(server.flags.close_stdout_after));
    if let Some(banner) = &server.flags.banner {
        let mut inner = output.inner.lock().await;
        inner.write(format!("{banner}\n").as_bytes()).await?;
    }
    let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
    while let Some(line) = lines.next_segment().await? {
        match serde_json::from_slice::<Value>(&line) {
            Ok(message) => server.take(message, "stdio", Sink::Stdio(output.clone()), Value::Null),
            Err(error) => {
                let error = json!({ "code": -32700, "message": format!("Parse error: {error}") });
                output
                    .line(json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string().into_bytes())
                    .await;
            }
        }
    }
    if server.flags.ignore_eof {
        sleep(LONGEST_LIFE).await;
    }
    Ok(())
}
