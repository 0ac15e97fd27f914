//! How a request comes in: its place among those that are worked on, and where its tool is counted.

use std::sync::Arc;

use tokio::time::Instant;

use crate::base::{Error, ErrorKind};
use crate::protocol::method;
use crate::telemetry::ToolSeries;

use super::dispatch::Router;
use super::limit::InFlight;
use super::request::Request;
use super::resolve::Target;

impl Router {
    /// Lets a request in, unless as many are in flight as may.
    pub(super) fn enter(&self, request: &Request, received: Instant) -> Result<InFlight, Error> {
        self.0.gate.enter(|| request.visit(received)).ok_or_else(|| {
            let text = format!(
                "the gateway has {} requests in flight, as many as it may (max_in_flight); try again later",
                self.0.gate.cap()
            );
            Error::new(ErrorKind::Overloaded, text).with_data(RETRY_SOON.to_owned())
        })
    }

    /// Where a call of a tool is counted.
    pub(super) fn tool_series(&self, request: &Request, target: &Target) -> Option<Arc<ToolSeries>> {
        let tool = target.name.as_deref().filter(|_| request.message.method() == method::TOOLS_CALL)?;
        let server = target.server.name();
        let listed =
            || self.0.catalog.current().servers.get(server).is_some_and(|view| view.tool(tool).is_some());
        self.0.tools.of(server.as_str(), tool, listed)
    }
}

/// `error.data` of a refusal for want of a place: places become free all the time.
const RETRY_SOON: &str = r#"{"retry_after":1}"#;
