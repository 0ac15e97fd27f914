//! One server of another program's file.

use std::time::Duration;

/// One server, in our words. Texts may hold our references; a literal `${` is written `$${`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// A name that is fit for a server here.
    pub name: String,
    /// Its name there.
    pub was: String,
    /// How it is reached.
    pub reached: Reached,
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it starts on first use only.
    pub lazy: bool,
    /// How long one call may take.
    pub call_timeout: Option<Duration>,
    /// How long it may take to become ready.
    pub start_timeout: Option<Duration>,
    /// How often it may be restarted.
    pub restart_budget: Option<u64>,
    /// How often it is asked whether it is well.
    pub health_interval: Option<Duration>,
    /// The only tools to offer; empty means all.
    pub allow: Vec<String>,
    /// Tools to hold back.
    pub deny: Vec<String>,
    /// What has no form here, or needs a hand: one sentence each, without any credential.
    pub notes: Vec<String>,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// A program on its standard input and output.
    Program {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its variables.
        env: Vec<(String, String)>,
        /// Its working directory.
        cwd: Option<String>,
    },
    /// An address.
    Url {
        /// The endpoint.
        url: String,
        /// Headers of every request.
        headers: Vec<(String, String)>,
        /// Whether it speaks the HTTP+SSE transport of 2024-11-05.
        sse: bool,
    },
}

impl Entry {
    /// An entry that says nothing but how its server is reached.
    pub(super) fn new(name: &str, was: &str, reached: Reached) -> Entry {
        Entry {
            name: name.to_owned(),
            was: was.to_owned(),
            reached,
            enabled: true,
            lazy: false,
            call_timeout: None,
            start_timeout: None,
            restart_budget: None,
            health_interval: None,
            allow: Vec::new(),
            deny: Vec::new(),
            notes: Vec::new(),
        }
    }
}
