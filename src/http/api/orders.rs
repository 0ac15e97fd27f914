//! What an operator can order, and the channel on which orders travel to whoever serves them.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::base::Principal;

use super::failure::Failure;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Something to a server.
    Server {
        /// Its name.
        name: String,
        /// What.
        act: Act,
    },
    /// Something to a service.
    Service {
        /// Its name.
        name: String,
        /// What, of [`Act::OF_SERVICES`].
        act: Act,
    },
    /// Take a request back.
    CancelCall(u64),
    /// End a session, by what stands for its id.
    CloseSession(String),
    /// End an event stream.
    CloseStream(u64),
    /// Revoke all API keys of a name, or the one that begins so.
    RevokeKeys(String),
    /// Take the rows of one principal out of the activity log.
    EraseActivity(String),
    /// Take all rows out of it.
    ClearActivity,
    /// Forget what is kept.
    ClearCaches {
        /// Only of this server.
        server: Option<String>,
        /// Only of this tool of it.
        tool: Option<String>,
    },
    /// Have lists read before anybody asks for them.
    WarmCaches {
        /// Only of this server.
        server: Option<String>,
    },
    /// Read the configuration again and take it over.
    Reload,
}

impl Order {
    /// Whether it takes its time, so that others do not wait for it.
    pub fn is_long(&self) -> bool {
        matches!(self, Order::EraseActivity(_) | Order::ClearActivity)
    }
}

/// What can be done to a server, and some of it to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Start it, at once even if it rests.
    Start,
    /// Stop it.
    Stop,
    /// Stop it and start it again.
    Restart,
    /// Close its breaker.
    Reset,
    /// Take it into service.
    Enable,
    /// Take it out of service.
    Disable,
}

impl Act {
    /// All of them.
    pub const ALL: [Act; 6] = [Act::Start, Act::Stop, Act::Restart, Act::Reset, Act::Enable, Act::Disable];

    /// What can be done to a service, which the gateway does not run.
    pub const OF_SERVICES: [Act; 3] = [Act::Reset, Act::Enable, Act::Disable];

    /// The word for it, in paths and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Act::Start => "start",
            Act::Stop => "stop",
            Act::Restart => "restart",
            Act::Reset => "reset",
            Act::Enable => "enable",
            Act::Disable => "disable",
        }
    }
}

impl Act {
    /// What a path says is to be done, if it is among what can be.
    pub(super) fn read(word: &str, known: &[Act], to_what: &str) -> Result<Act, Failure> {
        known.iter().copied().find(|act| act.as_str() == word).ok_or_else(|| {
            let known: Vec<&str> = known.iter().map(|act| act.as_str()).collect();
            let known = known.join(", ");
            Failure::not_found(format!(
                "'{word}' is nothing that can be done to {to_what}; there are: {known}"
            ))
        })
    }
}

/// An order on its way.
#[derive(Debug)]
pub struct Placed {
    /// What is to be done.
    pub order: Order,
    /// On whose word.
    pub principal: Principal,
    /// What somebody without a credential calls itself.
    pub client: Option<String>,
    /// Where what came of it is told, in one sentence.
    pub answer: oneshot::Sender<Result<String, Failure>>,
}

/// Where orders are placed. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Placed>);

/// Where orders are taken from.
pub type OrderBook = mpsc::Receiver<Placed>;

/// Orders that may wait. People give them one by one; a program that gives more at once is told to slow down.
const WAITING: usize = 64;
/// How long an order may take. Most are words passed on that wait for nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long rows are erased while somebody waits; a hundred thousand take some seconds.
const ERASING: Duration = Duration::from_secs(60);

impl Orders {
    /// The two ends of the channel.
    pub fn channel() -> (Orders, OrderBook) {
        let (orders, book) = mpsc::channel(WAITING);
        (Orders(orders), book)
    }

    /// Places an order and waits for what comes of it.
    pub async fn place(&self, order: Order, principal: Principal) -> Result<String, Failure> {
        self.place_as(order, principal, None).await
    }

    /// Places an order of somebody who calls itself `client`.
    pub async fn place_as(
        &self,
        order: Order,
        principal: Principal,
        client: Option<String>,
    ) -> Result<String, Failure> {
        let (answer, answered) = oneshot::channel();
        let busy = || Failure::busy("the gateway has too many orders before this one; try again");
        let patience = if order.is_long() { ERASING } else { PATIENCE };
        self.0.try_send(Placed { order, principal, client, answer }).map_err(|_| busy())?;
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(done)) => done,
            _ => Err(Failure::busy(
                "the order is still being carried out, or was given up; the gateway's log says what came of it",
            )),
        }
    }
}
