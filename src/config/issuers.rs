//! `[auth.issuers.<name>]`: identity providers whose tokens are taken.

use std::path::PathBuf;
use std::time::Duration;

use super::layers::Leaf;
use super::reader::{Reader, path};
use super::url::Url;

/// One identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The name, with which the principals of its tokens begin.
    pub name: String,
    /// What its tokens call it, to the letter.
    pub url: Url,
    /// For whom its tokens must be.
    pub audiences: Vec<String>,
    /// How its tokens may be signed.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Where its keys are; without, its metadata says that.
    pub jwks_url: Option<Url>,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
    /// The claim that names the caller.
    pub principal_claim: String,
    /// A PEM file of certificate authorities trusted instead of the system's own.
    pub ca_file: Option<PathBuf>,
}

/// How a token may be signed: with public keys only, so that nobody who can check a token can make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of RFC 7518 §3.1 and RFC 8037 §3.1")]
pub enum SignatureAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl SignatureAlgorithm {
    /// All of them, by name.
    pub const ALL: [(&'static str, SignatureAlgorithm); 9] = [
        ("RS256", SignatureAlgorithm::Rs256),
        ("RS384", SignatureAlgorithm::Rs384),
        ("RS512", SignatureAlgorithm::Rs512),
        ("PS256", SignatureAlgorithm::Ps256),
        ("PS384", SignatureAlgorithm::Ps384),
        ("PS512", SignatureAlgorithm::Ps512),
        ("ES256", SignatureAlgorithm::Es256),
        ("ES384", SignatureAlgorithm::Es384),
        ("EdDSA", SignatureAlgorithm::EdDsa),
    ];
    /// What is taken where the configuration says nothing: one of each kind, those that providers use.
    pub(super) const USUAL: [SignatureAlgorithm; 4] = [
        SignatureAlgorithm::Rs256,
        SignatureAlgorithm::Ps256,
        SignatureAlgorithm::Es256,
        SignatureAlgorithm::EdDsa,
    ];

    fn parse(name: &str) -> Option<SignatureAlgorithm> {
        SignatureAlgorithm::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm)
    }
}

/// Clocks that are kept by NTP are milliseconds apart; a minute is what libraries allow.
const USUAL_SKEW: Duration = Duration::from_secs(60);
/// The claim that every access token must have (RFC 9068 §2.2).
const USUAL_CLAIM: &str = "sub";
/// What other kinds of principals begin with.
const TAKEN: [&str; 3] = ["key", "local", "anonymous"];
/// The longest name: it goes into every session id.
const MAX_NAME: usize = 24;

pub(super) fn issuers(reader: &mut Reader<'_>) -> Vec<Issuer> {
    let mut names: Vec<(String, &Leaf)> = Vec::new();
    for leaf in reader.stack.below(&path(&["auth", "issuers"])) {
        if let Some(name) = leaf.path.get(2)
            && !names.iter().any(|(known, _)| known == name)
        {
            names.push((name.clone(), leaf));
        }
    }
    let all: Vec<Issuer> = names.iter().filter_map(|(name, leaf)| issuer(reader, name, leaf)).collect();
    for (index, one) in all.iter().enumerate() {
        if let Some(other) = all[..index].iter().find(|other| other.url.as_str() == one.url.as_str())
            && let Some(leaf) = reader.leaf(&["auth", "issuers", &one.name, "url"])
        {
            let problem = format!("is also that of `auth.issuers.{}`", other.name);
            reader.wrong(leaf, problem, "keep one of the two entries, and join their audiences");
        }
    }
    all
}

fn issuer(reader: &mut Reader<'_>, name: &str, first: &Leaf) -> Option<Issuer> {
    let key = |key: &'static str| ["auth", "issuers", name, key];
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(legal) || TAKEN.contains(&name) {
        let help = "write up to 24 small letters, digits and `-`; `key`, `local` and `anonymous` are taken: the name \
                    is what the principals of its tokens begin with";
        reader.faults.fault(
            first.place.key(),
            format!("`auth.issuers.{name}` is no name for an issuer"),
            help,
        );
    }
    let url = url(reader, &key("url"));
    if reader.leaf(&key("url")).is_none() {
        let help =
            "add what its tokens have as `iss`, such as url = \"https://login.example.com/realms/team\"";
        reader.faults.fault(first.place.key(), format!("`auth.issuers.{name}` has no `url`"), help);
    }
    let audiences = reader.list(&key("audiences"), |item| match item.trim() {
        "" => Err(("is no audience", "write what the tokens for this gateway have as `aud`")),
        _ => Ok(item.to_owned()),
    });
    if audiences.is_empty() && reader.faults.is_empty() {
        let help = "add audiences = [\"https://gateway.example.com/mcp\"], or whatever the issuer writes as `aud` into tokens \
                    that are for this gateway; without it, tokens for any other service would open this one";
        reader.faults.fault(first.place.key(), format!("`auth.issuers.{name}` has no `audiences`"), help);
    }
    let named = reader.list(&key("algorithms"), |item| match SignatureAlgorithm::parse(item) {
        Some(_) => Ok(item.to_owned()),
        None => Err((
            "is no algorithm by which a token may be signed",
            "write some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        )),
    });
    let algorithms = match named.is_empty() {
        true => SignatureAlgorithm::USUAL.to_vec(),
        false => named.iter().filter_map(|name| SignatureAlgorithm::parse(name)).collect(),
    };
    let clock_skew = match reader.leaf(&key("clock_skew")) {
        Some(_) => reader.duration(&key("clock_skew")),
        None => USUAL_SKEW,
    };
    let claim = reader.text(&key("principal_claim")).map(|(_, text)| text);
    Some(Issuer {
        name: name.to_owned(),
        audiences,
        algorithms,
        jwks_url: jwks_url(reader, &key("jwks_url")),
        clock_skew,
        principal_claim: claim.unwrap_or_else(|| USUAL_CLAIM.to_owned()),
        ca_file: reader.path(&key("ca_file")),
        url: url?,
    })
}

fn jwks_url(reader: &mut Reader<'_>, at: &[&str]) -> Option<Url> {
    reader.leaf(at)?;
    url(reader, at)
}

/// A URL of which keys come: whoever can change what it answers can be anybody here.
fn url(reader: &mut Reader<'_>, at: &[&str]) -> Option<Url> {
    let (leaf, text) = reader.text(at)?;
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(problem) => {
            reader.wrong(leaf, problem, "write an address such as \"https://login.example.com\"");
            return None;
        }
    };
    if !is_safe(url.uri()) {
        reader.wrong(
            leaf,
            "others could read and change on its way",
            "write https; http is for this machine alone",
        );
        return None;
    }
    Some(url)
}

/// Whether nobody between can change what the URL answers: by TLS, or because it is on this machine.
pub fn is_safe(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && local
}
