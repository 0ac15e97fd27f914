//! One request to a service, until the head of its answer is here.

use std::error::Error as StdError;

use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::debug;

use crate::base::{Error, ErrorKind};
use crate::telemetry::{EndpointKind, MethodLabel, Outcome};
use crate::upstream::http::NoPlace;

use super::super::hint::retry_after;
use super::body::{Answer, Progress, ServiceBody, noted};
use super::handle::ServiceHandle;
use super::target::join;

/// What is told as the wait when all connections are in use: most requests take less.
const CONNECTION_RETRY: u64 = 1;

impl ServiceHandle {
    /// Sends a request to a path below the service's URL, and returns the head of the answer, whatever its status; the
    /// body follows. The request's own URI is not looked at; configured headers replace those of the same name.
    pub async fn send(
        &self,
        path: &str,
        query: Option<&str>,
        request: Request<ServiceBody>,
    ) -> Result<Response<Answer>, Error> {
        let since = Instant::now();
        let sent = match join(self.config().url.uri(), path, query) {
            Ok(target) => self.attempt(target, request).await,
            Err(leaves) => Err(Error::new(ErrorKind::InvalidRequest, leaves.to_string())),
        };
        let outcome = match &sent {
            Ok(response) if response.status().is_client_error() || response.status().is_server_error() => {
                Outcome::UpstreamError
            }
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Failed(error.kind),
        };
        let took = since.elapsed();
        self.0.metrics.record(EndpointKind::Service, MethodLabel::HTTP, outcome, took, Some(took));
        sent
    }

    async fn attempt(&self, target: Uri, request: Request<ServiceBody>) -> Result<Response<Answer>, Error> {
        let (mut head, body) = request.into_parts();
        head.uri = target;
        // What the connection speaks is for the client to choose.
        head.version = Version::HTTP_11;
        let mut pass = self.admit().await?;
        let Some(ready) = self.0.ready.load_full() else {
            pass.fail();
            let reason = self.0.status.borrow().last_error.clone();
            return Err(self.unavailable(&reason.unwrap_or_else(|| "is not ready yet".to_owned())));
        };
        for (name, value) in &ready.headers {
            head.headers.insert(name.clone(), value.clone());
        }
        let progress = Progress::new();
        let body = noted(body, &progress);
        let sending = ready.client.request(Request::from_parts(head, body));
        tokio::pin!(sending);
        let timeout = self.config().request_timeout;
        let sent = loop {
            match tokio::time::timeout_at(progress.last() + timeout, &mut sending).await {
                Ok(sent) => break sent,
                // As long as the request itself moves, its answer is not overdue.
                Err(_) if progress.last() + timeout > Instant::now() => {}
                Err(_) => {
                    pass.fail();
                    let text = format!(
                        "service '{}' did not answer within {timeout:?} (request_timeout)",
                        self.name()
                    );
                    return Err(Error::new(ErrorKind::Timeout, text));
                }
            }
        };
        match sent {
            Ok(response) => Ok(self.answered(response, pass)),
            Err(error) => Err(self.failed(&error, &mut pass)),
        }
    }

    fn answered(&self, response: Response<Incoming>, mut pass: super::handle::Pass) -> Response<Answer> {
        if response.status().is_server_error() && response.status() != StatusCode::NOT_IMPLEMENTED {
            pass.fail();
        } else {
            pass.succeed();
        }
        response.map(|body| Answer::new(body, self.config().idle_timeout, pass))
    }

    fn failed(&self, error: &hyper_util::client::legacy::Error, pass: &mut super::handle::Pass) -> Error {
        let (cause, no_place) = root_cause(error);
        debug!(service = %self.name(), %error, cause, "a request failed");
        if no_place {
            // A full house says nothing about the service.
            let text = format!("service '{}' cannot be asked now: {cause}", self.name());
            return Error::new(ErrorKind::Overloaded, text).with_data(retry_after(CONNECTION_RETRY));
        }
        // A client whose own body breaks off says nothing about the service either.
        let own = error.source().and_then(|error| error.downcast_ref::<hyper::Error>());
        if own.is_some_and(hyper::Error::is_user) {
            let text = format!("the request to service '{}' broke off: {cause}", self.name());
            return Error::new(ErrorKind::InvalidRequest, text);
        }
        pass.fail();
        if error.is_connect() {
            return self.unavailable(&format!("cannot be reached: {cause}"));
        }
        let text = format!("service '{}' broke the connection: {cause}", self.name());
        Error::new(ErrorKind::ServerFailed, text)
    }
}

/// The innermost reason, which is the one that helps, and whether it was the want of a place.
fn root_cause(error: &(dyn StdError + 'static)) -> (String, bool) {
    let mut cause = error;
    let mut no_place = false;
    loop {
        no_place |= cause.is::<NoPlace>();
        match cause.source() {
            Some(inner) => cause = inner,
            None => return (cause.to_string(), no_place),
        }
    }
}
