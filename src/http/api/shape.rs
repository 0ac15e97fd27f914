//! What the interface answers, as types: the gateway writes them, the command line reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod access;
mod fleet;

pub use access::{Explanation, Key, Keys};
pub use fleet::{Link, List, Server, ServerDetail, Servers, Service, ServiceDetail, Services};

/// How the gateway is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `healthy`, or `degraded` while a server is not as it should be.
    pub status: String,
    /// The gateway's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// Where its configuration came from.
    pub configuration: String,
    /// How many servers are in each state.
    pub servers: BTreeMap<String, usize>,
    /// How many services are in each state.
    pub services: BTreeMap<String, usize>,
    /// Servers and services that are not as they should be.
    pub degraded: Vec<Trouble>,
    /// Requests that are worked on.
    pub in_flight: usize,
    /// Calls that wait for their clients' answers to questions.
    pub parked: usize,
    /// Sessions in memory.
    pub sessions: usize,
    /// Open event streams.
    pub streams: usize,
    /// What is kept.
    pub cache: Cache,
}

/// What is kept so that nobody has to be asked for it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// Results of tools and resources that are kept.
    pub entries: usize,
    /// What they weigh, in bytes.
    pub bytes: usize,
    /// Results that had to go for want of room.
    pub evicted: u64,
    /// Requests that were answered from memory.
    pub hits: u64,
    /// Requests that might have been, and went to their server.
    pub misses: u64,
    /// Requests whose clients wanted no kept result.
    pub bypassed: u64,
    /// The same by server.
    pub servers: Vec<CacheOfServer>,
    /// Prompts that were made better.
    pub prompts: KeptPrompts,
}

/// How often kept results of one server were of use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheOfServer {
    /// Its name.
    pub server: String,
    /// Requests that were answered from memory.
    pub hits: u64,
    /// Requests that might have been, and went to the server.
    pub misses: u64,
    /// Requests whose clients wanted no kept result.
    pub bypassed: u64,
}

/// Better prompts that are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptPrompts {
    /// How many there are.
    pub entries: usize,
    /// How many had to go for want of room.
    pub evicted: u64,
    /// Prompts that were answered from memory.
    pub hits: u64,
    /// Prompts for which a model was wanted.
    pub misses: u64,
}

/// A server, or a service, that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// Its name.
    pub server: String,
    /// Its state.
    pub state: String,
    /// What is wrong.
    pub reason: String,
    /// In how many milliseconds it is tried again, if that is known.
    pub next_try_ms: Option<u64>,
}

/// Requests that are worked on, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// One each.
    pub calls: Vec<Call>,
}

/// A request that is worked on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its number at this gateway.
    pub id: u64,
    /// For how many milliseconds it has been worked on.
    pub age_ms: u64,
    /// Its method: of MCP, or of HTTP for a service.
    pub method: String,
    /// The tool, prompt or URI, as the client named it.
    pub name: Option<String>,
    /// The server that it goes to, once that is known.
    pub server: Option<String>,
    /// The client's name, where it is known.
    pub client: Option<String>,
    /// Who asks.
    pub principal: String,
    /// The era in which the client asks; none for a service.
    pub era: Option<String>,
    /// The endpoint, such as `/mcp`.
    pub endpoint: String,
    /// The client's id of the request, as JSON.
    pub request_id: Option<String>,
}

/// Sessions of legacy clients, the latest used first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// How many there are; the list shows the first thousand.
    pub total: usize,
    /// One each.
    pub sessions: Vec<Session>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// What stands for its id, which is a credential and is not shown.
    pub id: String,
    /// The client's name and version.
    pub client: String,
    /// Whose it is.
    pub principal: String,
    /// The endpoint at which it was opened.
    pub endpoint: String,
    /// The version of the protocol that was agreed on.
    pub version: String,
    /// Seconds since it was opened.
    pub age_seconds: u64,
    /// Seconds since it was used last.
    pub idle_seconds: u64,
    /// Calls under way.
    pub calls: usize,
    /// Whether it has a stream open.
    pub stream: bool,
    /// Resources that it watches.
    pub watched: usize,
}

/// Event streams on which clients hear of changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    /// How many there are; the list shows the first thousand.
    pub total: usize,
    /// One each.
    pub streams: Vec<Stream>,
}

/// An event stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Its number at this gateway.
    pub id: u64,
    /// The endpoint at which it was opened.
    pub endpoint: String,
    /// The era of the client.
    pub era: String,
    /// What it wants to hear of: `tools`, `prompts`, `resources`.
    pub wants: Vec<String>,
    /// Resources that it watches.
    pub watched: usize,
}

/// What the merged endpoint offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// Tools.
    pub tools: Vec<Named>,
    /// Prompts.
    pub prompts: Vec<Named>,
    /// Resources.
    pub resources: Vec<Addressed>,
    /// Templates of resources.
    pub templates: Vec<Addressed>,
    /// What had to be changed or left out: names that were shortened, URIs that clash.
    pub remarks: Vec<Remark>,
}

/// A tool or a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Its name at the merged endpoint.
    pub name: String,
    /// Its server.
    pub server: String,
    /// The server's own name for it.
    pub own_name: String,
    /// Whether more than the prefix had to change.
    pub shortened: bool,
}

/// A resource or a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Addressed {
    /// Its URI, or the pattern of URIs.
    pub uri: String,
    /// The server that answers.
    pub server: String,
}

/// Something worth knowing about a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remark {
    /// The server whose entry it is.
    pub server: String,
    /// What was done.
    pub text: String,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// Where it came from.
    pub origin: String,
    /// Every setting, sorted by key.
    pub settings: Vec<Setting>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// Its value as TOML; what may be a credential is shown as `***`.
    pub value: String,
    /// Where it was set.
    pub origin: String,
}

/// What an order has come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// One sentence.
    pub done: String,
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub error: Reason,
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// A word for programs.
    pub code: String,
    /// A sentence for people, with the cure.
    pub message: String,
}

/// One event of the event stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `server`, `breaker`, `service`, `catalog`, or `missed` when the listener was too slow to hear all.
    pub kind: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The server or service, where it is one's.
    pub server: Option<String>,
    /// The new state: of the server, its breaker, or `enabled` and `disabled`; for the catalog what has changed.
    pub state: Option<String>,
    /// The number of the server's last start.
    pub generation: Option<u64>,
    /// What went wrong, or how many events were missed.
    pub reason: Option<String>,
}
