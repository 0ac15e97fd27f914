//! What the end-to-end tests share: a real gateway process on a free port, clients that see every byte, and servers
//! that misbehave on demand. Nothing here sleeps and hopes: what is waited for is looked at until a deadline.

pub mod backend;
pub mod clients;
pub mod collector;
pub mod gateway;
pub mod issuer;
pub mod keys;
pub mod pipe;
pub mod processes;
pub mod schema;
pub mod servers;
pub mod stub;
pub mod tls;
pub mod wire;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

pub use backend::Backend;
pub use clients::{Counter, Legacy, Modern, code_of, message_of, stats, text_of};
pub use collector::Collector;
pub use gateway::Gateway;
pub use pipe::Pipe;
pub use servers::{conformance, demo, over_http, recorded, scripted, section, service, shell};
pub use stub::Stub;
pub use wire::{Event, Fields, Open, Reply};

/// A condition that is not true after this is taken to be false. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(25);
/// How often a condition is looked at.
pub const LOOK: Duration = Duration::from_millis(10);

/// The result of `work`, which must come within the deadline.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Looks again and again until `look` finds something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        sleep(LOOK).await;
    }
}
