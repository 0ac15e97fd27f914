//! `[activity]`: the log of calls.

use std::time::Duration;

use super::model::{Config, Transport};
use crate::base::Secret;

/// `[activity]`: the log of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Whether calls are kept.
    pub enabled: bool,
    /// The most rows that wait for the file.
    pub queue: usize,
    /// How long a row may wait, and so the most that a kill loses.
    pub window: Duration,
    /// How long rows are kept.
    pub keep: Duration,
    /// The most that the file may hold, in bytes.
    pub max_size: u64,
    /// The most bytes kept of a request, and of a reply, where payloads are captured.
    pub capture_limit: u64,
    /// Whether rows are chained, so that a change of the file shows.
    pub chain: bool,
}

/// Of which calls to a server the messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// Of none.
    None,
    /// Of those that end with an error.
    Errors,
    /// Of all.
    All,
}

impl Config {
    /// Every secret that servers, services and collectors are given: what must not show anywhere.
    pub fn secrets(&self) -> Vec<Secret> {
        let headers = self.services.iter().flat_map(|service| &service.headers);
        let headers = headers.chain(self.traces.iter().flat_map(|traces| &traces.headers));
        let mut secrets: Vec<Secret> = headers.map(|(_, value)| value.clone()).collect();
        for server in &self.servers {
            match &server.transport {
                Transport::Stdio { env, .. } => secrets.extend(env.iter().map(|(_, value)| value.clone())),
                Transport::Http { headers, .. } => {
                    secrets.extend(headers.iter().map(|(_, value)| value.clone()));
                }
            }
        }
        secrets
    }
}
