//! Serves what operators order, one thing after the other, and keeps the audit log of it.

use tracing::info;

use crate::http::api::{Act, Failure, Order, OrderBook, Placed};
use crate::router::Router;
use crate::session::{Hub, Sessions};

use super::reload::Reloader;

/// What orders act on.
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
    while let Some(Placed { order, principal, answer }) = book.recv().await {
        let done = hands.carry_out(&order).await;
        match &done {
            Ok(done) => info!(target: "audit", %principal, ?order, "{done}"),
            Err(failure) => info!(target: "audit", %principal, ?order, "not done: {}", failure.message()),
        }
        // Whoever gave the order may have gone.
        let _ = answer.send(done);
    }
}

impl Hands {
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
