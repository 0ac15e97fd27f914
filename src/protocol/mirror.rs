//! `x-mcp-header`: parameters of a tool that an HTTP client mirrors into `Mcp-Param-*` headers (specification
//! 2026-07-28, `basic/transports/streamable-http`, "Custom Headers from Tool Parameters").

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::header;
use super::skim;

/// The annotation.
const ANNOTATION: &str = "x-mcp-header";
/// Schemas nested deeper than this are nobody's; the walk through them must end.
const MAX_DEPTH: usize = 64;

/// The annotated parameters of one tool, compiled once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrors(Vec<Mirror>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    header: HeaderName,
    /// The properties that lead to the value, outermost first.
    path: Vec<Box<str>>,
}

impl Mirrors {
    /// Reads the annotations of a tool's definition, raw JSON. `None` if there are none; the reason if they break a
    /// rule of the specification, because then no HTTP client may use the tool.
    pub fn of_tool(tool: &str) -> Result<Option<Mirrors>, String> {
        // Nearly no tool has any; this look costs far less than a walk.
        if memchr::memmem::find(tool.as_bytes(), ANNOTATION.as_bytes()).is_none() {
            return Ok(None);
        }
        let Some(schema) = skim::field_text(tool, "inputSchema") else { return Ok(None) };
        let mut found = Vec::new();
        walk(schema, &mut Vec::new(), true, 0, &mut found)?;
        Ok((!found.is_empty()).then_some(Mirrors(found)))
    }

    /// The headers that mirror `arguments`, raw JSON. What is absent or null has none.
    pub fn headers(&self, arguments: &str) -> Vec<(HeaderName, HeaderValue)> {
        let value = |mirror: &Mirror| {
            let text = mirror.value(arguments).ok()??;
            HeaderValue::from_str(&header::encode_value(&text)).ok()
        };
        self.0.iter().filter_map(|mirror| Some((mirror.header.clone(), value(mirror)?))).collect()
    }

    /// Compares what a client mirrored with `arguments`, raw JSON; says what is wrong.
    pub fn check(&self, arguments: &str, headers: &[(HeaderName, HeaderValue)]) -> Result<(), String> {
        self.0.iter().try_for_each(|mirror| mirror.check(arguments, headers))
    }

    /// Whether a header mirrors one of the parameters.
    pub fn covers(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|mirror| mirror.header == name)
    }
}

impl Mirror {
    fn check(&self, arguments: &str, headers: &[(HeaderName, HeaderValue)]) -> Result<(), String> {
        let name = &self.header;
        let mut sent = headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
        match (self.value(arguments)?, sent.next(), sent.next()) {
            (None, None, _) => Ok(()),
            (Some(_), None, _) => {
                Err(format!("the header {name} must mirror the argument '{}'", self.path.join(".")))
            }
            (_, Some(_), Some(_)) => Err(format!("the header {name} must be there once")),
            (None, Some(_), None) => Err(format!("the header {name} mirrors an argument that is not there")),
            (Some(body), Some(value), None) => {
                let value = header::decode_value(value.as_bytes()).ok_or_else(|| {
                    format!("the header {name} holds characters or an encoding that are not allowed")
                })?;
                if value == body || same_number(&value, &body) {
                    Ok(())
                } else {
                    Err(format!("{name} header value '{value}' does not match body value '{body}'"))
                }
            }
        }
    }

    /// The value at the mirror's place in `arguments`, as its header says it.
    fn value<'a>(&self, arguments: &'a str) -> Result<Option<Cow<'a, str>>, String> {
        let mut text = arguments;
        for step in &self.path {
            match only_field(text, step)? {
                Some(inner) => text = inner,
                None => return Ok(None),
            }
        }
        Ok(match text.as_bytes().first() {
            Some(b'"') => skim::string(text),
            Some(b't' | b'f') => Some(Cow::Borrowed(text)),
            Some(b'-' | b'0'..=b'9') => Some(decimal(text)),
            _ => None,
        })
    }
}

/// A field that must not stand twice: which of the two a server takes, nobody knows.
fn only_field<'a>(object: &'a str, name: &str) -> Result<Option<&'a str>, String> {
    let mut found = None;
    let mut twice = false;
    let walked = skim::each_field(object, |key, span| {
        if key == name {
            twice |= found.replace(&object[span]).is_some();
        }
        Ok(())
    });
    match (walked, twice) {
        (_, true) => Err(format!("the argument '{name}' stands twice")),
        // What is no object has no fields.
        (Err(_), _) => Ok(None),
        (Ok(()), false) => Ok(found),
    }
}

