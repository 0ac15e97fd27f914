//! The credential that an exchange shows (RFC 6750 §2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What stands in `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'h> {
    /// No such header.
    None,
    /// One bearer token.
    Token(&'h str),
    /// A credential of another kind, or nothing that one could read.
    Foreign,
    /// Several headers. Which of them counts would depend on who reads them.
    Several,
}

/// Looks for the credential. Nothing but the header is looked at: a token in the address ends up in logs.
pub fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Bearer::None };
    if values.next().is_some() {
        return Bearer::Several;
    }
    let Ok(text) = value.to_str() else { return Bearer::Foreign };
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => match token.trim_matches(' ') {
            token if is_token(token) => Bearer::Token(token),
            _ => Bearer::Foreign,
        },
        _ => Bearer::Foreign,
    }
}

/// `b64token` of RFC 6750 §2.1; a comma, with which proxies join two headers, is none of it.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !body.is_empty() && body.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        format!("{:?}", bearer(&headers))
    }

    #[test]
    fn one_bearer_token_is_read_and_nothing_else() {
        assert_eq!(read(&[]), "None");
        for value in ["Bearer abc", "bearer abc", "BEARER   abc", "Bearer abc "] {
            assert_eq!(read(&[value]), "Token(\"abc\")", "{value}");
        }
        assert_eq!(read(&["Bearer a-._~+/9=="]), "Token(\"a-._~+/9==\")");
        for value in ["Basic abc", "Bearer", "Bearer ", "abc", "Bearer a,b", "Bearer a b", "Bearer =", ""] {
            assert_eq!(read(&[value]), "Foreign", "{value}");
        }
    }

    #[test]
    fn two_headers_are_no_credential_even_if_they_agree() {
        assert_eq!(read(&["Bearer a", "Bearer a"]), "Several");
        assert_eq!(read(&["Bearer a", ""]), "Several");
    }
}
