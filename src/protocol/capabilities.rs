//! What a client can be asked, as a few bits: small enough to travel in a session id.

use super::method;
use super::skim;

/// The capabilities of a client that concern questions of servers (MCP, `ClientCapabilities`). What else a client
/// declares concerns nobody but the server that it speaks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientCapabilities(u8);

const SAMPLING: u8 = 1;
const SAMPLING_TOOLS: u8 = 1 << 1;
const SAMPLING_CONTEXT: u8 = 1 << 2;
const FORM: u8 = 1 << 3;
const URL: u8 = 1 << 4;
const ROOTS: u8 = 1 << 5;
const ROOTS_CHANGE: u8 = 1 << 6;

impl ClientCapabilities {
    /// No capability at all.
    pub const NONE: ClientCapabilities = ClientCapabilities(0);

    /// Reads `capabilities`, raw JSON.
    pub fn read(json: &str) -> ClientCapabilities {
        let mut bits = 0;
        if let Some(sampling) = skim::field_text(json, "sampling") {
            bits |= SAMPLING;
            bits |= if skim::field(sampling, "tools").is_some() { SAMPLING_TOOLS } else { 0 };
            bits |= if skim::field(sampling, "context").is_some() { SAMPLING_CONTEXT } else { 0 };
        }
        if let Some(elicitation) = skim::field_text(json, "elicitation") {
            let url = skim::field(elicitation, "url").is_some();
            // An empty object means form mode (2025-11-25, `client/elicitation`).
            let form = !url || skim::field(elicitation, "form").is_some();
            bits |= if url { URL } else { 0 };
            bits |= if form { FORM } else { 0 };
        }
        if let Some(roots) = skim::field_text(json, "roots") {
            let change = skim::field_text(roots, "listChanged") == Some("true");
            bits |= ROOTS | if change { ROOTS_CHANGE } else { 0 };
        }
        ClientCapabilities(bits)
    }

    /// The same as JSON text.
    pub fn to_json(self) -> String {
        let mut fields = Vec::new();
        if self.has(SAMPLING) {
            let inner: Vec<&str> = [(SAMPLING_TOOLS, r#""tools":{}"#), (SAMPLING_CONTEXT, r#""context":{}"#)]
                .into_iter()
                .filter_map(|(bit, text)| self.has(bit).then_some(text))
                .collect();
            fields.push(format!(r#""sampling":{{{}}}"#, inner.join(",")));
        }
        match (self.has(FORM), self.has(URL)) {
            (true, false) => fields.push(r#""elicitation":{}"#.to_owned()),
            (true, true) => fields.push(r#""elicitation":{"form":{},"url":{}}"#.to_owned()),
            (false, true) => fields.push(r#""elicitation":{"url":{}}"#.to_owned()),
            (false, false) => {}
        }
        match (self.has(ROOTS), self.has(ROOTS_CHANGE)) {
            (true, true) => fields.push(r#""roots":{"listChanged":true}"#.to_owned()),
            (true, false) => fields.push(r#""roots":{}"#.to_owned()),
            _ => {}
        }
        format!("{{{}}}", fields.join(","))
    }

    /// Whether a client with these capabilities may be asked `method` with `params` (raw JSON).
    pub fn allow(self, method: &str, params: &str) -> bool {
        match method {
            method::CREATE_MESSAGE => self.has(SAMPLING),
            method::ELICIT if skim::string_field(params, "mode").as_deref() == Some("url") => self.has(URL),
            method::ELICIT => self.has(FORM),
            method::ROOTS_LIST => self.has(ROOTS),
            _ => false,
        }
    }

    /// What a link that several clients share may declare of these: their answers are one client's own, but a server
    /// that is told the roots of one takes them for everybody's.
    #[must_use]
    pub fn shareable(self) -> ClientCapabilities {
        ClientCapabilities(self.0 & !(ROOTS | ROOTS_CHANGE))
    }

    /// What a client would have had to declare to be asked `method` with `params`: JSON text, as in
    /// `requiredCapabilities`.
    pub fn required(method: &str, params: &str) -> &'static str {
        match method {
            method::CREATE_MESSAGE => r#"{"sampling":{}}"#,
            method::ELICIT if skim::string_field(params, "mode").as_deref() == Some("url") => {
                r#"{"elicitation":{"url":{}}}"#
            }
            method::ELICIT => r#"{"elicitation":{}}"#,
            method::ROOTS_LIST => r#"{"roots":{}}"#,
            _ => "{}",
        }
    }

    /// Whether a client says when its roots have changed.
    pub fn tells_of_roots(self) -> bool {
        self.has(ROOTS_CHANGE)
    }

    /// Whether a client can be sent to a URL.
    pub fn visits_urls(self) -> bool {
        self.has(URL)
    }

    /// Whether a client can be asked anything.
    pub fn any(self) -> bool {
        self.0 != 0
    }

    /// The bits, for a session id.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The inverse of [`ClientCapabilities::bits`].
    pub fn from_bits(bits: u8) -> ClientCapabilities {
        ClientCapabilities(bits)
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_survive_the_round_trip() {
        for json in [
            "{}",
            r#"{"sampling":{}}"#,
            r#"{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{}}"#,
            r#"{"elicitation":{}}"#,
            r#"{"elicitation":{"url":{}}}"#,
            r#"{"roots":{"listChanged":true}}"#,
        ] {
            let read = ClientCapabilities::read(json);
            assert_eq!(read.to_json(), json);
            assert_eq!(ClientCapabilities::from_bits(read.bits()), read);
        }
    }

    #[test]
    fn only_what_was_declared_may_be_asked() {
        let form = ClientCapabilities::read(r#"{"elicitation":{}}"#);
        assert!(form.allow(method::ELICIT, r#"{"message":"?"}"#));
        assert!(!form.allow(method::ELICIT, r#"{"mode":"url"}"#));
        assert!(!form.allow(method::CREATE_MESSAGE, "{}"));
        assert!(!form.allow("anything/else", "{}"));
    }
}
