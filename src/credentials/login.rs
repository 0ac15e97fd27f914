//! A person's login: the authorization code grant with PKCE (OAuth 2.1, RFC 7636, RFC 9207).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Uri};

use crate::base::{form, random};
use crate::config::{Grant, OAuth, Server, Transport};
use crate::protocol::header;

use super::challenge::Challenge;
use super::client::Client;
use super::discovery::{Found, discover, wanted};
use super::metadata::endpoint;
use super::record::{Grounds, Record};
use super::token;
use super::trouble::{Trouble, quoted};
use super::web::{JSON, Way, Web};

/// Random bytes of a verifier and of a state: 256 bits, as RFC 7636 recommends.
const RANDOM: usize = 32;
/// The scope by which OpenID Connect gives out refresh tokens.
const OFFLINE_ACCESS: &str = "offline_access";

/// What a login is begun with.
pub struct LoginOptions<'a> {
    /// The server.
    pub server: &'a Server,
    /// The login before this one, if there is one.
    pub before: Option<Record>,
    /// Where the authorization server sends the person back to.
    pub redirect_uri: String,
}

/// A login that waits for its person.
pub struct Login {
    web: Web,
    server: Uri,
    found: Found,
    client: Client,
    scopes: Vec<String>,
    redirect_uri: String,
    verifier: String,
    state: String,
    url: String,
}

/// What somebody came back with.
#[derive(Debug, PartialEq, Eq)]
pub enum Callback {
    /// A code for this login.
    Code(String),
    /// Nothing of this login.
    Stranger,
    /// The authorization server's refusal, or an answer that must not be trusted: why.
    Refused(String),
}

impl Login {
    /// Finds the authorization server, is known to it, and prepares the page that the person goes to.
    ///
    /// # Errors
    /// If the server cannot be logged in to; a clause that follows its name.
    pub async fn begin(options: LoginOptions<'_>) -> Result<Login, Trouble> {
        let LoginOptions { server, before, redirect_uri } = options;
        let needed = |why: &str| Trouble::Needed(why.to_owned());
        let Transport::Http { url, .. } = &server.transport else {
            return Err(needed("is a program on this machine; its credentials stand in its entry (`env`)"));
        };
        let Some(settings) = &server.oauth else {
            return Err(needed("has a header `Authorization` in its entry, which says who the gateway is"));
        };
        if settings.grant == Grant::ClientCredentials {
            return Err(needed("shows credentials of its own (oauth.grant); nobody has to log in"));
        }
        let (web, url) = (Web::by(Arc::new(Way::of(server))), url.uri().clone());
        let challenge = probe(&web, server, &url).await?;
        let found = discover(&web, &url, &challenge, settings).await?;
        if !found.metadata.code_challenge_methods_supported.iter().any(|method| method == "S256") {
            let text = "cannot be logged in to: its authorization server does not support PKCE with S256";
            return Err(needed(text));
        }
        let named = found.metadata.authorization_endpoint.as_deref().unwrap_or_default();
        let page = endpoint(named, &url).map_err(|why| {
            Trouble::Needed(format!("cannot be logged in to: its authorization server {why}"))
        })?;
        let before = before.filter(|record| record.issuer == found.metadata.issuer);
        let scopes = scopes(settings, &challenge, &found, before.as_ref());
        let client = Client::for_login(&web, &url, settings, &found.metadata, &redirect_uri, &scopes).await?;
        let (verifier, state) = (random_text(), random_text());
        let mut query = vec![
            ("response_type", "code".to_owned()),
            ("client_id", client.id.clone()),
            ("redirect_uri", redirect_uri.clone()),
            ("code_challenge", challenge_of(&verifier)),
            ("code_challenge_method", "S256".to_owned()),
            ("state", state.clone()),
            ("resource", found.resource.clone()),
        ];
        if !scopes.is_empty() {
            query.push(("scope", scopes.join(" ")));
        }
        let joint = if page.query().is_some() { '&' } else { '?' };
        let page = format!("{page}{joint}{}", form::encode(&query));
        Ok(Login { web, server: url, found, client, scopes, redirect_uri, verifier, state, url: page })
    }

    /// The page that the person goes to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authorization server.
    pub fn issuer(&self) -> &str {
        &self.found.metadata.issuer
    }

    /// Judges what somebody came back with: the query of the redirect.
    pub fn judge(&self, query: &str) -> Callback {
        let supported = self.found.metadata.authorization_response_iss_parameter_supported;
        judge(query, &self.state, self.issuer(), supported)
    }

