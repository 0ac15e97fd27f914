//! References of other programs, in our form.

use std::collections::BTreeMap;

use super::flavor::Flavor;

/// A text in our form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    pub text: String,
    /// What the reader of the entry should know.
    pub notes: Vec<String>,
    /// References to what only an editor has, such as the folder that is open in it.
    pub unknown: Vec<String>,
}

/// What VS Code asks its user for, by id.
pub(super) type Inputs = BTreeMap<String, String>;

/// Translates a text that one of these programs would expand.
pub(super) fn translate(text: &str, flavor: Flavor, inputs: &Inputs) -> Translated {
    let mut out = Translated::default();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{']) {
        out.text.push_str(&rest[..at]);
        rest = &rest[at..];
        let used = braced(rest, flavor, inputs, &mut out)
            .or_else(|| (flavor == Flavor::Gemini).then(|| bare(rest, &mut out)).flatten())
            .unwrap_or_else(|| literal(rest, &mut out));
        rest = &rest[used..];
    }
    out.text.push_str(rest);
    out
}

/// `${…}`, or `{env:…}` of OpenCode. Gives back how many bytes it was.
fn braced(text: &str, flavor: Flavor, inputs: &Inputs, out: &mut Translated) -> Option<usize> {
    let (open, inner) = match text.strip_prefix("${") {
        Some(inner) => (2, inner),
        None if flavor == Flavor::OpenCode => (1, text.strip_prefix('{')?),
        None => return None,
    };
    let end = inner.find('}')?;
    let inner = &inner[..end];
    if open == 1 && !inner.starts_with("env:") && !inner.starts_with("file:") {
        return None;
    }
    out.reference(inner, inputs);
    Some(open + end + 1)
}

/// `$NAME`.
fn bare(text: &str, out: &mut Translated) -> Option<usize> {
    let name = text.strip_prefix('$')?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    let name = is_name(&name[..end]).then_some(&name[..end])?;
    out.text.push_str(&format!("${{env:{name}}}"));
    Some(1 + end)
}

/// A character that begins no reference there, and must not begin one here.
fn literal(text: &str, out: &mut Translated) -> usize {
    if text.starts_with("${") {
        out.text.push_str("$${");
        return 2;
    }
    out.text.push_str(&text[..1]);
    1
}

impl Translated {
    fn reference(&mut self, inner: &str, inputs: &Inputs) {
        match inner.split_once(':') {
            Some(("env", name)) => self.variable(name),
            Some(("input", id)) => self.input(id, inputs),
            Some(("file", path)) => self.text.push_str(&format!("${{file:{path}}}")),
            None if inner == "userHome" => self.text.push_str("${env:HOME}"),
            None if inner == "pathSeparator" || inner == "/" => self.text.push('/'),
            Some((name, _)) if inner[name.len()..].starts_with(":-") => self.variable(inner),
            None if is_name(inner) && !EDITORS_OWN.contains(&inner) => self.variable(inner),
            _ => {
                self.unknown.push(format!("${{{inner}}}"));
                self.text.push_str(&format!("$${{{inner}}}"));
            }
        }
    }

    /// A variable of the environment, with or without a default.
    fn variable(&mut self, name: &str) {
        let plain = name.split_once(":-").map_or(name, |(name, _)| name);
        if is_name(plain) {
            self.text.push_str(&format!("${{env:{name}}}"));
        } else {
            self.unknown.push(format!("${{{name}}}"));
            self.text.push_str(&format!("$${{{name}}}"));
        }
    }

    /// What an editor asks its user for comes from the environment of a daemon.
    fn input(&mut self, id: &str, inputs: &Inputs) {
        let name = variable_name(id);
        let asked = inputs.get(id).map(|what| format!(" (\"{what}\")")).unwrap_or_default();
        self.notes.push(format!("the editor asked for `{id}`{asked}; set the variable {name}"));
        self.text.push_str(&format!("${{env:{name}}}"));
    }
}

/// Variables that an editor fills in from what is open in it.
const EDITORS_OWN: [&str; 8] = [
    "workspaceFolder",
    "workspaceFolderBasename",
    "workspaceRoot",
    "cwd",
    "file",
    "fileDirname",
    "selectedText",
    "execPath",
];

/// A name for an environment variable, made of any text.
pub(super) fn variable_name(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let name = name.trim_matches('_');
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name.to_owned() }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, flavor: Flavor) -> String {
        translate(text, flavor, &Inputs::new()).text
    }

    #[test]
    fn every_spelling_of_a_variable_becomes_ours() {
        for (theirs, flavor, ours) in [
            ("${TOKEN}", Flavor::ClaudeCode, "${env:TOKEN}"),
            ("a ${TOKEN:-none} b", Flavor::ClaudeCode, "a ${env:TOKEN:-none} b"),
            ("${env:TOKEN}", Flavor::Cursor, "${env:TOKEN}"),
            ("$TOKEN/x", Flavor::Gemini, "${env:TOKEN}/x"),
            ("$TOKEN/x", Flavor::Common, "$TOKEN/x"),
            ("{env:TOKEN}", Flavor::OpenCode, "${env:TOKEN}"),
            (r#"{"a":1}"#, Flavor::OpenCode, r#"{"a":1}"#),
            ("${userHome}${/}x", Flavor::Cursor, "${env:HOME}/x"),
            ("${", Flavor::Common, "$${"),
            ("100$", Flavor::Gemini, "100$"),
            ("ü${A}ü", Flavor::Common, "ü${env:A}ü"),
        ] {
            assert_eq!(text(theirs, flavor), ours, "{theirs}");
        }
    }

    #[test]
    fn what_only_an_editor_knows_is_named_and_stays_as_it_was() {
        let translated = translate("${workspaceFolder}/x", Flavor::VsCode, &Inputs::new());
        assert_eq!(translated.unknown, ["${workspaceFolder}"]);
        assert_eq!(translated.text, "$${workspaceFolder}/x", "in our form this is the literal text");
    }

    #[test]
    fn what_an_editor_would_ask_for_comes_from_a_variable() {
        let inputs = Inputs::from([("api-key".to_owned(), "Your key".to_owned())]);
        let translated = translate("Bearer ${input:api-key}", Flavor::VsCode, &inputs);
        assert_eq!(translated.text, "Bearer ${env:API_KEY}");
        assert_eq!(
            translated.notes,
            [r#"the editor asked for `api-key` ("Your key"); set the variable API_KEY"#]
        );
    }
}
