//! Who may talk to us from a browser, and under which name: `Origin`, `Host` and CORS.
//!
//! A web page that rebinds its own name to a loopback address reaches any local port; `Host` and `Origin` give it
//! away (MCP, `basic/transports`, "Security"; Fetch, "CORS protocol").

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};

use super::body::FrontBody;
use super::reply::{FrontResponse, status};

/// Headers that a page may send: those of MCP, a credential, and what resumes a stream.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, accept, authorization, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id, \
     traceparent, tracestate, baggage, x-enhance, x-client-name, x-privacy-level",
);
/// Headers that a page may read.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("mcp-session-id, www-authenticate, retry-after");
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// Seconds for which a browser may remember a preflight: Chromium caps it at two hours.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The rules.
#[derive(Debug)]
pub struct OriginRules {
    allowed: Arc<ArcSwap<Allowed>>,
    /// Whether the listener is on a loopback address, where a foreign `Host` can only be a trick.
    loopback: bool,
}

/// What the configuration adds; a reload changes it.
#[derive(Debug)]
struct Allowed {
    origins: Vec<String>,
    hosts: Vec<String>,
}

impl OriginRules {
    /// Rules for a listener at `listen`, with what the configuration adds.
    pub fn new(listen: SocketAddr, origins: Vec<String>, hosts: Vec<String>) -> OriginRules {
        let allowed = Arc::new(ArcSwap::from_pointee(Allowed { origins, hosts }));
        OriginRules { allowed, loopback: listen.ip().is_loopback() }
    }

    /// The same rules for a listener at another address; what one takes, the other takes too.
    pub fn at(&self, listen: SocketAddr) -> OriginRules {
        OriginRules { allowed: Arc::clone(&self.allowed), loopback: listen.ip().is_loopback() }
    }

    /// Whether the configuration names this origin.
    pub fn names(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        self.allowed.load().origins.contains(&origin)
    }

    /// Takes another configuration, from the next request on.
    pub fn replace(&self, origins: Vec<String>, hosts: Vec<String>) {
        self.allowed.store(Arc::new(Allowed { origins, hosts }));
    }

    /// Checks a request; the refusal if it must not go on.
    pub fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), StatusCode> {
        // Of two, everybody on the way could go by another (RFC 9112 §3.2).
        if headers.get_all(HOST).iter().nth(1).is_some() {
            return Err(StatusCode::BAD_REQUEST);
        }
        if self.loopback && !self.host_allowed(headers, uri) {
            return Err(StatusCode::FORBIDDEN);
        }
        match headers.get_all(ORIGIN).iter().all(|origin| self.origin_allowed(origin)) {
            true => Ok(()),
            false => Err(StatusCode::FORBIDDEN),
        }
    }

    /// The answer to a preflight, if `request` is one.
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<FrontResponse> {
        if request.method() != Method::OPTIONS || !request.headers().contains_key(ORIGIN) {
            return None;
        }
        let mut response = status(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(request.headers()));
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
        Some(response)
    }

    /// Lets the page read the answer. `origin` has been checked.
    pub fn allow(&self, response: &mut FrontResponse, origin: Option<HeaderValue>) {
        let Some(origin) = origin else { return };
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        headers.append(VARY, HeaderValue::from_static("origin"));
    }

    fn origin_allowed(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        if self.allowed.load().origins.contains(&origin) {
            return true;
        }
        // A page from this machine: a developer's own, on whatever port.
        let local = origin.parse::<Uri>().ok().and_then(|uri| uri.host().map(is_loopback)).unwrap_or(false);
        self.loopback && local
    }

    fn host_allowed(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let header = headers.get(HOST).map(|host| host.to_str().unwrap_or_default());
        // HTTP/2 names the host in the URI. Where both do, neither may be a foreign one.
        let mut named = header.into_iter().chain(uri.authority().map(Authority::as_str)).peekable();
        named.peek().is_some() && named.all(|host| self.is_ours(host))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        let is = |allowed: &String| allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(name);
        is_loopback(name) || self.allowed.load().hosts.iter().any(is)
    }
}

