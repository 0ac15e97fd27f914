//! Servers and services as the interface shows them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All servers, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Servers {
    /// One each.
    pub servers: Vec<Server>,
}

/// A server at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// `stopped`, `starting`, `ready`, `backoff`, `failed`, `dormant` or `stopping`.
    pub state: String,
    /// For how many milliseconds it has been in that state.
    pub for_ms: u64,
    /// Whether it is in service.
    pub enabled: bool,
    /// `stdio` or `http`.
    pub transport: String,
    /// The number of its last start.
    pub generation: u64,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// `legacy` or `modern`, once that is known.
    pub era: Option<String>,
    /// The version of the protocol that was agreed on.
    pub version: Option<String>,
    /// What it offers.
    pub lists: Vec<List>,
    /// `closed`, `open` or `half_open`.
    pub breaker: String,
    /// Calls that hold a place at it.
    pub in_flight: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// How often it has been started again after a fall.
    pub restarts: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// In how many milliseconds it is tried again: started, or called by an open breaker.
    pub next_try_ms: Option<u64>,
    /// `not_asked`, `logged_in` or `needed`; nothing where the gateway makes no login.
    pub login: Option<String>,
    /// Why somebody has to log in, as a clause that follows the server's name.
    pub login_reason: Option<String>,
}

/// One of a server's lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// `tools`, `prompts`, `resources` or `resourceTemplates`.
    pub kind: String,
    /// `absent`, `read` or `failed`.
    pub state: String,
    /// Entries that are known.
    pub entries: usize,
    /// Why it could not be read.
    pub reason: Option<String>,
}

/// A server in detail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerDetail {
    /// The same as in the list.
    #[serde(flatten)]
    pub server: Server,
    /// Its program, or its URL without what may be a credential.
    pub target: String,
    /// What it calls itself.
    pub server_info: Option<Value>,
    /// What it declared.
    pub capabilities: Option<Value>,
    /// Whether its lists are those of an earlier run, and not confirmed yet.
    pub stored: bool,
    /// The most calls it may have at once.
    pub max_in_flight: usize,
    /// Links beside the one that all clients share.
    pub links: Vec<Link>,
    /// The last lines of its standard error.
    pub stderr: Vec<String>,
}

/// A link to a server beside the one that all clients share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Whose it is: `everybody` (for what clients declare), `session` or `principal`.
    pub owner: String,
    /// The principal, or the beginning of what stands for the session's id.
    pub name: String,
    /// The capabilities that it declares.
    pub declared: Value,
    /// The state of its server.
    pub state: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Calls in flight.
    pub in_flight: usize,
    /// For how many milliseconds nobody has used it.
    pub idle_ms: u64,
}

/// All services, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// One each.
    pub services: Vec<Service>,
}

/// A service at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// `starting` until it has been looked at, `ready`, `failed`, or `stopped` while it is out of service.
    pub state: String,
    /// For how many milliseconds it has been in that state.
    pub for_ms: u64,
    /// Whether it is in service.
    pub enabled: bool,
    /// `closed`, `open` or `half_open`.
    pub breaker: String,
    /// Requests that hold a place at it.
    pub in_flight: usize,
    /// Requests that wait for a place.
    pub waiting: usize,
    /// How often it has failed after it had been well.
    pub falls: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// In how many milliseconds it is looked at again, or asked by an open breaker.
    pub next_try_ms: Option<u64>,
}

/// A service in detail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceDetail {
    /// The same as in the list.
    #[serde(flatten)]
    pub service: Service,
    /// Where it is, without what may be a credential.
    pub target: String,
    /// Its path at the gateway.
    pub endpoint: String,
    /// What is asked for to see whether it is well; nothing if it is taken to be.
    pub health_path: Option<String>,
    /// The most requests it may have at once.
    pub max_in_flight: usize,
    /// How many it may have in a time.
    pub rate: Option<String>,
}
