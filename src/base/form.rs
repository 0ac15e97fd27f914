//! `application/x-www-form-urlencoded`, both ways.

/// The pairs as a form or a query; what is not plain is escaped.
pub fn encode(pairs: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&escape(name));
        text.push('=');
        text.push_str(&escape(value));
    }
    text
}

/// One value, escaped so that it may stand anywhere.
pub fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => {
                text.push('%');
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    text
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a query has this name at all.
pub fn names(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| unescape(pair.split('=').next().unwrap_or_default()).as_deref() == Some(name))
}

/// The value of a name in a query. One that comes twice has none: nobody can say which is meant.
pub fn value(query: &str, name: &str) -> Option<String> {
    let mut values = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(key)? == name).then(|| unescape(value))
    });
    let first = values.next()?;
    if values.next().is_some() { None } else { first }
}

/// A text with its `%41` and `+` taken back; nothing if that is no UTF-8, or an escape is broken.
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(rest.next()?)? << 4 | digit(rest.next()?)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_that_comes_twice_or_is_broken_has_none() {
        assert_eq!(value("code=a%2Bb+c&state=", "code").as_deref(), Some("a+b c"));
        assert_eq!(value("code=a&state=", "state").as_deref(), Some(""));
        assert_eq!(value("code=a&code=b", "code"), None);
        assert_eq!(value("code=%zz", "code"), None);
        assert_eq!(value("", "code"), None);
        assert!(names("a=1&code=%zz", "code") && names("code", "code") && names("c%6fde=", "code"));
        assert!(!names("", "code") && !names("codes=1&a=code", "code"));
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(first: String, second: String) {
            let query = encode(&[("a", first.clone()), ("b c", second.clone())]);
            prop_assert_eq!(value(&query, "a"), Some(first));
            prop_assert_eq!(value(&query, "b c"), Some(second));
        }
    }
}
