//! The signals that end the daemon: the first asks, the second insists.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Two tokens: `asked` fires with the first SIGTERM or SIGINT, `insisted` with the second.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Let what runs finish.
    pub asked: CancellationToken,
    /// Now.
    pub insisted: CancellationToken,
}

impl Stop {
    /// Starts to listen for the signals.
    pub fn on_signals() -> std::io::Result<Stop> {
        let stop = Stop::default();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let told = stop.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = term.recv() => "SIGTERM",
                    _ = int.recv() => "SIGINT",
                };
                if told.asked.is_cancelled() {
                    info!("{name} again: stopping now");
                    told.insisted.cancel();
                    return;
                }
                info!("{name}: finishing what is in flight; a second signal stops at once");
                told.asked.cancel();
            }
        });
        Ok(stop)
    }
}
