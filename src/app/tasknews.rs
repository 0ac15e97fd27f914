//! What servers say of tasks: from the router, which knows whose they are, to the streams of those, which the hub has.

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::router::{Router, TaskNews};
use crate::session::Hub;

/// Passes it on until `shutdown`.
pub(super) fn pass_on(router: &Router, hub: &Hub, shutdown: &CancellationToken) {
    tokio::spawn(router.clone().follow_tasks(shutdown.clone()));
    let (mut news, hub, shutdown) = (router.task_news(), hub.clone(), shutdown.clone());
    tokio::spawn(async move {
        let told = async {
            loop {
                match news.recv().await {
                    Ok(TaskNews { id, session, note }) => hub.task(&id, session, &note),
                    // Nobody may rely on them.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        };
        shutdown.run_until_cancelled(told).await;
    });
}