/// The largest integer that every JSON reader keeps exact: 2^53 - 1.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// An integer in decimal, however it was spelt; anything else as it is.
fn decimal(number: &str) -> Cow<'_, str> {
    if !number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Cow::Borrowed(number);
    }
    match number.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && value.abs() <= MAX_SAFE => Cow::Owned(format!("{value:.0}")),
        _ => Cow::Borrowed(number),
    }
}

/// Numbers are compared as numbers: `42.0` and `42` are equal.
fn same_number(header: &str, body: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|value| value.abs() <= MAX_SAFE);
    let plain = |text: &str| text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    plain(header)
        && plain(body)
        && number(header).zip(number(body)).is_some_and(|(header, body)| header == body)
}

/// Walks a schema. `reachable` says whether only `properties` lead here; `path` is that way.
fn walk(
    schema: &str,
    path: &mut Vec<Box<str>>,
    reachable: bool,
    depth: usize,
    found: &mut Vec<Mirror>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("its inputSchema is nested more than {MAX_DEPTH} deep"));
    }
    let mut fields: Vec<(String, &str)> = Vec::new();
    skim::each_field(schema, |key, span| {
        fields.push((key.to_owned(), &schema[span]));
        Ok(())
    })
    .map_err(|error| format!("its inputSchema cannot be read: {error}"))?;
    for (key, value) in &fields {
        match (key.as_str(), value.as_bytes().first()) {
            (ANNOTATION, _) if !reachable || path.is_empty() => {
                return Err(format!("{ANNOTATION} stands where properties alone do not lead"));
            }
            (ANNOTATION, _) => {
                let mirror = Mirror { header: name_of(value)?, path: path.clone() };
                let kind = fields.iter().find(|(key, _)| key == "type").map(|(_, kind)| *kind);
                if !matches!(kind, Some("\"string\"" | "\"integer\"" | "\"boolean\"")) {
                    let kind = kind.unwrap_or("missing");
                    return Err(format!("{ANNOTATION} is on '{}', whose type is {kind}", path.join(".")));
                }
                if found.iter().any(|other| other.header == mirror.header) {
                    return Err(format!("{ANNOTATION} {value} stands twice"));
                }
                found.push(mirror);
            }
            ("properties", Some(b'{')) => {
                let mut inner: Vec<(String, &str)> = Vec::new();
                let _ = skim::each_field(value, |name, span| {
                    inner.push((name.to_owned(), &value[span]));
                    Ok(())
                });
                for (name, schema) in inner.into_iter().filter(|(_, schema)| schema.starts_with('{')) {
                    path.push(name.into());
                    walk(schema, path, reachable, depth + 1, found)?;
                    path.pop();
                }
            }
            // These hold data and no schemas.
            ("const" | "enum" | "default" | "examples", _) => {}
            (_, Some(b'{')) => walk(value, path, false, depth + 1, found)?,
            (_, Some(b'[')) => {
                let mut elements = Vec::new();
                let _ = skim::each_element(value, |span| {
                    elements.push(&value[span]);
                    Ok(())
                });
                for element in elements.into_iter().filter(|element| element.starts_with('{')) {
                    walk(element, path, false, depth + 1, found)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The header that an annotation names, raw JSON.
fn name_of(value: &str) -> Result<HeaderName, String> {
    let bad = || format!("{ANNOTATION} {value} is no name of a header");
    let name = skim::string(value).filter(|name| !name.is_empty()).ok_or_else(bad)?;
    HeaderName::from_bytes(format!("{}{name}", header::PARAM_PREFIX).as_bytes()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(properties: &str) -> String {
        format!(r#"{{"name":"t","inputSchema":{{"type":"object","properties":{{{properties}}}}}}}"#)
    }

    fn mirrors(properties: &str) -> Mirrors {
        Mirrors::of_tool(&tool(properties)).unwrap().unwrap()
    }

    fn pairs(headers: &[(HeaderName, HeaderValue)]) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    const PLACES: &str = r#""region":{"type":"string","x-mcp-header":"Region"},"n":{"type":"integer","x-mcp-header":"N"},"deep":{"type":"object","properties":{"yes":{"type":"boolean","x-mcp-header":"Yes"}}},"other":{"type":"string"}"#;

    #[test]
    fn annotated_arguments_become_headers_and_others_do_not() {
        let all = mirrors(PLACES);
        let headers = all.headers(r#"{"other":"x","region":"Hello, 世界","n":4.2e1,"deep":{"yes":false}}"#);
        let expected = [
            ("mcp-param-region", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            ("mcp-param-n", "42"),
            ("mcp-param-yes", "false"),
        ];
        assert_eq!(pairs(&headers), expected);
        assert_eq!(pairs(&all.headers(r#"{"region":null,"n":"","deep":[]}"#)), [("mcp-param-n", "")]);
        assert_eq!(pairs(&all.headers("[]")), []);
    }

    #[test]
    fn a_tool_without_annotations_costs_nothing() {
        assert_eq!(Mirrors::of_tool(&tool(r#""a":{"type":"string"}"#)), Ok(None));
        // Neither a description nor a value nor a parameter of that name is an annotation.
        for properties in [
            r#""a":{"type":"string","description":"x-mcp-header"}"#,
            r#""a":{"type":"object","default":{"x-mcp-header":"A"}}"#,
            r#""x-mcp-header":{"type":"string"}"#,
        ] {
            assert_eq!(Mirrors::of_tool(&tool(properties)), Ok(None), "{properties}");
        }
    }

    #[test]
    fn an_annotation_that_breaks_a_rule_is_told() {
        for properties in [
            r#""a":{"type":"string","x-mcp-header":""}"#,
            r#""a":{"type":"string","x-mcp-header":7}"#,
            r#""a":{"type":"string","x-mcp-header":"My Region"}"#,
            r#""a":{"type":"string","x-mcp-header":"Region:Primary"}"#,
            r#""a":{"type":"string","x-mcp-header":"Région"}"#,
            r#""a":{"type":"string","x-mcp-header":"Region\t1"}"#,
            r#""a":{"type":"object","x-mcp-header":"A"}"#,
            r#""a":{"type":"number","x-mcp-header":"A"}"#,
            r#""a":{"type":"null","x-mcp-header":"A"}"#,
            r#""a":{"x-mcp-header":"A"}"#,
            r#""a":{"type":"string","x-mcp-header":"My"},"b":{"type":"string","x-mcp-header":"mY"}"#,
            r#""a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#,
            r#""a":{"anyOf":[{"type":"string","x-mcp-header":"A"}]}"#,
            r#""a":{"type":"object","properties":{"b":{"if":{"properties":{"c":{"type":"string","x-mcp-header":"A"}}}}}}"#,
        ] {
            assert!(Mirrors::of_tool(&tool(properties)).is_err(), "{properties}");
        }
        let root = r#"{"name":"t","inputSchema":{"type":"string","x-mcp-header":"A"}}"#;
        assert!(Mirrors::of_tool(root).is_err());
    }

    #[test]
    fn headers_and_body_are_compared_by_the_rules_of_the_specification() {
        let all = mirrors(PLACES);
        let sent = |pairs: &[(&str, &str)]| -> Vec<(HeaderName, HeaderValue)> {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let body = r#"{"region":"é","n":42}"#;
        let good = ("mcp-param-region", "=?base64?w6k=?=");
        for (headers, right) in [
            (&[good, ("mcp-param-n", "42")][..], true),
            (&[good, ("mcp-param-n", "42.0"), ("mcp-param-unknown", "x")], true),
            (&[good], false),
            (&[good, ("mcp-param-n", "43")], false),
            (&[good, ("mcp-param-n", "42"), ("mcp-param-n", "42")], false),
            (&[good, ("mcp-param-n", "42"), ("mcp-param-yes", "true")], false),
            (&[("mcp-param-region", "=?base64?%%?="), ("mcp-param-n", "42")], false),
            (&[("mcp-param-region", "e"), ("mcp-param-n", "42")], false),
        ] {
            assert_eq!(all.check(body, &sent(headers)).is_ok(), right, "{headers:?}");
        }
        assert!(all.check(r#"{"n":null}"#, &[]).is_ok());
        let twice = sent(&[("mcp-param-n", "1")]);
        assert!(all.check(r#"{"n":1,"n":2}"#, &twice).is_err());
    }

    proptest! {
        #[test]
        fn what_is_mirrored_is_accepted(region in any::<String>(), n in -9_007_199_254_740_991_i64..=9_007_199_254_740_991, yes: bool) {
            let all = mirrors(PLACES);
            let body = format!(r#"{{"region":{},"n":{n},"deep":{{"yes":{yes}}}}}"#, skim::quote(&region));
            let headers = all.headers(&body);
            prop_assert_eq!(headers.len(), 3);
            prop_assert_eq!(all.check(&body, &headers), Ok(()));
        }

        #[test]
        fn no_definition_breaks_the_walk(text in any::<String>()) {
            let _ = Mirrors::of_tool(&format!("x-mcp-header{text}"));
            let _ = Mirrors::of_tool(&tool(&format!(r#""x-mcp-header":{text}"#)));
        }
    }
}
