//! Serves what operators order, one thing after the other, and keeps the audit log of it.

use std::path::PathBuf;
use std::time::SystemTime;

use tracing::info;

use crate::activity;
use crate::http::api::{Act, Failure, Order, OrderBook, Placed};
use crate::router::Router;
use crate::session::{Hub, Sessions};
use crate::store::Store;
use crate::supervisor::{ServerHandle, Services, State};

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
    /// Services.
    pub services: Services,
    /// The keys on file.
    pub store: Store,
    /// Reads the configuration again.
    pub reloader: Reloader,
}

/// Serves orders until nobody can place any more.
pub async fn serve(hands: Hands, mut book: OrderBook) {
    while let Some(placed) = book.recv().await {
        match placed.order.is_long() {
            true => drop(tokio::spawn(hands.clone().execute(placed))),
            false => hands.clone().execute(placed).await,
        }
    }
}

impl Hands {
    async fn execute(self, Placed { order, principal, client, answer }: Placed) {
        let done = self.carry_out(&order).await;
        match &done {
            Ok(done) => info!(target: "audit", %principal, client, ?order, "{done}"),
            Err(failure) => {
                info!(target: "audit", %principal, client, ?order, "not done: {}", failure.message())
            }
        }
        // Whoever gave the order may have gone.
        let _ = answer.send(done);
    }

    async fn carry_out(&self, order: &Order) -> Result<String, Failure> {
        match order {
            Order::Server { name, act } => self.server(name, *act).await,
            Order::Service { name, act } => self.service(name, *act).await,
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
            Order::RevokeKeys(name) => self.revoke(name).await,
            Order::EraseActivity(whose) => {
                let path = self.log().await?;
                match activity::erase(&path, whose).await {
                    Ok(rows) => Ok(format!("{rows} rows of '{whose}' are erased")),
                    Err(error) => Err(Failure::conflict(error.to_string())),
                }
            }
            Order::ClearActivity => match activity::erase_all(&self.log().await?).await {
                Ok(rows) => Ok(format!("all {rows} rows are erased")),
                Err(error) => Err(Failure::conflict(error.to_string())),
            },
            Order::ClearCaches { server, tool } => self.clear(server.as_deref(), tool.as_deref()),
            Order::WarmCaches { server } => self.warm(server.as_deref()).await,
        }
    }

    async fn revoke(&self, name: &str) -> Result<String, Failure> {
        match self.store.revoke_keys(name.trim_end_matches('…'), SystemTime::now()).await {
            Ok(0) => {
                let text = format!("there is no key in force that is called or shown as '{name}'");
                Err(Failure::not_found(text))
            }
            Ok(1) => Ok("1 key is revoked".to_owned()),
            Ok(many) => Ok(format!("{many} keys are revoked")),
            Err(error) => Err(Failure::busy(error.to_string())),
        }
    }

    fn clear(&self, server: Option<&str>, tool: Option<&str>) -> Result<String, Failure> {
        let named = self.named(server)?;
        let results = self.router.results().clear(server, tool);
        let of = match (server, tool) {
            (Some(server), Some(tool)) => format!(" of '{tool}' at '{server}'"),
            (Some(server), None) => format!(" of '{server}'"),
            (None, _) => String::new(),
        };
        let mut done = format!("{results} results{of} are forgotten");
        if tool.is_none() {
            named.iter().for_each(ServerHandle::reread);
            done.push_str("; lists are read again");
        }
        if server.is_none() {
            done.push_str(&format!("; {} prompts are forgotten", self.router.enhancer().forget()));
        }
        Ok(done)
    }

    /// Lists of servers that are up are read again; one that sleeps is woken, which reads them too. What is stopped or
    /// out of service stays so.
    async fn warm(&self, server: Option<&str>) -> Result<String, Failure> {
        let (mut read, mut woken) = (0, 0);
        for server in self.named(server)? {
            if server.live().is_some() {
                server.reread();
                read += 1;
            } else if matches!(server.status().borrow().state, State::Dormant) && !server.is_disabled() {
                server.start().await;
                woken += 1;
            }
        }
        Ok(format!("lists of {read} servers are read again, {woken} servers are woken"))
    }

    /// The servers that an order is for.
    fn named(&self, server: Option<&str>) -> Result<Vec<ServerHandle>, Failure> {
        let fleet = self.router.fleet();
        match server {
            None => Ok(fleet.servers().iter().cloned().collect()),
            Some(name) => match fleet.get(name) {
                Some(server) => Ok(vec![server]),
                None => Err(Failure::not_found(format!("there is no server '{name}'"))),
            },
        }
    }

    /// The activity log's file, with all that was on its way there.
    async fn log(&self) -> Result<PathBuf, Failure> {
        let log = self.router.activity();
        let path = log.path().ok_or_else(|| Failure::not_found("the gateway keeps no activity log"))?;
        let _ = log.flush().await;
        Ok(path.to_owned())
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
                breaker_closed(name)
            }
            Act::Enable => {
                server.enable().await;
                in_service(name)
            }
            Act::Disable => {
                server.disable().await;
                out_of_service(name)
            }
        })
    }

    async fn service(&self, name: &str, act: Act) -> Result<String, Failure> {
        let service = self
            .services
            .get(name)
            .ok_or_else(|| Failure::not_found(format!("there is no service '{name}'")))?;
        Ok(match act {
            Act::Reset => {
                service.reset_breaker();
                breaker_closed(name)
            }
            Act::Enable => {
                service.enable().await;
                in_service(name)
            }
            Act::Disable => {
                service.disable().await;
                out_of_service(name)
            }
            Act::Start | Act::Stop | Act::Restart => {
                let text =
                    format!("'{name}' is a service, which the gateway does not run; it can be disabled");
                return Err(Failure::conflict(text));
            }
        })
    }
}

fn breaker_closed(name: &str) -> String {
    format!("the breaker of '{name}' is closed")
}

fn in_service(name: &str) -> String {
    format!("'{name}' is in service")
}

fn out_of_service(name: &str) -> String {
    format!("'{name}' is out of service until it is enabled or the gateway starts anew")
}
