//! The body of a POST: what it says it is, and all of it within its cap and its time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;

use crate::base::{Error, ErrorKind};

use super::body::RequestBody;

/// Whether the body says that it is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// How long a body may take to arrive: as long as a head.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

fn too_slow() -> Error {
    Error::new(ErrorKind::InvalidRequest, format!("the body did not arrive within {BODY_TIMEOUT:?}"))
}

/// Reads a body, within its cap and its time.
pub async fn read<B: RequestBody>(body: B, cap: usize) -> Result<Bytes, Error> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body, cap)).await.unwrap_or_else(|_| Err(too_slow()))
}

/// The body, without a copy if it comes in one piece.
async fn collect<B: RequestBody>(mut body: B, cap: usize) -> Result<Bytes, Error> {
    let too_large =
        || Error::new(ErrorKind::TooLarge, format!("the body is larger than {cap} bytes (gateway.max_body)"));
    if body.size_hint().lower() > cap as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Error::new(ErrorKind::InvalidRequest, format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
        if first.len().max(rest.len()) > cap {
            return Err(too_large());
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
