//! A payload as it may be kept: cut to its size, and without secrets.
//!
//! Values of fields whose names speak of credentials are masked, whatever they are, and so is every secret of the
//! configuration wherever it stands. The text may be cut off anywhere; what is cut off in the middle of a masked value is
//! masked to its end.

use crate::base::Secret;

/// What stands in the place of a secret.
const MASK: &str = "\"***\"";
/// The same inside of a string.
const BARE_MASK: &str = "***";
/// Parts of names that speak of credentials, in small letters and without `-` and `_`.
const TELLING: [&str; 12] = [
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "cookie",
    "sessionid",
];
/// Names with such a part that hold no credential: progress tokens are numbers, and counts of tokens are no secrets.
const HARMLESS: [&str; 3] = ["progresstoken", "maxtokens", "tokens"];
/// Secrets below this length are too common a text to be looked for.
const LEAST_SECRET: usize = 6;

/// Masks what must not be kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// One that knows these secrets.
    pub fn new(secrets: &[Secret]) -> Redactor {
        let mut known = Vec::new();
        for secret in secrets {
            let value = secret.expose();
            // `Bearer abc`: the word before is no secret, what follows is one alone too.
            for part in std::iter::once(value).chain(value.split_once(' ').map(|(_, rest)| rest)) {
                if part.len() >= LEAST_SECRET {
                    let quoted = crate::protocol::skim::quote(part);
                    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or(part);
                    known.extend([part.to_owned(), inside.to_owned()]);
                }
            }
        }
        // The longest first: one that is a part of another must not leave the rest of it.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known.dedup();
        Redactor { secrets: known }
    }

    /// The text without secrets; `cut` says that its end is missing.
    pub fn redact(&self, text: &str, cut: bool) -> String {
        let mut text = mask_fields(text);
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), BARE_MASK);
        }
        if cut {
            let end = self.secrets.iter().map(|secret| overlap(&text, secret)).max().unwrap_or(0);
            text.truncate(text.len() - end);
            text.push('…');
        }
        text
    }
}

/// How many bytes at the end of `text` are the beginning of `secret`.
fn overlap(text: &str, secret: &str) -> usize {
    let most = secret.len().min(text.len());
    (1..=most)
        .rev()
        .find(|length| secret.is_char_boundary(*length) && text.ends_with(&secret[..*length]))
        .unwrap_or(0)
}

/// Masks the values of fields with telling names.
fn mask_fields(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'"' {
            at += 1;
            continue;
        }
        let end = string_end(bytes, at);
        let colon = skip_space(bytes, end);
        if bytes.get(colon) == Some(&b':') && tells(&text[at..end]) {
            let value = skip_space(bytes, colon + 1);
            let after = value_end(bytes, value);
            if after > value {
                out.push_str(&text[kept..value]);
                out.push_str(MASK);
                (at, kept) = (after, after);
                continue;
            }
        }
        at = end;
    }
    out.push_str(&text[kept..]);
    out
}

fn tells(key: &str) -> bool {
    let name: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    TELLING.iter().any(|part| name.contains(part))
        && !HARMLESS.iter().any(|harmless| name.ends_with(harmless))
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Behind the string that begins at `at`, or the end of the text.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Behind the value that begins at `at`, or the end of the text.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redact(text: &str) -> String {
        Redactor::default().redact(text, false)
    }

    #[test]
    fn values_of_telling_fields_are_masked_and_others_are_not() {
        for (text, expected) in [
            (r#"{"password":"x","b":1}"#, r#"{"password":"***","b":1}"#),
            (r#"{"Api_Key" : 123, "b":[2]}"#, r#"{"Api_Key" : "***", "b":[2]}"#),
            (r#"{"a":{"authToken":{"x":["}"]}},"b":1}"#, r#"{"a":{"authToken":"***"},"b":1}"#),
            (r#"{"x-api-key":null}"#, r#"{"x-api-key":"***"}"#),
            (r#"{"progressToken":7,"max_tokens":9}"#, r#"{"progressToken":7,"max_tokens":9}"#),
            (r#"{"a":"password"}"#, r#"{"a":"password"}"#),
            (r#"{"pass\"word":"x","secret":"a\"b"}"#, r#"{"pass\"word":"***","secret":"***"}"#),
        ] {
            assert_eq!(redact(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_in_a_secret_is_masked_to_its_end() {
        assert_eq!(redact(r#"{"token":"abc"#), r#"{"token":"***""#);
        assert_eq!(redact(r#"{"token":{"a":[1,"#), r#"{"token":"***""#);
        let redactor = Redactor::new(&[Secret::new("Bearer hunter22")]);
        assert_eq!(redactor.redact(r#"{"a":"say hunt"#, true), r#"{"a":"say …"#);
        assert_eq!(redactor.redact(r#"{"a":"hunter22 hunter2"}"#, false), r#"{"a":"*** hunter2"}"#);
    }

    #[test]
    fn a_secret_is_found_as_json_spells_it() {
        let redactor = Redactor::new(&[Secret::new("quo\"te\nd"), Secret::new("abc")]);
        assert_eq!(redactor.redact(r#"{"a":"quo\"te\nd","b":"abc"}"#, false), r#"{"a":"***","b":"abc"}"#);
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_taken(text in ".{0,200}") {
            let _ = redact(&text);
            let _ = redact(&format!("{{\"token\":{text}"));
        }

        #[test]
        fn a_masked_value_never_shows(value in "[a-z0-9]{8}", before in "[ -~]{0,20}", cut in 0_usize..12) {
            let quoted = crate::protocol::skim::quote(&before);
            let text = format!(r#"{{"b":{quoted},"password":"{value}"}}"#);
            let text = &text[..text.len() - cut.min(value.len())];
            prop_assert!(!redact(text).contains(&value[..4]) || before.contains(&value[..4]));
        }
    }
}
