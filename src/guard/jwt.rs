//! JSON Web Tokens (RFC 7519, RFC 9068) against the keys of their issuer (RFC 7517). Pure: key set and clock are passed in.
//!
//! What may sign is decided by the key, not by the token: each key knows its one kind of algorithm, and only those with
//! public keys are taken, so that neither `none` nor a public key used as a secret gets anywhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{Issuer, SignatureAlgorithm};

/// The longest token that is looked at: identity providers stay far below what servers take as a header.
const MAX_TOKEN: usize = 16 * 1024;
/// The most keys of one issuer that are kept; providers publish two or three.
const MAX_KEYS: usize = 32;
/// The longest name of a caller: what OpenID Connect allows for `sub` (Core §2). It goes into the log and into session ids.
const MAX_SUBJECT: usize = 255;

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no token, or asks for what nobody has agreed on.
    Malformed,
    /// It is signed in a way that is not allowed.
    Algorithm,
    /// It is signed with a key that is not known; a newer key set may have it.
    UnknownKey,
    /// Its signature is wrong.
    Signature,
    /// Another issuer made it.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// It has expired.
    Expired,
    /// It never expires.
    Endless,
    /// Its time has not come.
    Early,
    /// It does not say of whom it speaks.
    Subject,
}

impl Fault {
    /// For the holder.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Malformed => "the token is not a JSON Web Token",
            Fault::Algorithm => "the token is signed in a way that is not accepted here",
            Fault::UnknownKey => "the token is signed with a key that its issuer does not publish",
            Fault::Signature => "the signature of the token is wrong",
            Fault::Issuer => "the token is of an issuer that is not known here",
            Fault::Audience => "the token is for another audience",
            Fault::Expired => "the token has expired",
            Fault::Endless => "the token does not say when it expires",
            Fault::Early => "the token is not valid yet",
            Fault::Subject => "the token does not say whose it is",
        }
    }
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    /// Of whom it speaks.
    pub subject: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// Until when, by our clock at the latest.
    pub ends_at: SystemTime,
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The algorithms that it can be for.
    algorithms: Vec<Algorithm>,
    material: DecodingKey,
}

impl KeySet {
    /// Reads a key set. Keys of kinds that we do not use are left out; `None` if it is no key set at all.
    pub fn parse(text: &[u8]) -> Option<KeySet> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(text).ok()?;
        let keys = set.keys.into_iter().filter_map(|key| Key::read(serde_json::from_value(key).ok()?));
        Some(KeySet(keys.take(MAX_KEYS).collect()))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks a token.
    pub fn verify(&self, token: &str, issuer: &Issuer, now: SystemTime) -> Result<Claims, Fault> {
        if token.len() > MAX_TOKEN {
            return Err(Fault::Malformed);
        }
        let header = decode_header(token).map_err(|error| match error.kind() {
            // `none`, and whatever else the library does not know.
            ErrorKind::Json(_) if names_algorithm(token) => Fault::Algorithm,
            _ => Fault::Malformed,
        })?;
        // Extensions that must be understood (RFC 7515 §4.1.11): we understand none.
        if header.crit.is_some() {
            return Err(Fault::Malformed);
        }
        if !issuer.algorithms.iter().any(|one| library(*one) == header.alg) {
            return Err(Fault::Algorithm);
        }
        let fits = |key: &&Key| {
            key.algorithms.contains(&header.alg) && (header.kid.is_none() || header.kid == key.id)
        };
        let mut fault = Fault::UnknownKey;
        // The claims are checked below, with our clock and our words.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        for key in self.0.iter().filter(fits) {
            match decode::<Map<String, Value>>(token, &key.material, &validation) {
                Ok(data) => return check(&data.claims, issuer, now),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => fault = Fault::Signature,
                Err(_) => return Err(Fault::Malformed),
            }
        }
        Err(fault)
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Key> {
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        let possible: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms(),
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            // A secret has no place in what everybody may read.
            _ => return None,
        };
        let only = match common.key_algorithm {
            Some(KeyAlgorithm::UNKNOWN_ALGORITHM) => return None,
            Some(named) => Some(named.to_string().parse::<Algorithm>().ok()?),
            None => None,
        };
        let algorithms: Vec<Algorithm> =
            possible.iter().copied().filter(|one| only.is_none_or(|only| only == *one)).collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Key { id: common.key_id.clone(), algorithms, material: DecodingKey::from_jwk(&jwk).ok()? })
    }
}

