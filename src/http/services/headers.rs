//! What of a head goes on to the other side. Pure.

use http::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, LOCATION, ORIGIN,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};

use crate::protocol::header::SESSION_ID;

/// What belongs to one hop, beside what `Connection` names (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What a client says to us alone: its credentials here; `Expect`, which has been met; `Host`, which is ours; where it
/// was before. Cookies of a browser belong to all programs of this machine, whatever their port.
const FOR_US: [HeaderName; 11] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    EXPECT,
    HOST,
    ORIGIN,
    REFERER,
    SESSION_ID,
    FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-api-key"),
];

/// Who sent a request on is known from the connection, not from what anybody may write.
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// What a service says about its own host, which is not ours: cookies, where else it is, and that only TLS will do.
const OF_ITS_HOST: [HeaderName; 4] = [SET_COOKIE, ALT_SVC, STRICT_TRANSPORT_SECURITY, PROXY_AUTHENTICATE];

/// Which pages may read an answer is for our own rules to say.
const CORS_PREFIX: &str = "access-control-";

/// Removes what belongs to one hop.
fn strip_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn strip(headers: &mut HeaderMap, names: &[HeaderName], prefix: &str) {
    for name in names {
        headers.remove(name);
    }
    let prefixed: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(prefix)).cloned().collect();
    for name in prefixed {
        headers.remove(name);
    }
}

/// Makes the headers of a client those of the request that goes on.
pub(super) fn to_service(headers: &mut HeaderMap, version: Version, pseudonym: &str) {
    strip_hop(headers);
    strip(headers, &FOR_US, FORWARDED_PREFIX);
    let version = if version == Version::HTTP_2 { "2" } else { "1.1" };
    if let Ok(via) = HeaderValue::try_from(format!("{version} {pseudonym}")) {
        headers.append(VIA, via);
    }
}

/// Makes the headers of a service's answer ours. A redirect to another place of the service leads to the same place
/// here; any other is the client's to follow or not.
pub(super) fn to_client(headers: &mut HeaderMap, base: &Uri, prefix: &str) {
    strip_hop(headers);
    strip(headers, &OF_ITS_HOST, CORS_PREFIX);
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
    if let Some(here) = location.and_then(|location| moved(&location, base, prefix))
        && let Ok(value) = HeaderValue::try_from(here)
    {
        headers.insert(LOCATION, value);
    }
}

/// The path here of a place at the service.
fn moved(location: &Uri, base: &Uri, prefix: &str) -> Option<String> {
    let same = match location.authority() {
        Some(_) => location.scheme() == base.scheme() && location.authority() == base.authority(),
        None => true,
    };
    let below = location.path().strip_prefix(base.path().trim_end_matches('/'))?;
    if !same || !(below.is_empty() || below.starts_with('/')) {
        return None;
    }
    let query = location.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{prefix}{below}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn what_belongs_to_one_hop_or_to_us_does_not_go_on() {
        let mut headers = map(&[
            ("connection", "close, X-Own"),
            ("connection", "x-other"),
            ("x-own", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("authorization", "Bearer ours"),
            ("proxy-authorization", "Basic ours"),
            ("x-api-key", "ours"),
            ("cookie", "a=b"),
            ("mcp-session-id", "ours"),
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=203.0.113.1"),
            ("host", "127.0.0.1:6270"),
            ("origin", "http://localhost"),
            ("expect", "100-continue"),
            ("accept", "application/x-ndjson"),
            ("x-anything", "stays"),
            ("via", "1.0 before"),
        ]);
        to_service(&mut headers, Version::HTTP_11, "trunkline-1");
        let mut left: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        let expected = [
            ("accept", "application/x-ndjson"),
            ("via", "1.0 before"),
            ("via", "1.1 trunkline-1"),
            ("x-anything", "stays"),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn an_answer_says_nothing_about_our_host() {
        let mut headers = map(&[
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("set-cookie", "a=b"),
            ("alt-svc", "h3=\":443\""),
            ("strict-transport-security", "max-age=1"),
            ("access-control-allow-origin", "*"),
            ("content-type", "application/json"),
        ]);
        to_client(&mut headers, &"http://a/".parse().unwrap(), "/services/s");
        assert_eq!(headers.len(), 1, "{headers:?}");
    }

    #[test]
    fn a_redirect_within_the_service_leads_back_through_us_and_no_other_is_changed() {
        let base = "http://a:1/v1".parse().unwrap();
        for (location, expected) in [
            ("http://a:1/v1/x?q=1", "/services/s/x?q=1"),
            ("/v1/x", "/services/s/x"),
            ("/v1", "/services/s"),
            ("/v10/x", "/v10/x"),
            ("http://a:2/v1/x", "http://a:2/v1/x"),
            ("https://a:1/v1/x", "https://a:1/v1/x"),
            ("http://evil.example/v1/x", "http://evil.example/v1/x"),
            ("x/y", "x/y"),
        ] {
            let mut headers = map(&[("location", location)]);
            to_client(&mut headers, &base, "/services/s");
            assert_eq!(headers["location"], expected, "{location}");
        }
    }
}
