//! One export: a POST to the collector, and what its answer means (specification of OTLP, "OTLP/HTTP Response").

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::config;
use crate::upstream::http::{ClientError, ClientOptions, HttpClient};

use super::otlp;

/// The largest answer that is read (specification of OTLP, "OTLP/HTTP Response").
const MAX_ANSWER: usize = 4 << 20;
/// The most of a collector's words that is passed on to the log.
const MAX_WORDS: usize = 200;

/// What the collector says to an export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it, or a part of it.
    Taken(Option<Partly>),
    /// It does not want it, now or ever.
    Refused(String),
    /// It may want it later.
    Later {
        why: String,
        /// The wait that it asks for.
        after: Option<Duration>,
    },
}

/// What a collector says that has taken a batch, and has something to say about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Partly {
    pub rejected: u64,
    pub why: String,
}

/// The way to a collector.
pub(super) struct Collector {
    client: HttpClient,
    endpoint: Uri,
    origin: String,
    headers: HeaderMap,
    timeout: Duration,
}

impl Collector {
    /// The way to the configured collector; nothing is sent yet.
    pub fn new(options: &config::Traces) -> Result<Collector, ClientError> {
        let endpoint = options.endpoint.clone();
        let client = HttpClient::new(&ClientOptions {
            https: endpoint.scheme_str() == Some("https"),
            connect_timeout: options.timeout,
            ca_file: options.ca_file.clone(),
            ..ClientOptions::default()
        })?;
        let authority = endpoint.authority().map_or("", |authority| authority.as_str());
        let origin = format!("{}://{authority}", endpoint.scheme_str().unwrap_or("http"));
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
                value.set_sensitive(true);
                headers.insert(name.clone(), value);
            }
        }
        if let Ok(host) = HeaderValue::from_str(authority) {
            headers.insert(HOST, host);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("trunkline/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        Ok(Collector { client, endpoint, origin, headers, timeout: options.timeout })
    }

    /// Scheme and host: all of its address that is told.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Sends one export.
    pub async fn post(&self, body: Bytes) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        let answer = async {
            match self.client.request(request).await {
                Ok(response) => read(response).await,
                Err(error) => later(format!("it cannot be reached: {}", root_cause(&error))),
            }
        };
        let late = |_| later(format!("it does not answer within {:?} (traces.timeout)", self.timeout));
        timeout(self.timeout, answer).await.unwrap_or_else(late)
    }
}

async fn read(response: Response<Incoming>) -> Answer {
    let status = response.status();
    if !status.is_success() {
        return judge(status, response.headers(), SystemTime::now());
    }
    match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
        Ok(body) => Answer::Taken(
            otlp::partly(body.to_bytes()).map(|(rejected, why)| Partly { rejected, why: printable(&why) }),
        ),
        Err(error) => match error.downcast_ref::<http_body_util::LengthLimitError>() {
            // The specification: not to be tried again.
            Some(_) => Answer::Refused("its answer is larger than an answer may be".to_owned()),
            None => later(format!("its answer breaks off: {}", root_cause(&*error))),
        },
    }
}

/// What a status other than success means.
fn judge(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Answer {
    let cure = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = headers.get(RETRY_AFTER).and_then(|value| wait(value.to_str().ok()?, now));
            return Answer::Later { why: format!("it answers {status}"), after };
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; see traces.headers",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "; see the path of traces.endpoint",
        status if status.is_redirection() => "; name the place itself as traces.endpoint",
        _ => "",
    };
    Answer::Refused(format!("it answers {status}{cure}"))
}

/// The wait that `Retry-After` asks for: seconds, or a date (RFC 9110 §10.2.3).
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).unwrap_or_default()),
    }
}

fn later(why: String) -> Answer {
    Answer::Later { why, after: None }
}

/// Somebody else's words on one line of the log.
fn printable(words: &str) -> String {
    let words = &words[..words.floor_char_boundary(MAX_WORDS)];
    words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// The innermost reason, which is the one that helps.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_try_again_and_when() {
        let judged = |status: u16, retry: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(retry) = retry {
                headers.insert(RETRY_AFTER, retry.parse().unwrap());
            }
            let now = httpdate::parse_http_date("Tue, 28 Jul 2026 09:30:00 GMT").unwrap();
            judge(StatusCode::from_u16(status).unwrap(), &headers, now)
        };
        for status in [429, 502, 503, 504] {
            for (retry, expected) in [
                (None, None),
                (Some("7"), Some(7)),
                (Some("Tue, 28 Jul 2026 09:30:12 GMT"), Some(12)),
                (Some("Tue, 28 Jul 2026 09:00:00 GMT"), Some(0)),
                (Some("soon"), None),
            ] {
                let Answer::Later { after, .. } = judged(status, retry) else { panic!("{status}") };
                assert_eq!(after, expected.map(Duration::from_secs), "{status} {retry:?}");
            }
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert!(matches!(judged(status, Some("7")), Answer::Refused(_)), "{status}");
        }
    }

    #[test]
    fn a_collectors_words_are_one_short_line() {
        assert_eq!(printable("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(printable(&"ü".repeat(500)).len(), MAX_WORDS);
    }
}
