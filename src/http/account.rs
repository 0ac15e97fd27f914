//! What is noted of an exchange with a service, and becomes its row in the activity log when it is over.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::{Body, Frame};
use tokio::time::Instant;

use crate::activity::{ActivityLog, ClientText, Entry};
use crate::base::{ErrorKind, Principal};
use crate::supervisor::Broken;
use crate::telemetry::Outcome;

use super::told::Exchange;
use super::wishes::CLIENT_NAME;

/// The account of one exchange. Dropping it writes the row.
#[derive(Debug)]
pub struct Account {
    log: ActivityLog,
    exchange: Exchange,
    principal: Principal,
    client: String,
    service: String,
    bytes_out: usize,
    /// When the head of the answer came.
    answered: Option<Instant>,
    outcome: Outcome,
    /// The HTTP status, if it is one of trouble.
    code: u16,
    cancelled_by: &'static str,
    breaker: &'static str,
}

impl Account {
    /// Begins the account of a request to a service. It says that the client went away until something else is noted.
    pub fn begin<B: Body>(
        log: &ActivityLog,
        principal: &Principal,
        service: &str,
        request: &Request<B>,
    ) -> Account {
        let client = request.headers().get(CLIENT_NAME).and_then(|name| name.to_str().ok());
        Account {
            log: log.clone(),
            exchange: Exchange::begin(request),
            principal: principal.clone(),
            client: client.unwrap_or_default().to_owned(),
            service: service.to_owned(),
            bytes_out: 0,
            answered: None,
            outcome: Outcome::Failed(ErrorKind::Cancelled),
            code: 0,
            cancelled_by: "disconnect",
            breaker: "",
        }
    }

    /// The service has answered with this status, to a request that its breaker let through as said; the body follows.
    pub fn answered(&mut self, status: StatusCode, breaker: &'static str) {
        self.breaker = breaker;
        self.answered = Some(Instant::now());
        if status.is_client_error() || status.is_server_error() {
            self.code = status.as_u16();
        }
    }

    /// The breaker refuses.
    pub fn fused(&mut self) {
        self.breaker = "open";
    }

    /// The gateway itself refuses.
    pub fn refused(&mut self, kind: ErrorKind, status: StatusCode) {
        (self.outcome, self.code) = (Outcome::Failed(kind), status.as_u16());
        self.cancelled_by = match kind {
            ErrorKind::Timeout => "deadline",
            ErrorKind::ShuttingDown => "gateway",
            ErrorKind::Cancelled => "administrator",
            _ => "",
        };
    }

    /// Sees what is passed on; `last` if nothing follows it.
    pub fn see(&mut self, frame: &Poll<Option<Result<Frame<Bytes>, Broken>>>, last: bool) {
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes_out += frame.data_ref().map_or(0, Bytes::len);
                if last {
                    self.ended();
                }
            }
            Poll::Ready(Some(Err(broken))) => {
                (self.outcome, self.cancelled_by) = match broken {
                    Broken::Silent(_) => (Outcome::Failed(ErrorKind::Timeout), "deadline"),
                    _ => (Outcome::Failed(ErrorKind::ServerFailed), ""),
                };
            }
            Poll::Ready(None) => self.ended(),
            Poll::Pending => {}
        }
    }

    /// The whole answer has been passed on.
    pub fn ended(&mut self) {
        if matches!(self.outcome, Outcome::Failed(ErrorKind::Cancelled)) {
            self.outcome = if self.code == 0 { Outcome::Ok } else { Outcome::UpstreamError };
            self.cancelled_by = "";
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.log.is_on() {
            return;
        }
        let (now, trace) = (Instant::now(), self.exchange.trace());
        let upstream = self.answered.map(|at| self.exchange.until(at));
        let queue = if upstream.is_some() { Duration::ZERO } else { self.exchange.until(now) };
        self.log.record(&Entry {
            principal: self.principal.as_str(),
            client: ClientText::named(&self.client),
            server: &self.service,
            outcome: self.outcome.as_str(),
            code: self.code.into(),
            breaker: self.breaker,
            cancelled_by: self.cancelled_by,
            trace: &trace,
            queue,
            upstream,
            bytes_out: self.bytes_out,
            ..self.exchange.entry(now)
        });
    }
}
