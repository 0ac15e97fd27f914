//! Serves what operators order, one thing after the other, and keeps the audit log of it.

use tracing::info;

use crate::activity;
use crate::http::api::{Act, Failure, Order, OrderBook, Placed};
use crate::router::Router;
use crate::session::{Hub, Sessions};

use super::reload::Reloader;

/// What orders act on.
#[derive(Clone)]
pub struct Hands {
    /// Requests under way, and the fleet.
    pub router: Router,
    /// Sessions.
    pub sessions: Sessions,
    /// Streams.
    pub hub: Hub,
    /// Reads the configuration again.
    pub reloader: Reloader,
}

/// Serves orders until nobody can place any more.
pub async fn serve(hands: Hands, mut book: OrderBook) {
    while let Some(placed) = book.recv().await {
        match placed.order {
            // The one that takes its time; the others do not wait for it.
            Order::EraseActivity(_) => drop(tokio::spawn(hands.clone().execute(placed))),
            _ => hands.clone().execute(placed).await,
        }
    }
}

impl Hands {
    async fn execute(self, Placed { order, principal, answer }: Placed) {
        let done = self.carry_out(&order).await;
        match &done {
            Ok(done) => info!(target: "audit", %principal, ?order, "{done}"),
            Err(failure) => info!(target: "audit", %principal, ?order, "not done: {}", failure.message()),
        }
        // Whoever gave the order may have gone.
        let _ = answer.send(done);
    }

    async fn carry_out(&self, order: &Order) -> Result<String, Failure> {
        match order {
            Order::Server { name, act } => self.server(name, *act).await,
            Order::CancelCall(number) if self.router.gate().recall(*number) => {
                Ok(format!("call {number} is cancelled"))
            }
            Order::CancelCall(number) => {
                Err(Failure::not_found(format!("there is no call {number}; it may have ended")))
            }
            Order::CloseSession(handle) if self.sessions.close(handle) => {
                Ok(format!("session {handle} is closed"))
            }
            Order::CloseSession(handle) => {
                Err(Failure::not_found(format!("there is no session {handle} in memory")))
            }
            Order::CloseStream(number) if self.hub.close(*number) => Ok(format!("stream {number} is closed")),
            Order::CloseStream(number) => {
                Err(Failure::not_found(format!("there is no stream {number}; it may have ended")))
            }
            Order::Reload => match &self.reloader.reload("an administrator").await.outcome {
                Ok(summary) => Ok(format!("the configuration is reloaded: {summary}")),
                Err(refused) => {
                    let text =
                        format!("the configuration is not reloaded, everything stays as it is: {refused}");
                    Err(Failure::conflict(text))
                }
            },
            Order::EraseActivity(whose) => {
                let log = self.router.activity();
                let path =
                    log.path().ok_or_else(|| Failure::not_found("the gateway keeps no activity log"))?;
                // What is still on its way to the file is theirs as well.
                let _ = log.flush().await;
                match activity::erase(path, whose).await {
                    Ok(rows) => Ok(format!("{rows} rows of '{whose}' are erased")),
                    Err(error) => Err(Failure::conflict(error.to_string())),
                }
            }
            Order::ClearCaches => {
                for server in self.router.fleet().servers().iter() {
                    server.reread();
                }
                Ok("the lists of all servers are read again".to_owned())
            }
        }
    }

    async fn server(&self, name: &str, act: Act) -> Result<String, Failure> {
        let server = self
            .router
            .fleet()
            .get(name)
            .ok_or_else(|| Failure::not_found(format!("there is no server '{name}'")))?;
        if server.is_disabled() && matches!(act, Act::Start | Act::Restart) {
            let text = format!("'{name}' has been taken out of service; enable it first");
            return Err(Failure::conflict(text));
        }
        Ok(match act {
            Act::Start => {
                server.start().await;
                format!("'{name}' is started")
            }
            Act::Stop => {
                server.stop().await;
                format!("'{name}' is stopped; calls do not wake it")
            }
            Act::Restart => {
                server.restart().await;
                format!("'{name}' is restarted")
            }
            Act::Reset => {
                server.reset_breaker();
                format!("the breaker of '{name}' is closed")
            }
            Act::Enable => {
                server.enable().await;
                format!("'{name}' is in service")
            }
            Act::Disable => {
                server.disable().await;
                format!("'{name}' is out of service until it is enabled or the gateway starts anew")
            }
        })
    }
}
