//! A child's stderr: always drained, kept in a bounded tail, and passed to the log.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::debug;

use crate::base::ServerName;

/// Lines kept for an administrator. A stack trace of the usual runtimes fits.
const KEPT_LINES: usize = 50;
/// Bytes kept of one line; the rest of a longer line is dropped.
const KEPT_BYTES: usize = 1024;
/// Read at once.
const READ_BYTES: usize = 8 * 1024;

/// The last lines of one child.
#[derive(Debug, Default)]
pub struct StderrTail(Mutex<VecDeque<String>>);

impl StderrTail {
    /// The lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Reads `stderr` to its end, however much comes.
    pub async fn drain(&self, name: &ServerName, mut stderr: impl AsyncRead + Unpin) {
        let mut piece = vec![0u8; READ_BYTES];
        let mut line = Vec::new();
        while let Ok(read @ 1..) = stderr.read(&mut piece).await {
            for byte in &piece[..read] {
                if *byte == b'\n' {
                    self.keep(name, &std::mem::take(&mut line));
                } else if line.len() < KEPT_BYTES {
                    line.push(*byte);
                }
            }
        }
        self.keep(name, &line);
    }

    fn keep(&self, name: &ServerName, line: &[u8]) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        if text.is_empty() {
            return;
        }
        debug!(target: "trunkline::stderr", server = %name, "{text}");
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tail_is_bounded_in_lines_and_in_bytes() {
        let tail = StderrTail::default();
        let mut text = "x".repeat(5000) + "\n";
        for number in 0..100 {
            text.push_str(&format!("line {number}\n"));
        }
        tail.drain(&ServerName::new("s").unwrap(), text.as_bytes()).await;
        let lines = tail.lines();
        assert_eq!(lines.len(), KEPT_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("line 99"));
        tail.drain(&ServerName::new("s").unwrap(), &b"y".repeat(5000)[..]).await;
        assert_eq!(tail.lines().last().map(String::len), Some(KEPT_BYTES));
    }
}