/// Beside the fixed ones a page may send `Mcp-Param-*`, whose names only the tools know.
fn allowed_headers(request: &HeaderMap) -> HeaderValue {
    let asked =
        request.get("access-control-request-headers").and_then(|asked| asked.to_str().ok()).unwrap_or("");
    let params: Vec<&str> = asked
        .split(',')
        .map(str::trim)
        .filter(|name| name.to_ascii_lowercase().starts_with(PARAM_PREFIX))
        .collect();
    if params.is_empty() {
        return ALLOWED_HEADERS;
    }
    let all = format!("{}, {}", ALLOWED_HEADERS.to_str().unwrap_or(""), params.join(", "));
    HeaderValue::from_str(&all).unwrap_or(ALLOWED_HEADERS)
}

use crate::protocol::header::PARAM_PREFIX;

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What a refused page is told.
pub fn refused(why: StatusCode) -> FrontResponse {
    let mut response = status(why);
    *response.body_mut() = FrontBody::whole(
        "This host or origin may not use the gateway; see gateway.allowed_hosts and gateway.allowed_origins.\n",
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(listen: &str) -> OriginRules {
        OriginRules::new(
            listen.parse().unwrap(),
            vec!["https://app.example.com".to_owned()],
            vec!["gw.local".to_owned()],
        )
    }

    fn check(rules: &OriginRules, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        rules.check(&headers, &Uri::from_static("/mcp")).is_ok()
    }

    #[test]
    fn on_loopback_only_local_names_and_origins_pass() {
        let rules = rules("127.0.0.1:6270");
        for host in
            ["localhost", "localhost:6270", "127.0.0.1:1", "[::1]:6270", "[::1]", "gw.local", "GW.local:80"]
        {
            assert!(check(&rules, host, None), "{host}");
        }
        for host in [
            "evil.example.com",
            "evil.example.com:6270",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "::evil",
        ] {
            assert!(!check(&rules, host, None), "{host}");
        }
        for origin in
            ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:1", "https://app.example.com"]
        {
            assert!(check(&rules, "localhost", Some(origin)), "{origin}");
        }
        for origin in ["null", "https://evil.example.com", "http://localhost.evil.com", "file://"] {
            assert!(!check(&rules, "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn of_several_hosts_or_origins_none_is_chosen() {
        let uri = |text: &'static str| Uri::from_static(text);
        let of = |listen: &str, fields: &[(http::HeaderName, &'static str)], uri: &Uri| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_static(value));
            }
            rules(listen).check(&headers, uri)
        };
        let (here, evil) = ((HOST, "localhost"), (HOST, "evil.example.com"));
        for listen in ["127.0.0.1:1", "0.0.0.0:1"] {
            for two in [[here.clone(), evil.clone()], [here.clone(), here.clone()]] {
                assert_eq!(of(listen, &two, &uri("/mcp")), Err(StatusCode::BAD_REQUEST));
            }
            let (good, bad) = ((ORIGIN, "https://app.example.com"), (ORIGIN, "https://evil.example.com"));
            let origins = [here.clone(), good, bad];
            assert_eq!(of(listen, &origins, &uri("/mcp")), Err(StatusCode::FORBIDDEN));
        }
        // A request to a proxy names the host in its target, which goes before the header.
        let named = [here];
        assert_eq!(of("127.0.0.1:1", &named, &uri("http://localhost/mcp")), Ok(()));
        assert_eq!(
            of("127.0.0.1:1", &named, &uri("http://evil.example.com/mcp")),
            Err(StatusCode::FORBIDDEN)
        );
        assert_eq!(of("127.0.0.1:1", &[], &uri("http://localhost/mcp")), Ok(()), "HTTP/2");
        assert_eq!(of("127.0.0.1:1", &[], &uri("/mcp")), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn on_a_public_address_any_host_passes_but_only_listed_origins() {
        let rules = rules("0.0.0.0:6270");
        assert!(check(&rules, "anything.example.com", None));
        assert!(check(&rules, "anything.example.com", Some("https://app.example.com")));
        assert!(!check(&rules, "anything.example.com", Some("http://localhost:3000")));
    }

    #[test]
    fn a_preflight_names_methods_headers_and_the_mirrored_params_that_were_asked_for() {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .header(ORIGIN, "http://localhost")
            .header("access-control-request-headers", "Mcp-Param-Region, X-Other")
            .body(())
            .unwrap();
        let response = rules("127.0.0.1:1").preflight(&request).unwrap();
        let allowed = response.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().to_owned();
        assert!(allowed.contains("Mcp-Param-Region") && !allowed.contains("X-Other"), "{allowed}");
    }
}