    /// Changes a code into a login.
    ///
    /// # Errors
    /// If the authorization server does not; a clause that follows the server's name.
    pub async fn finish(self, code: String) -> Result<Record, Trouble> {
        let form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
            ("redirect_uri", self.redirect_uri.clone()),
            ("code_verifier", self.verifier.clone()),
            ("resource", self.found.resource.clone()),
        ];
        let (endpoint, issuer) = (&self.found.token_endpoint, &self.found.metadata.issuer);
        let issued = token::request(&self.web, endpoint, issuer, &self.client, form).await?;
        let grounds = Grounds {
            server: &self.server,
            resource: &self.found.resource,
            issuer,
            token_endpoint: endpoint,
            client: &self.client,
            scopes: &self.scopes,
        };
        Ok(Record::new(&grounds, issued))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

/// Asks the server for anything, to hear how it wants to be asked.
async fn probe(web: &Web, server: &Server, url: &Uri) -> Result<Challenge, Trouble> {
    let Transport::Http { headers, .. } = &server.transport else { return Ok(Challenge::default()) };
    let mut sent: Vec<(HeaderName, HeaderValue)> = vec![
        (http::header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream")),
        (header::PROTOCOL_VERSION, HeaderValue::from_static("2025-11-25")),
    ];
    for (name, value) in headers {
        if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
            value.set_sensitive(true);
            sent.push((name.clone(), value));
        }
    }
    // Servers let some methods pass without a token; this one hardly ever.
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#.to_owned();
    let response = web.post_for_head(url, JSON, &sent, message).await.map_err(Trouble::Passing)?;
    Ok(Challenge::of(response.headers()))
}

/// What is asked for: what an ordinary login needs, what was granted before, and what was missing since.
fn scopes(settings: &OAuth, challenge: &Challenge, found: &Found, before: Option<&Record>) -> Vec<String> {
    let mut scopes = wanted(&settings.scopes, challenge, found);
    if let Some(before) = before {
        // Without a scope, the one who gives tokens out decides; that stays so, unless something was missing.
        if !scopes.is_empty() || !before.wanted.is_empty() {
            scopes.extend(before.scopes.iter().chain(&before.wanted).cloned());
        }
    }
    let offers = |scope: &str| found.metadata.scopes_supported.iter().any(|one| one == scope);
    if !scopes.is_empty() && offers(OFFLINE_ACCESS) {
        scopes.push(OFFLINE_ACCESS.to_owned());
    }
    let mut seen = std::collections::HashSet::new();
    scopes.retain(|scope| seen.insert(scope.clone()));
    scopes
}

/// RFC 9207, section 2.4, as the specification applies it: a wrong issuer makes everything else about the answer void.
fn judge(query: &str, state: &str, issuer: &str, issuer_comes: bool) -> Callback {
    if form::value(query, "state").as_deref() != Some(state) {
        return Callback::Stranger;
    }
    match form::value(query, "iss") {
        Some(named) if named != issuer => {
            return Callback::Refused(format!(
                "the answer comes from '{}' and not from '{}', where the login was begun",
                quoted(&named),
                quoted(issuer)
            ));
        }
        // One that comes twice, or cannot be read, has come all the same.
        None if issuer_comes || form::names(query, "iss") => {
            return Callback::Refused(format!(
                "the answer does not say, or not clearly, that it comes from '{}', where the login was begun",
                quoted(issuer)
            ));
        }
        _ => {}
    }
    if let Some(error) = form::value(query, "error") {
        let more = form::value(query, "error_description").unwrap_or_default();
        return Callback::Refused(format!(
            "the authorization server refuses: {} {}",
            quoted(&error),
            quoted(&more)
        ));
    }
    match form::value(query, "code").filter(|code| !code.is_empty()) {
        Some(code) => Callback::Code(code),
        None => Callback::Refused("the answer has no code".to_owned()),
    }
}

/// The challenge that belongs to a verifier (RFC 7636, section 4.2).
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

fn random_text() -> String {
    let mut bytes = [0; RANDOM];
    random::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_that_of_the_standards_own_example() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge_of(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn an_answer_is_taken_from_the_issuer_that_was_asked_and_from_nobody_else() {
        let issuer = "https://a.example";
        let iss = |value: &str| format!("&iss={}", form::escape(value));
        let refused = |callback| matches!(callback, Callback::Refused(_));
        let code = Callback::Code("c".to_owned());
        for advertised in [true, false] {
            let ask = |query: &str| judge(&format!("code=c&state=s{query}"), "s", issuer, advertised);
            assert_eq!(ask(&iss(issuer)), code);
            assert!(refused(ask(&iss("https://evil.example"))));
            // Letters are compared, not meanings.
            assert!(refused(ask(&iss("https://a.example/"))));
            assert!(refused(ask(&iss("https://A.example"))));
            assert_eq!(refused(ask("")), advertised);
            // One that comes twice, or cannot be read, is not one that did not come.
            assert!(refused(ask(&format!("{}{}", iss("https://evil.example"), iss(issuer)))));
            assert!(refused(ask("&iss=%zz")));
        }
        let Callback::Refused(why) = judge(
            &format!("error=access_denied&error_description=call+me&state=s{}", iss("https://evil.example")),
            "s",
            issuer,
            false,
        ) else {
            panic!("taken")
        };
        assert!(!why.contains("call me") && !why.contains("access_denied"), "{why}");
    }

    #[test]
    fn what_does_not_bring_the_state_is_no_part_of_the_login() {
        for query in ["", "code=c", "code=c&state=t", "code=c&state=s&state=s", "error=x&state="] {
            assert_eq!(judge(query, "s", "https://a.example", false), Callback::Stranger, "{query}");
        }
        assert!(matches!(judge("state=s", "s", "i", false), Callback::Refused(_)));
        let Callback::Refused(why) = judge("state=s&error=access_denied", "s", "i", false) else {
            panic!("taken")
        };
        assert!(why.contains("access_denied"));
    }
}
