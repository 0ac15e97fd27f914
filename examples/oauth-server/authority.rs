//! The authorization server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Answer, Asked, form, status, whole};

/// The client that was agreed on beforehand, and its secret.
const AGREED: (&str, &str) = ("gateway", "s3cret: +/&");

pub(crate) struct Authority {
    pub(crate) base: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How it behaves.
    how: Value,
    minted: u64,
    clients: HashMap<String, Option<String>>,
    codes: HashMap<String, Code>,
    tokens: HashMap<String, Token>,
    refresh: HashMap<String, Grant>,
    counts: HashMap<String, u64>,
    /// What the last login page was asked for.
    authorize: Value,
}

struct Code {
    challenge: String,
    redirect_uri: String,
    grant: Grant,
}

#[derive(Clone)]
struct Grant {
    client: String,
    scope: String,
    resource: String,
}

struct Token {
    grant: Grant,
    until: Instant,
}

impl Authority {
    pub(crate) fn new(base: String) -> Authority {
        let clients = HashMap::from([(AGREED.0.to_owned(), Some(AGREED.1.to_owned()))]);
        let state = Mutex::new(State { how: json!({}), clients, ..State::default() });
        Authority { base, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: &str) {
        *self.state().counts.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn how(&self, what: &str) -> Value {
        self.state().how[what].clone()
    }

    pub(crate) fn seen(&self) -> Value {
        let state = self.state();
        json!({ "counts": state.counts, "authorize": state.authorize })
    }

    pub(crate) fn control(&self, how: &Value) {
        let mut state = self.state();
        for (key, value) in how.as_object().into_iter().flatten() {
            match key.as_str() {
                "forget_tokens" => state.tokens.clear(),
                "forget_refresh" => state.refresh.clear(),
                _ => state.how[key] = value.clone(),
            }
        }
    }

    /// What a token is good for, if it is good.
    pub(crate) fn scope_of(&self, token: &str) -> Option<String> {
        let state = self.state();
        let token = state.tokens.get(token).filter(|token| Instant::now() < token.until)?;
        (token.grant.resource == format!("{}/mcp", self.base)).then(|| token.grant.scope.clone())
    }

    pub(crate) async fn answer(&self, asked: &Asked) -> Answer {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/.well-known/oauth-protected-resource/mcp") => self.resource_metadata(),
            ("GET", "/.well-known/oauth-authorization-server/as") => self.metadata(),
            ("POST", "/as/register") => self.register(&asked.body),
            ("GET", "/as/authorize") => self.authorize(&asked.query),
            ("POST", "/as/token") => {
                let delay = self.how("token_delay_ms").as_u64().unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(delay)).await;
                self.token(asked)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    fn resource_metadata(&self) -> Answer {
        let issuer = self.how("issuer").as_str().map_or(format!("{}/as", self.base), str::to_owned);
        let resource = self.how("resource").as_str().map_or(format!("{}/mcp", self.base), str::to_owned);
        whole(StatusCode::OK, &json!({ "resource": resource, "authorization_servers": [issuer] }))
    }

    fn metadata(&self) -> Answer {
        let issuer = self.how("metadata_issuer").as_str().map_or(format!("{}/as", self.base), str::to_owned);
        let base = format!("{}/as", self.base);
        let body = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "registration_endpoint": format!("{base}/register"),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": true,
        });
        whole(StatusCode::OK, &body)
    }

    fn register(&self, body: &str) -> Answer {
        let wish: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let local = wish["redirect_uris"][0].as_str().is_some_and(|uri| uri.starts_with("http://127.0.0.1:"));
        if !local || wish["application_type"] != "native" {
            return whole(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_redirect_uri" }));
        }
        let (id, secret) = (self.mint("client"), self.mint("secret"));
        self.state().clients.insert(id.clone(), Some(secret.clone()));
        self.count("registered");
        let body =
            json!({ "client_id": id, "client_secret": secret, "redirect_uris": wish["redirect_uris"] });
        whole(StatusCode::CREATED, &body)
    }

    /// The login page: everybody is let in.
    fn authorize(&self, query: &str) -> Answer {
        let query = form::read(query);
        let of = |name: &str| query.get(name).cloned().unwrap_or_default();
        let known = self.state().clients.contains_key(&of("client_id"));
        if !known || of("code_challenge_method") != "S256" || of("response_type") != "code" {
            return status(StatusCode::BAD_REQUEST);
        }
        let code = self.mint("code");
        let grant = Grant { client: of("client_id"), scope: of("scope"), resource: of("resource") };
        let redirect_uri = of("redirect_uri");
        let challenge = of("code_challenge");
        self.state().codes.insert(code.clone(), Code { challenge, redirect_uri, grant });
        self.state().authorize = json!(query);
        self.count("logins");
        let issuer = self.how("iss").as_str().map_or(format!("{}/as", self.base), str::to_owned);
        let target = format!("{}?code={code}&state={}&iss={issuer}", of("redirect_uri"), of("state"));
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::FOUND;
        if let Ok(value) = header::HeaderValue::from_str(&target) {
            response.headers_mut().insert(header::LOCATION, value);
        }
        response
    }

    fn token(&self, asked: &Asked) -> Answer {
        let sent = form::read(&asked.body);
        let of = |name: &str| sent.get(name).cloned().unwrap_or_default();
        let refused = |error: &str| whole(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        let kind = of("grant_type");
        self.count(&kind);
        if self.how("down") == true {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let Some(client) = self.client_of(asked) else { return refused("invalid_client") };
        if of("resource") != format!("{}/mcp", self.base) {
            return refused("invalid_target");
        }
        let grant = match kind.as_str() {
            "client_credentials" => Grant { client, scope: of("scope"), resource: of("resource") },
            "authorization_code" => {
                let Some(code) = self.state().codes.remove(&of("code")) else {
                    return refused("invalid_grant");
                };
                let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, of("code_verifier").as_bytes()));
                let whose = (code.grant.client.clone(), code.redirect_uri, code.challenge);
                if whose != (client, of("redirect_uri"), challenge) {
                    return refused("invalid_grant");
                }
                code.grant
            }
            // Good once: who comes with it again has lost a race, or has stolen it.
            "refresh_token" => match self.state().refresh.remove(&of("refresh_token")) {
                Some(grant) if grant.client == client => grant,
                _ => return refused("invalid_grant"),
            },
            _ => return refused("unsupported_grant_type"),
        };
        let token = self.mint("token-canary");
        let seconds = self.how("expires_in").as_u64().unwrap_or(3600);
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": seconds });
        if kind != "client_credentials" && self.how("no_refresh") != true {
            let refresh = self.mint("refresh-canary");
            body["refresh_token"] = refresh.clone().into();
            self.state().refresh.insert(refresh, grant.clone());
        }
        self.state().tokens.insert(token, Token { grant, until });
        whole(StatusCode::OK, &body)
    }

    /// The client that has shown its secret in the header, which alone is taken.
    fn client_of(&self, asked: &Asked) -> Option<String> {
        let shown = STANDARD.decode(asked.authorization.as_deref()?.strip_prefix("Basic ")?).ok()?;
        let shown = String::from_utf8(shown).ok()?;
        let (id, secret) = shown.split_once(':')?;
        let (id, secret) = (form::decode(id), form::decode(secret));
        (self.state().clients.get(&id)? == &Some(secret)).then_some(id)
    }

    fn mint(&self, what: &str) -> String {
        let mut state = self.state();
        state.minted += 1;
        format!("{what}-{}", state.minted)
    }
}
