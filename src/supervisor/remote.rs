//! Which of the two HTTP transports a server behind a URL has, and what its link lives from.

use std::sync::Arc;

use http::StatusCode;
use tracing::info;

use crate::base::ErrorKind;
use crate::config::{HttpTransport, Protocol};
use crate::upstream::http::{HttpLink, OldestStream};
use crate::upstream::{Fault, Link};

use super::generation::{Context, Ended, serve};

/// Speaks to a URL in the transport that it has. One that refuses `initialize` at its URL may be of the oldest transport
/// (2025-11-25, `basic/transports`, "Backwards Compatibility").
pub(super) async fn speak(context: &Context, link: &Arc<HttpLink>) -> Ended {
    let transport = context.shared.config.http;
    let mut hint = None;
    if transport == HttpTransport::Sse {
        return match open_oldest(context, link).await {
            Ok(stream) => Box::pin(speak_oldest(context, link, stream)).await,
            Err(fault) => Ended::because(format!("did not come up: {}", fault.error.message)),
        };
    }
    let ended = Box::pin(serve(context, Link::Http(Arc::clone(link)), &mut hint)).await;
    let refused = ended.refused.is_some_and(|status| OLDEST_ANSWERS.contains(&status));
    if transport == HttpTransport::Auto && refused && context.shared.config.protocol != Protocol::Modern {
        // What the URL itself said is the better explanation when there is no such stream either.
        if let Ok(stream) = open_oldest(context, link).await {
            return Box::pin(speak_oldest(context, link, stream)).await;
        }
    }
    ended
}

/// How a server of the oldest transport answers a POST to the URL of its stream.
const OLDEST_ANSWERS: [StatusCode; 3] =
    [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];

async fn open_oldest(context: &Context, link: &Arc<HttpLink>) -> Result<OldestStream, Fault> {
    link.set_session(None);
    link.set_version(None);
    let limit = context.shared.config.start_timeout;
    tokio::time::timeout(limit, link.open_oldest()).await.unwrap_or_else(|_| {
        let text = format!("named no endpoint on its event stream within {limit:?} (start_timeout)");
        Err(Fault::not_delivered(ErrorKind::Timeout, text))
    })
}

/// Its stream is its session: when it ends, the server is well, and another is opened.
async fn speak_oldest(context: &Context, link: &Arc<HttpLink>, stream: OldestStream) -> Ended {
    let mut hint = None;
    info!(server = %context.shared.config.name, "speaks the transport of 2024-11-05 (HTTP with SSE)");
    tokio::select! {
        ended = serve(context, Link::Http(Arc::clone(link)), &mut hint) => ended,
        reason = stream.follow() => Ended { lapsed: true, ..Ended::because(reason) },
    }
}
