//! Assertions by which a client shows that it holds a private key (RFC 7523, `private_key_jwt`).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::base::random;
use crate::protocol::skim::quote;

/// How long an assertion is good: it is used at once.
const LIFETIME: u64 = 60;

/// A key that signs.
pub(super) enum PrivateKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// The key in this PEM text.
    pub fn parse(pem: &str) -> Result<PrivateKey, &'static str> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "holds no private key (PKCS #8, PEM: `-----BEGIN PRIVATE KEY-----`)")?;
        let der = der.secret_pkcs8_der();
        if let Ok(key) = RsaKeyPair::from_pkcs8(der) {
            return Ok(PrivateKey::Rsa(key));
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Ok(PrivateKey::P256(key));
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der) {
            return Ok(PrivateKey::P384(key));
        }
        match Ed25519KeyPair::from_pkcs8(der) {
            Ok(key) => Ok(PrivateKey::Ed25519(key)),
            Err(_) => Err("holds a key of a kind that signs no assertions; use RSA, P-256, P-384 or Ed25519"),
        }
    }

    /// A signed assertion that `client` is itself, for the authorization server `issuer`, made at `now` (Unix time).
    pub fn assertion(&self, client: &str, issuer: &str, now: u64) -> Result<String, &'static str> {
        let mut id = [0; 16];
        random::fill(&mut id);
        let header = format!(r#"{{"alg":"{}","typ":"client-authentication+jwt"}}"#, self.algorithm());
        let claims = format!(
            r#"{{"iss":{client},"sub":{client},"aud":{},"jti":"{}","iat":{now},"exp":{}}}"#,
            quote(issuer),
            URL_SAFE_NO_PAD.encode(id),
            now + LIFETIME,
            client = quote(client),
        );
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.sign(signed.as_bytes()).ok_or("could not sign with the private key")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            PrivateKey::Rsa(_) => "RS256",
            PrivateKey::P256(_) => "ES256",
            PrivateKey::P384(_) => "ES384",
            PrivateKey::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            PrivateKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).ok()?;
                Some(signature)
            }
            PrivateKey::P256(key) | PrivateKey::P384(key) => {
                Some(key.sign(&random, text).ok()?.as_ref().to_vec())
            }
            PrivateKey::Ed25519(key) => Some(key.sign(text).as_ref().to_vec()),
        }
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn an_assertion_names_client_and_issuer_and_its_signature_is_right() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let body = STANDARD.encode(AsRef::<[u8]>::as_ref(&der));
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let key = PrivateKey::parse(&pem).unwrap();
        let assertion = key.assertion("me", "https://a.example", 1_000).unwrap();
        let parts: Vec<&str> = assertion.split('.').collect();
        let part = |at: usize| URL_SAFE_NO_PAD.decode(parts[at]).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&part(0)).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&part(1)).unwrap();
        assert_eq!(header["alg"], "ES256");
        assert_eq!((&claims["iss"], &claims["sub"]), (&"me".into(), &"me".into()));
        assert_eq!((&claims["aud"], &claims["exp"]), (&"https://a.example".into(), &1_060.into()));
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
        public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &part(2)).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(…)");
    }

    #[test]
    fn what_is_no_key_is_told_apart_from_a_key_of_another_kind() {
        assert!(PrivateKey::parse("hunter2").unwrap_err().contains("holds no private key"));
        let body = STANDARD.encode([0x30, 0x00]);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        assert!(PrivateKey::parse(&pem).unwrap_err().contains("of a kind"));
    }
}
