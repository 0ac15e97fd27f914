//! How a request gets to its server: with a token where one is needed, and after it where the server has moved.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::base::ErrorKind;

use super::super::fault::{Delivery, Fault};
use super::authorize::{Pass, Refusal};
use super::link::HttpLink;

/// Redirects followed, on the server's own origin only.
const MAX_REDIRECTS: usize = 3;

/// Times that a request is sent again with another token: once for one that was refused, once for one with more scopes.
const MAX_TOKENS: usize = 2;

impl HttpLink {
    /// POSTs `message` with the headers of this link and `more`. Redirects are followed on the server's own origin,
    /// where its credentials may go; a session that it has forgotten is reported.
    pub(super) async fn deliver(
        &self,
        message: Bytes,
        more: &[(HeaderName, HeaderValue)],
    ) -> Result<http::Response<Incoming>, Fault> {
        let session = self.session();
        let mut target: Option<Uri> = None;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.authorized(|pass| {
                let mut request = self.base_request(Method::POST, Full::new(message.clone()), pass);
                if let Some(endpoint) = self.endpoint.load_full() {
                    *request.uri_mut() = Uri::clone(&endpoint);
                }
                for (name, value) in more {
                    request.headers_mut().insert(name.clone(), value.clone());
                }
                if let Some(target) = &target {
                    *request.uri_mut() = target.clone();
                }
                request
            });
            let response = response.await?;
            let status = response.status();
            if let Some(session) = session.as_deref()
                && status == StatusCode::NOT_FOUND
            {
                self.session_lost(session);
                let fault = self.fault(ErrorKind::Unavailable, "has forgotten our session");
                return Err(Fault { delivery: Delivery::NotDelivered, ..fault });
            }
            let moved = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            match moved.then(|| self.location(response.headers())).flatten() {
                Some(next) => target = Some(next),
                None => return Ok(response),
            }
        }
        Err(self.fault(ErrorKind::Unavailable, "redirects in a circle"))
    }

    /// Where a redirect leads, if that is on the same origin.
    fn location(&self, headers: &HeaderMap) -> Option<Uri> {
        let target: Uri = headers.get(LOCATION)?.to_str().ok()?.parse().ok()?;
        let url = &self.options.url;
        if target.authority().is_none() {
            let mut parts = url.clone().into_parts();
            parts.path_and_query = target.path_and_query().cloned();
            return Uri::from_parts(parts).ok();
        }
        (target.scheme() == url.scheme() && target.authority() == url.authority()).then_some(target)
    }

    /// Sends what `request` makes of a token, and once more with another token where the server refuses the one.
    pub(super) async fn authorized(
        &self,
        request: impl Fn(Option<&Pass>) -> Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Fault> {
        let mut tokens = 0;
        loop {
            let pass = match &self.options.authorize {
                Some(authorize) => authorize.pass().await?,
                None => None,
            };
            let sent = self.client.request(request(pass.as_ref()));
            let response = sent.await.map_err(|error| self.unreachable(&error))?;
            let status = response.status();
            let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let Some(authorize) = self.options.authorize.as_ref().filter(|_| refused && tokens < MAX_TOKENS)
            else {
                return Ok(response);
            };
            tokens += 1;
            let version = pass.map(|pass| pass.version);
            let headers = response.headers().clone();
            let another = authorize.refused(Refusal { version, status, headers }).await;
            match another {
                Ok(true) => {}
                Ok(false) => return Ok(response),
                Err(fault) => return Err(Fault { status: Some(status), ..fault }),
            }
        }
    }
}
