//! What a server says with a refusal: the `Bearer` challenge of `WWW-Authenticate` (RFC 9110, RFC 6750, RFC 9728).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// The parts of a `Bearer` challenge that say how to do better.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Where the server's metadata is.
    pub resource_metadata: Option<String>,
    /// The scopes that the request needs.
    pub scopes: Vec<String>,
    /// The kind of refusal.
    pub error: Option<String>,
}

impl Challenge {
    /// The first `Bearer` challenge of an answer; an empty one if there is none.
    pub fn of(headers: &HeaderMap) -> Challenge {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        texts.filter_map(parse).next().unwrap_or_default()
    }
}

fn parse(text: &str) -> Option<Challenge> {
    let mut found: Option<Challenge> = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let word = &rest[..end];
        let after = rest[end..].trim_start_matches([' ', '\t']);
        let Some(value) = after.strip_prefix('=') else {
            // A word without a value names a scheme. What follows the one that we want is not for us.
            if found.is_some() {
                return found;
            }
            found = word.eq_ignore_ascii_case("bearer").then(Challenge::default);
            // Something that is no word must not hold us up.
            rest = if end == 0 { &rest[1..] } else { after };
            continue;
        };
        let (value, after) = value_of(value.trim_start_matches([' ', '\t']));
        rest = after;
        if let Some(challenge) = &mut found {
            match word.to_ascii_lowercase().as_str() {
                "resource_metadata" => challenge.resource_metadata = Some(value),
                "scope" => challenge.scopes = value.split_ascii_whitespace().map(str::to_owned).collect(),
                "error" => challenge.error = Some(value),
                _ => {}
            }
        }
    }
}

/// A token or a quoted string, and what comes after it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bearer_challenge_is_found_among_others_in_every_spelling() {
        let wanted = Challenge {
            resource_metadata: Some("https://x/.well-known/oauth-protected-resource".into()),
            scopes: vec!["a".into(), "b:c".into()],
            error: Some("insufficient_scope".into()),
        };
        for text in [
            r#"Bearer error="insufficient_scope", scope="a b:c", resource_metadata="https://x/.well-known/oauth-protected-resource""#,
            r#"Basic realm="x, y", bearer error=insufficient_scope,scope = "a  b:c" ,error_description="a \"b\", c=d", resource_metadata="https://x/.well-known/oauth-protected-resource", Digest scope="z""#,
        ] {
            assert_eq!(parse(text), Some(wanted.clone()), "{text}");
        }
        assert_eq!(parse("Bearer"), Some(Challenge::default()));
        for text in ["", "Basic realm=x", "==", "\"\"", ",,"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_holds_it_up(text: String) {
            let _ = parse(&text);
            let _ = parse(&format!("Bearer {text}"));
        }
    }
}
