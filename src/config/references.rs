//! References in values: `${env:NAME}`, `${env:NAME:-default}`, `${file:/path}`, `${credential:name}`, `${trunkline}`,
//! and `$${` for a literal `${`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file that a reference reads: far more than any credential, far less than memory.
const MAX_FILE: u64 = 64 << 10;

/// Where systemd puts the credentials of a unit (systemd.exec(5)).
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// What references refer to.
#[derive(Debug)]
pub(super) struct Scope {
    pub env: HashMap<String, String>,
    /// The running executable.
    pub exe: PathBuf,
    /// The folder from which relative paths of the file are taken.
    pub folder: PathBuf,
}

/// A reference that cannot be resolved. Neither text holds the value that surrounds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unresolved {
    /// The end of a sentence that begins with the key.
    pub problem: String,
    pub help: String,
}

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    /// What stands between `${` and `}`.
    Reference(&'a str),
    /// A `${` that nothing closes.
    Open,
}

impl Scope {
    /// The text with every reference replaced, or all that hinders it.
    pub fn resolve(&self, text: &str) -> Result<String, Vec<Unresolved>> {
        let mut resolved = String::with_capacity(text.len());
        let mut faults = Vec::new();
        for piece in pieces(text) {
            match self.piece(piece) {
                Ok(part) => resolved.push_str(&part),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(resolved) } else { Err(faults) }
    }

    fn piece(&self, piece: Piece<'_>) -> Result<String, Unresolved> {
        let inner = match piece {
            Piece::Literal(text) => return Ok(text.to_owned()),
            Piece::Open => {
                return Err(Unresolved {
                    problem: "has a `${` without a `}`".to_owned(),
                    help: "close the reference, or write `$${` for a literal `${`".to_owned(),
                });
            }
            Piece::Reference(inner) => inner,
        };
        match inner.split_once(':') {
            Some(("env", name)) => self.variable(name),
            Some(("file", path)) => self.file(path),
            Some(("credential", name)) => self.credential(name),
            None if inner == "trunkline" => Ok(self.exe.to_string_lossy().into_owned()),
            _ => Err(unknown(inner)),
        }
    }

    fn variable(&self, text: &str) -> Result<String, Unresolved> {
        let (name, default) =
            text.split_once(":-").map_or((text, None), |(name, default)| (name, Some(default)));
        if !is_variable(name) {
            return Err(Unresolved {
                problem: "has a `${env:…}` in which no variable's name stands".to_owned(),
                help: "write `${env:NAME}` or `${env:NAME:-default}`, the name in letters, digits and `_`"
                    .to_owned(),
            });
        }
        // As in a shell, `:-` stands in for an empty variable too.
        let value = match default {
            Some(default) => {
                Some(self.env.get(name).filter(|value| !value.is_empty()).map_or(default, String::as_str))
            }
            None => self.env.get(name).map(String::as_str),
        };
        value.map(str::to_owned).ok_or_else(|| Unresolved {
            problem: format!("refers to the environment variable {name}, which is not set"),
            help: format!(
                "set {name} where the gateway is started, or write `$${{env:{name}}}` for the literal text"
            ),
        })
    }

    fn file(&self, path: &str) -> Result<String, Unresolved> {
        let help = "name a small text file that the gateway may read, such as `${file:/run/secrets/token}`";
        self.read(&self.folder.join(path), &format!("the file {path}"), help)
    }

    /// A credential that systemd has put into the folder for this unit.
    fn credential(&self, name: &str) -> Result<String, Unresolved> {
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !plain {
            return Err(Unresolved {
                problem: "has a `${credential:…}` in which no credential's name stands".to_owned(),
                help: "write `${credential:NAME}`, the name as in LoadCredential=NAME:/path".to_owned(),
            });
        }
        let folder = self.env.get(CREDENTIALS_VARIABLE).filter(|folder| !folder.is_empty());
        let Some(folder) = folder else {
            return Err(Unresolved {
                problem: format!("refers to the credential {name}, and {CREDENTIALS_VARIABLE} is not set"),
                help: format!(
                    "start the gateway by systemd with LoadCredential={name}:/path, or write `${{file:/path}}`"
                ),
            });
        };
        let help = format!("add LoadCredential={name}:/path to the unit (systemctl edit trunkline)");
        self.read(&Path::new(folder).join(name), &format!("the credential {name}"), &help)
    }

    /// The text of a small file, without the newline at its end.
    fn read(&self, path: &Path, what: &str, help: &str) -> Result<String, Unresolved> {
        let fail = |why: &str| Unresolved {
            problem: format!("refers to {what}, which {why}"),
            help: help.to_owned(),
        };
        let mut text = Vec::new();
        let file = File::open(path).map_err(|e| fail(&format!("cannot be opened: {e}")))?;
        let read = file.take(MAX_FILE + 1).read_to_end(&mut text);
        read.map_err(|e| fail(&format!("cannot be read: {e}")))?;
        if text.len() as u64 > MAX_FILE {
            return Err(fail("is larger than 64 KiB"));
        }
        let mut text = String::from_utf8(text).map_err(|_| fail("is not UTF-8 text"))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

/// The value with all but its references hidden, for a line that is shown to people.
pub(super) fn veil(text: &str) -> String {
    let mut shown = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Reference(inner) if is_showable(inner) => shown += &format!("${{{inner}}}"),
            // One run of stars for however many pieces: their number is nobody's business either.
            _ if shown.ends_with("***") => {}
            _ => shown += "***",
        }
    }
    if shown.is_empty() { "***".to_owned() } else { shown }
}

/// Whether a text holds what would be a reference elsewhere.
pub(super) fn has_reference(text: &str) -> bool {
    text.contains("${")
}

fn unknown(inner: &str) -> Unresolved {
    let name = inner.split([':', '-']).next().unwrap_or(inner);
    let help = "references are `${env:NAME}`, `${file:/path}`, `${credential:name}` and `${trunkline}`; write `$${` for a literal `${`";
    if is_variable(inner) || (is_variable(name) && inner[name.len()..].starts_with(":-")) {
        return Unresolved {
            problem: format!("has `${{{name}}}`, a reference that does not say to what"),
            help: format!(
                "write `${{env:{name}}}` for the environment variable, or `$${{` for a literal `${{`"
            ),
        };
    }
    match inner.split_once(':') {
        Some((scheme, _)) if is_variable(scheme) => Unresolved {
            problem: format!("has a reference of the unknown kind `${{{scheme}:…}}`"),
            help: format!("write `${{env:VAR}}` for an environment variable; {help}"),
        },
        _ => Unresolved { problem: "has a reference of an unknown kind".to_owned(), help: help.to_owned() },
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a reference is well formed, and so certainly no part of a credential.
fn is_showable(inner: &str) -> bool {
    match inner.split_once(':') {
        Some(("env", name)) => is_variable(name),
        Some(("file", path)) => Path::new(path).is_absolute(),
        Some(("credential", name)) => name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)),
        _ => is_variable(inner),
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // `$${`: the first `$` goes, and what follows is plain text.
            pieces.push(Piece::Literal(&rest[..at - 1]));
            pieces.push(Piece::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Literal(&rest[..at]));
        let Some(end) = rest[at..].find('}') else {
            pieces.push(Piece::Open);
            return pieces;
        };
        pieces.push(Piece::Reference(&rest[at + 2..at + end]));
        rest = &rest[at + end + 1..];
    }
    pieces.push(Piece::Literal(rest));
    pieces.retain(|piece| *piece != Piece::Literal(""));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(folder: &Path) -> Scope {
        let env = [("TOKEN", "t0ken"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Scope { env: env.into(), exe: "/opt/trunkline".into(), folder: folder.to_owned() }
    }

    #[test]
    fn references_are_replaced_wherever_they_stand_and_escapes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "k3y\n").unwrap();
        let scope = scope(dir.path());
        for (text, value) in [
            ("plain", "plain"),
            ("", ""),
            ("Bearer ${env:TOKEN}!", "Bearer t0ken!"),
            ("${env:TOKEN}${env:TOKEN}", "t0kent0ken"),
            ("<${env:EMPTY}>", "<>"),
            ("${env:EMPTY:-x} ${env:NOPE:-} ${env:TOKEN:-y}", "x  t0ken"),
            ("$${env:TOKEN}", "${env:TOKEN}"),
            ("a$$b$c $", "a$$b$c $"),
            ("${trunkline} x", "/opt/trunkline x"),
            ("${file:key}", "k3y"),
        ] {
            assert_eq!(scope.resolve(text), Ok(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_told_without_the_text_around_it() {
        let scope = scope(Path::new("/"));
        for (text, problem) in [
            ("pw${env:NOPE}", "refers to the environment variable NOPE, which is not set"),
            ("pw${TOKEN}", "has `${TOKEN}`, a reference that does not say to what"),
            ("pw${TOKEN:-fallback}", "has `${TOKEN}`, a reference that does not say to what"),
            ("pw${vault:x}", "has a reference of the unknown kind `${vault:…}`"),
            ("pw${env:A B}", "has a `${env:…}` in which no variable's name stands"),
            ("pw${-}", "has a reference of an unknown kind"),
            ("pw${env:TOKEN", "has a `${` without a `}`"),
            (
                "pw${file:/nope}",
                "refers to the file /nope, which cannot be opened: No such file or directory (os error 2)",
            ),
        ] {
            let faults = scope.resolve(text).unwrap_err();
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].problem, problem);
            assert!(!faults[0].problem.contains("pw") && !faults[0].help.contains("pw"));
            assert!(!faults[0].help.contains("fallback"));
        }
    }

    #[test]
    fn a_credential_is_read_from_the_folder_that_systemd_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("docs-token"), "t0ken\n").unwrap();
        let mut scope = scope(Path::new("/"));
        let unset = scope.resolve("pw${credential:docs-token}").unwrap_err().remove(0);
        assert!(unset.problem.contains("CREDENTIALS_DIRECTORY is not set"), "{unset:?}");
        scope.env.insert("CREDENTIALS_DIRECTORY".into(), dir.path().display().to_string());
        assert_eq!(scope.resolve("Bearer ${credential:docs-token}"), Ok("Bearer t0ken".to_owned()));
        let missing = scope.resolve("pw${credential:other}").unwrap_err().remove(0);
        assert!(missing.problem.starts_with("refers to the credential other, which cannot be opened"));
        assert!(missing.help.contains("LoadCredential=other:"), "{missing:?}");
        for name in ["", "../x", ".", "a/b"] {
            let fault = scope.resolve(&format!("pw${{credential:{name}}}")).unwrap_err().remove(0);
            assert!(fault.problem.contains("no credential's name"), "{fault:?}");
        }
        assert_eq!(veil("Bearer ${credential:docs-token}"), "***${credential:docs-token}");
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("large"), vec![b'x'; 65 << 10]).unwrap();
        std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
        let scope = scope(dir.path());
        let problem = |text: &str| scope.resolve(text).unwrap_err().remove(0).problem;
        assert!(problem("${file:large}").ends_with("is larger than 64 KiB"));
        assert!(problem("${file:binary}").ends_with("is not UTF-8 text"));
    }

    #[test]
    fn a_veil_leaves_references_and_nothing_else() {
        for (text, shown) in [
            ("hunter2", "***"),
            ("", "***"),
            ("Bearer ${env:TOKEN}", "***${env:TOKEN}"),
            ("a$${b", "***"),
            ("a${b", "***"),
            ("${p@ss}${env:X}", "***${env:X}"),
        ] {
            assert_eq!(veil(text), shown, "{text}");
        }
    }
}
