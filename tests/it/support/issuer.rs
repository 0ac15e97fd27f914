//! An identity provider on a socket: metadata, keys that rotate, and tokens signed with them.

use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::Stub;

/// A running provider. Dropping it ends it.
pub struct Idp {
    stub: Stub,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: Vec<Value>,
    down: bool,
    fetches: usize,
}

/// A key that signs tokens.
pub struct Signer {
    kid: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
}

impl Signer {
    /// A fresh RSA key.
    pub fn rsa(kid: &str) -> Signer {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        Signer { kid: kid.to_owned(), pair: Pair::Rsa(Box::new(pair)) }
    }

    /// A fresh elliptic key.
    pub fn ec(kid: &str) -> Signer {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Signer { kid: kid.to_owned(), pair: Pair::Ec(pair) }
    }

    fn public(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let parts = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let (n, e) = (BASE64.encode(parts.n), BASE64.encode(parts.e));
                json!({ "kty": "RSA", "kid": self.kid, "use": "sig", "n": n, "e": e })
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                json!({ "kty": "EC", "kid": self.kid, "crv": "P-256", "x": x, "y": y })
            }
        }
    }

    /// A token that says this.
    pub fn sign(&self, claims: &Value) -> String {
        let alg = if matches!(self.pair, Pair::Rsa(_)) { "RS256" } else { "ES256" };
        let header = json!({ "alg": alg, "kid": self.kid, "typ": "at+jwt" });
        let text = [&header, claims].map(|part| BASE64.encode(part.to_string())).join(".");
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("signed");
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, text.as_bytes()).expect("signed").as_ref().to_vec(),
        };
        format!("{text}.{}", BASE64.encode(signature))
    }
}

impl Idp {
    /// A provider that publishes the keys of these.
    pub async fn start(signers: &[&Signer]) -> Idp {
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, own) = (Arc::clone(&state), Arc::new(OnceLock::<String>::new()));
        let url = Arc::clone(&own);
        let stub = Stub::start(move |seen| {
            let mut state = shared.lock().expect("state");
            let json =
                |value: Value| ("200 OK\r\ncontent-type: application/json".to_owned(), value.to_string());
            let url = url.get().expect("the address is known");
            if state.down {
                return ("503 Service Unavailable".to_owned(), String::new());
            }
            match seen.line.split(' ').nth(1) {
                // Not at the first of the places.
                Some("/.well-known/openid-configuration/team") => {
                    json(json!({ "issuer": format!("{url}/team"), "jwks_uri": format!("{url}/keys") }))
                }
                Some("/keys") => {
                    state.fetches += 1;
                    json(json!({ "keys": state.keys }))
                }
                _ => ("404 Not Found".to_owned(), String::new()),
            }
        })
        .await;
        own.set(stub.url("")).expect("set once");
        let idp = Idp { stub, state };
        idp.publish(signers);
        idp
    }

    /// What its tokens have as `iss`.
    pub fn issuer(&self) -> String {
        self.stub.url("/team")
    }

    /// From now on these keys are published, and no others.
    pub fn publish(&self, signers: &[&Signer]) {
        self.state.lock().expect("state").keys = signers.iter().map(|signer| signer.public()).collect();
    }

    /// Whether it answers nothing but 503.
    pub fn set_down(&self, down: bool) {
        self.state.lock().expect("state").down = down;
    }

    /// How often its keys were asked for.
    pub fn fetches(&self) -> usize {
        self.state.lock().expect("state").fetches
    }

    /// The entry that makes a gateway take its tokens.
    pub fn entry(&self) -> String {
        format!("[auth.issuers.team]\nurl = \"{}\"\naudiences = [\"{AUDIENCE}\"]\n", self.issuer())
    }

    /// What a good token says of `subject` for the next `seconds`.
    pub fn claims(&self, subject: &str, seconds: i64) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let expires = now.as_secs().cast_signed() + seconds;
        json!({ "iss": self.issuer(), "sub": subject, "aud": AUDIENCE, "exp": expires, "scope": "mcp:use" })
    }
}

/// For whom tokens are.
pub const AUDIENCE: &str = "https://gateway.example/mcp";