const fn library(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::Rs256 => Algorithm::RS256,
        SignatureAlgorithm::Rs384 => Algorithm::RS384,
        SignatureAlgorithm::Rs512 => Algorithm::RS512,
        SignatureAlgorithm::Ps256 => Algorithm::PS256,
        SignatureAlgorithm::Ps384 => Algorithm::PS384,
        SignatureAlgorithm::Ps512 => Algorithm::PS512,
        SignatureAlgorithm::Es256 => Algorithm::ES256,
        SignatureAlgorithm::Es384 => Algorithm::ES384,
        SignatureAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

/// The issuer that a token names. Nothing of it has been checked.
pub(super) fn claimed_issuer(token: &str) -> Option<String> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    match part(token, 1)?.get("iss")? {
        Value::String(issuer) => Some(issuer.clone()),
        _ => None,
    }
}

fn names_algorithm(token: &str) -> bool {
    part(token, 0).is_some_and(|header| header.get("alg").is_some_and(Value::is_string))
}

fn part(token: &str, index: usize) -> Option<Map<String, Value>> {
    use base64::Engine as _;
    let mut parts = token.split('.');
    let text = parts.nth(index)?;
    if parts.count() + index + 1 != 3 {
        return None;
    }
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn check(claims: &Map<String, Value>, issuer: &Issuer, now: SystemTime) -> Result<Claims, Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer.url.as_str()) {
        return Err(Fault::Issuer);
    }
    let is_ours = |audience: &str| issuer.audiences.iter().any(|own| own == audience);
    let for_us = match claims.get("aud") {
        Some(Value::String(one)) => is_ours(one),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).any(is_ours),
        _ => false,
    };
    if !for_us {
        return Err(Fault::Audience);
    }
    let ends_at = claims.get("exp").and_then(time).ok_or(Fault::Endless)? + issuer.clock_skew;
    if ends_at <= now {
        return Err(Fault::Expired);
    }
    if let Some(from) = claims.get("nbf")
        && time(from).is_none_or(|from| from > now + issuer.clock_skew)
    {
        return Err(Fault::Early);
    }
    let subject =
        text(&issuer.principal_claim).filter(|subject| is_subject(subject)).ok_or(Fault::Subject)?;
    Ok(Claims { subject: subject.to_owned(), scopes: scopes(claims), ends_at })
}

