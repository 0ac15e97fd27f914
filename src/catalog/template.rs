//! Whether a URI is one that a resource template can make (RFC 6570, as far as matching goes).

/// A template cut into literals and expressions.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// A value; whether it may hold slashes (`{+path}`, `{#x}`, `{/x}`, `{?x}`, `{x*}`).
    Value {
        any: bool,
    },
}

impl Template {
    /// Cuts a template. What is no expression is literal.
    pub fn parse(template: &str) -> Template {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let Some(length) = rest[open..].find('}') else { break };
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let expression = &rest[open + 1..open + length];
            let operator = expression.starts_with(['+', '#', '/', '?', '&', ';', '.']);
            parts.push(Part::Value { any: operator || expression.contains(['*', ',']) });
            rest = &rest[open + length + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Template { parts }
    }

    /// Whether `uri` matches. Linear in the URI for each literal; a template cannot make it slow.
    pub fn matches(&self, uri: &str) -> bool {
        let mut rest = uri;
        let mut pending: Option<bool> = None;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Value { any } => pending = Some(pending.unwrap_or(false) | any),
                Part::Literal(literal) => {
                    let last = index + 1 == self.parts.len();
                    let at = match pending.take() {
                        None if rest.starts_with(literal.as_str()) => 0,
                        None => return false,
                        Some(any) => match value_before(rest, literal, any, last) {
                            Some(at) => at,
                            None => return false,
                        },
                    };
                    rest = &rest[at + literal.len()..];
                }
            }
        }
        match pending {
            None => rest.is_empty(),
            Some(true) => true,
            Some(false) => !rest.contains('/'),
        }
    }
}

/// How long a value is that stands before `literal`.
fn value_before(rest: &str, literal: &str, any: bool, last: bool) -> Option<usize> {
    let at = if last { rest.strip_suffix(literal).map(str::len) } else { rest.find(literal) }?;
    (any || !rest[..at].contains('/')).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_what_they_can_make() {
        for (template, uri, expected) in [
            ("test://template/{id}/data", "test://template/123/data", true),
            ("test://template/{id}/data", "test://template/1/2/data", false),
            ("test://template/{id}/data", "test://template/1/other", false),
            ("file:///{+path}", "file:///a/b/c.txt", true),
            ("file:///{path}", "file:///a/b", false),
            ("demo://greeting/{name}", "demo://greeting/", true),
            ("x://{a}{b}", "x://ab", true),
            ("x://exact", "x://exact", true),
            ("x://exact", "x://exact2", false),
            ("x://{q*}", "x://a/b", true),
            ("x://{broken", "x://{broken", true),
        ] {
            assert_eq!(Template::parse(template).matches(uri), expected, "{template} {uri}");
        }
    }
}
