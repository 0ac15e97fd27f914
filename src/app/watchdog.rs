//! Signs of life for the service manager: each is a request that went through the executor and the router, so that a
//! gateway which is up and does nothing is found out.

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::base::{Era, Principal};
use crate::guard::Access;
use crate::protocol::{ClientCapabilities, Message, Params, RawId};
use crate::router::{Endpoint, Request, Router};

use super::reload::Reloader;
use crate::platform::Notifier;

/// Signs in the time that the manager grants: sd_watchdog_enabled(3) advises two; three forgive one that was late.
const SIGNS: u32 = 3;
/// The request that needs no server, so that no server's trouble is taken for ours.
const PROBE: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#;

/// Gives a sign of life for as long as there is life, until `stop`.
pub async fn run(
    router: Router,
    reloader: Reloader,
    notifier: Notifier,
    granted: Duration,
    stop: CancellationToken,
) {
    let every = granted / SIGNS;
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        // A task of its own: a worker that hangs does not run it.
        let asked = tokio::spawn(answers(router.clone()));
        match tokio::time::timeout(every, asked).await {
            Ok(Ok(true)) => notifier.alive(&reloader.status()),
            _ => warn!("the gateway did not answer its own request; no sign of life is given"),
        }
    }
}

async fn answers(router: Router) -> bool {
    let Ok(message) = Message::parse(Bytes::from_static(PROBE)) else { return false };
    let Ok(params) = Params::read(&message) else { return false };
    let request = Request {
        id: RawId::from_number(0),
        message,
        params,
        endpoint: Endpoint::Merged,
        principal: Principal::anonymous(),
        access: Access::full(),
        session: None,
        client: None,
        era: Era::Legacy,
        log_level: None,
        capabilities: ClientCapabilities::default(),
        headers: None,
        wishes: None,
        trace: None,
        span: None,
    };
    router.answers(&request).await
}