/// Scopes, as RFC 9068 §2.2.3 has them, or as providers had them before: `scp`, a text or a list.
fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    match (claims.get("scope"), claims.get("scp")) {
        (Some(Value::String(text)), _) | (None, Some(Value::String(text))) => words(text),
        (Some(Value::Array(many)), _) | (None, Some(Value::Array(many))) => {
            many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Visible ASCII characters.
fn is_subject(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_SUBJECT && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Seconds since 1970 (RFC 7519 §2, `NumericDate`), if clocks can tell them and a skew can be added.
fn time(seconds: &Value) -> Option<SystemTime> {
    /// The end of the year 9999.
    const LAST: f64 = 253_402_300_799.0;
    let seconds = seconds.as_f64().filter(|seconds| *seconds <= LAST)?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Url;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    };
    use aws_lc_rs::{hmac, rsa};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn issuer() -> Issuer {
        Issuer {
            name: "id".to_owned(),
            url: Url::parse("https://id.example").unwrap(),
            audiences: vec!["https://gateway.example/mcp".to_owned()],
            algorithms: SignatureAlgorithm::ALL.map(|(_, algorithm)| algorithm).to_vec(),
            jwks_url: None,
            clock_skew: Duration::from_secs(60),
            principal_claim: "sub".to_owned(),
            ca_file: None,
        }
    }

    fn claims() -> Value {
        json!({ "iss": "https://id.example", "sub": "alice", "aud": "https://gateway.example/mcp", "exp": NOW + 600,
            "nbf": NOW - 10, "scope": "mcp:use  team" })
    }

    struct Keys {
        rsa: RsaKeyPair,
        ec: EcdsaKeyPair,
        ed: Ed25519KeyPair,
    }

    fn pairs() -> Keys {
        Keys {
            rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    impl Keys {
        fn modulus(&self) -> Vec<u8> {
            rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key()).n
        }

        fn jwks(&self) -> Value {
            let e = rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key()).e;
            let point = self.ec.public_key().as_ref();
            json!({ "keys": [
                { "kty": "RSA", "kid": "r", "use": "sig", "n": BASE64.encode(self.modulus()), "e": BASE64.encode(e) },
                { "kty": "EC", "kid": "e", "crv": "P-256", "alg": "ES256", "x": BASE64.encode(&point[1..33]),
                  "y": BASE64.encode(&point[33..]) },
                { "kty": "OKP", "kid": "d", "crv": "Ed25519", "x": BASE64.encode(self.ed.public_key().as_ref()) },
                { "kty": "oct", "kid": "s", "k": BASE64.encode(b"a secret that everybody can read") },
                { "kty": "strange" },
            ] })
        }

        fn set(&self) -> KeySet {
            KeySet::parse(self.jwks().to_string().as_bytes()).unwrap()
        }

        fn token(&self, header: Value, claims: &Value) -> String {
            let part = |value: &Value| BASE64.encode(value.to_string());
            let text = format!("{}.{}", part(&header), part(claims));
            let (random, bytes) = (SystemRandom::new(), text.as_bytes());
            let rsa = |how: &'static dyn RsaEncoding| {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(how, &random, bytes, &mut signature).unwrap();
                signature
            };
            let signature = match header["alg"].as_str() {
                Some("RS256") => rsa(&RSA_PKCS1_SHA256),
                Some("PS256") => rsa(&RSA_PSS_SHA256),
                Some("ES256") => self.ec.sign(&random, bytes).unwrap().as_ref().to_vec(),
                Some("EdDSA") => self.ed.sign(bytes).as_ref().to_vec(),
                Some("HS256") => {
                    let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.modulus());
                    hmac::sign(&secret, bytes).as_ref().to_vec()
                }
                _ => Vec::new(),
            };
            format!("{text}.{}", BASE64.encode(signature))
        }
    }

    #[test]
    fn every_kind_of_key_vouches_for_its_token_and_for_no_changed_one() {
        let keys = pairs();
        let set = keys.set();
        assert_eq!(set.len(), 3, "a secret and what is not known are left out");
        for (alg, kid) in [("RS256", "r"), ("PS256", "r"), ("ES256", "e"), ("EdDSA", "d")] {
            for header in [json!({ "alg": alg, "kid": kid }), json!({ "alg": alg, "typ": "at+jwt" })] {
                let token = keys.token(header, &claims());
                let good = set.verify(&token, &issuer(), at(NOW)).unwrap();
                assert_eq!((good.subject.as_str(), good.ends_at), ("alice", at(NOW + 660)), "{alg}");
                assert_eq!(good.scopes, ["mcp:use", "team"]);
                let (text, signature) = token.rsplit_once('.').unwrap();
                let (head, _) = text.split_once('.').unwrap();
                let mut others = claims();
                others["sub"] = json!("bob");
                let forged = format!("{head}.{}.{signature}", BASE64.encode(others.to_string()));
                assert_eq!(set.verify(&forged, &issuer(), at(NOW)), Err(Fault::Signature), "{alg}");
            }
            assert_eq!(
                claimed_issuer(&keys.token(json!({ "alg": alg }), &claims())).unwrap(),
                "https://id.example"
            );
        }
        let foreign = pairs().token(json!({ "alg": "ES256", "kid": "e" }), &claims());
        assert_eq!(set.verify(&foreign, &issuer(), at(NOW)), Err(Fault::Signature));
    }

    #[test]
    fn the_token_does_not_choose_how_it_is_checked() {
        let keys = pairs();
        let set = keys.set();
        let verify = |header: Value| set.verify(&keys.token(header, &claims()), &issuer(), at(NOW));
        for alg in ["none", "None", "nOnE", "HS256", "HS512", "ES512", ""] {
            for kid in [None, Some("r"), Some("s")] {
                let mut header = json!({ "alg": alg });
                if let Some(kid) = kid {
                    header["kid"] = json!(kid);
                }
                assert_eq!(verify(header), Err(Fault::Algorithm), "{alg} {kid:?}");
            }
        }
        // A key is for its own kind, and for the algorithm that it names.
        for (alg, kid) in [("RS256", "e"), ("ES256", "r"), ("ES384", "e"), ("EdDSA", "r"), ("RS256", "none")]
        {
            assert_eq!(verify(json!({ "alg": alg, "kid": kid })), Err(Fault::UnknownKey), "{alg} {kid}");
        }
        assert_eq!(verify(json!({ "alg": "RS256", "crit": ["exp"] })), Err(Fault::Malformed));
        // A key in the token is nobody's.
        let own =
            json!({ "alg": "ES256", "kid": "x", "jwk": keys.jwks()["keys"][1], "jku": "https://evil/" });
        assert_eq!(verify(own), Err(Fault::UnknownKey));
        let only = Issuer { algorithms: vec![SignatureAlgorithm::Ps256], ..issuer() };
        let token = keys.token(json!({ "alg": "RS256", "kid": "r" }), &claims());
        assert_eq!(set.verify(&token, &only, at(NOW)), Err(Fault::Algorithm));
    }

    #[test]
    fn what_a_token_says_must_fit() {
        let keys = pairs();
        let set = keys.set();
        let verify = |change: &dyn Fn(&mut Value)| {
            let mut claims = claims();
            change(&mut claims);
            set.verify(&keys.token(json!({ "alg": "ES256", "kid": "e" }), &claims), &issuer(), at(NOW))
        };
        let with = |name: &'static str, value: Value| verify(&move |claims| claims[name] = value.clone());
        for value in [
            json!("https://id.example/"),
            json!("HTTPS://id.example"),
            json!(null),
            json!(["https://id.example"]),
        ] {
            assert_eq!(with("iss", value), Err(Fault::Issuer));
        }
        for value in [json!("https://gateway.example"), json!([]), json!(null), json!(["other"]), json!(7)] {
            assert_eq!(with("aud", value), Err(Fault::Audience));
        }
        assert!(with("aud", json!(["other", "https://gateway.example/mcp"])).is_ok());
        assert_eq!(with("exp", json!(NOW - 60)), Err(Fault::Expired));
        assert!(with("exp", json!(NOW - 59)).is_ok() && with("exp", json!((NOW - 59) as f64 + 0.5)).is_ok());
        for value in [json!(null), json!("soon"), json!(-1), json!(1e300)] {
            assert_eq!(with("exp", value), Err(Fault::Endless));
        }
        assert_eq!(with("nbf", json!(NOW + 61)), Err(Fault::Early));
        assert_eq!(with("nbf", json!("x")), Err(Fault::Early));
        assert!(with("nbf", json!(NOW + 60)).is_ok());
        for value in [json!(""), json!(null), json!("a b"), json!("ä"), json!("a\n"), json!("x".repeat(256))]
        {
            assert_eq!(with("sub", value), Err(Fault::Subject));
        }
        for (name, value) in [("scp", json!("a b")), ("scp", json!(["a", "b"])), ("scope", json!(["a", "b"]))]
        {
            let changed = verify(&|claims| {
                claims.as_object_mut().unwrap().remove("scope");
                claims[name] = value.clone();
            });
            assert_eq!(changed.unwrap().scopes, ["a", "b"]);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let keys = pairs();
        let good = keys.token(json!({ "alg": "ES256", "kid": "e" }), &claims());
        let parts: Vec<&str> = good.split('.').collect();
        let texts = [
            String::new(),
            "..".to_owned(),
            "a.b".to_owned(),
            good.clone() + ".x",
            format!("{}.{}", parts[0], parts[1]),
            "x".repeat(MAX_TOKEN + 1),
            format!("{}.{}.{}", parts[0], parts[1], "*"),
        ];
        for text in texts {
            let refused = keys.set().verify(&text, &issuer(), at(NOW));
            assert!(matches!(refused, Err(Fault::Malformed | Fault::Signature)), "{text}: {refused:?}");
        }
        assert_eq!(claimed_issuer("a.b"), None);
        assert_eq!(claimed_issuer(&(good + ".x")), None);
        assert!(KeySet::parse(b"{}").is_none() && KeySet::parse(b"x").is_none());
    }
}
