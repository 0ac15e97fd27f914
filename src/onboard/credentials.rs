//! Credentials that stand in another program's file, and the references that take their place.

use std::collections::BTreeMap;

use crate::config::foreign::{Entry, Reached};

/// A credential that was taken out of an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Lifted {
    /// The variable that is referred to now.
    pub variable: String,
    /// Where it stood, such as `env.API_KEY`.
    pub place: String,
    /// The credential.
    pub value: String,
}

/// Shows no credential.
impl std::fmt::Debug for Lifted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lifted")
            .field("variable", &self.variable)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Parts of a name that say that its value is a credential.
const NAMES: [&str; 12] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "auth",
    "credential",
    "cookie",
    "dsn",
    "private",
    "pat",
];
/// How well-known credentials begin, whatever they are called.
const BEGINNINGS: [&str; 14] = [
    "sk-",
    "sk_",
    "pk_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "eyJ",
    "hf_",
];
/// What stands before a credential in a header.
const SCHEMES: [&str; 4] = ["Bearer ", "Basic ", "Token ", "ApiKey "];

/// Variables that have been given away, and what for.
pub(super) type Taken = BTreeMap<String, String>;

/// Replaces what looks like a credential by a reference to a variable, and gives back what was there. Two values never
/// share a variable.
pub(super) fn lift(entry: &mut Entry, taken: &mut Taken) -> Vec<Lifted> {
    let mut lifted = Vec::new();
    let server = entry.name.clone();
    let mut take = |wanted: String, place: String, text: &mut String| {
        let (scheme, secret) = split_scheme(text);
        let (scheme, secret) = (scheme.to_owned(), secret.to_owned());
        let variable = free(wanted, &server, &secret, taken);
        taken.insert(variable.clone(), secret.clone());
        *text = format!("{scheme}${{env:{variable}}}");
        lifted.push(Lifted { variable, place, value: secret });
    };
    match &mut entry.reached {
        Reached::Program { args, env, .. } => {
            for (name, value) in env.iter_mut().filter(|(name, value)| is_credential(name, value)) {
                take(variable(name), format!("env.{name}"), value);
            }
            arguments(&server, args, &mut take);
        }
        Reached::Url { url, headers, .. } => {
            for (name, value) in headers.iter_mut().filter(|(name, value)| is_credential(name, value)) {
                take(variable(&format!("{server}_{name}")), format!("headers.{name}"), value);
            }
            if let Some((before, secret, after)) = in_url(url) {
                let (before, after) = (before.to_owned(), after.to_owned());
                let mut part = secret.to_owned();
                take(variable(&format!("{server}_url_token")), "url".to_owned(), &mut part);
                *url = format!("{before}{part}{after}");
            }
        }
    }
    lifted
}

/// The variable that was wanted, or another if that one holds another value.
fn free(wanted: String, server: &str, value: &str, taken: &Taken) -> String {
    let fits = |name: &String| taken.get(name).is_none_or(|held| held == value);
    let own = variable(&format!("{server}_{wanted}"));
    let numbered = (2..).map(|number| format!("{own}_{number}"));
    [wanted, own.clone()].into_iter().chain(numbered).find(fits).unwrap_or(own)
}

/// `--api-key=…` and `--api-key …`, and what looks like a credential by itself.
fn arguments(server: &str, args: &mut [String], take: &mut impl FnMut(String, String, &mut String)) {
    for number in 0..args.len() {
        let flag = number.checked_sub(1).map_or("", |before| args[before].as_str());
        let flag = if flag.starts_with('-') && !flag.contains('=') {
            flag.trim_start_matches('-').to_owned()
        } else {
            String::new()
        };
        let place = format!("args[{number}]");
        let arg = &mut args[number];
        if let Some((name, value)) = arg.split_once('=').filter(|(name, _)| name.starts_with('-')) {
            if is_credential(name, value) {
                let (name, mut value) = (name.to_owned(), value.to_owned());
                take(variable(&format!("{server}_{name}")), place, &mut value);
                *arg = format!("{name}={value}");
            }
        } else if !arg.starts_with('-') && is_credential(&flag, arg) {
            let name = if flag.is_empty() { "argument" } else { &flag };
            take(variable(&format!("{server}_{name}")), place, arg);
        }
    }
}

/// A password or a token in a URL: what stands before it, itself, and what follows.
fn in_url(url: &str) -> Option<(&str, &str, &str)> {
    let rest = url.find("://")? + 3;
    let end = url[rest..].find('/').map_or(url.len(), |at| rest + at);
    if let Some(at) = url[rest..end].rfind('@')
        && let Some(colon) = url[rest..rest + at].find(':')
        && !url[rest + colon + 1..rest + at].contains("${")
    {
        return Some((&url[..rest + colon + 1], &url[rest + colon + 1..rest + at], &url[rest + at..]));
    }
    let query = url.find('?')?;
    let mut at = query + 1;
    for pair in url[query + 1..].split('&') {
        if let Some((name, value)) = pair.split_once('=')
            && is_credential(name, value)
        {
            let from = at + name.len() + 1;
            return Some((&url[..from], &url[from..from + value.len()], &url[from + value.len()..]));
        }
        at += pair.len() + 1;
    }
    None
}

/// Whether a value is a credential, by its name or by its looks. References are none.
fn is_credential(name: &str, value: &str) -> bool {
    let (_, value) = split_scheme(value);
    if value.is_empty() || value.contains("${") {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let named = words.clone().any(|word| NAMES.contains(&word))
        || NAMES.iter().filter(|part| part.len() > 3).any(|part| name.contains(part));
    // Switches and numbers are named like credentials now and then: `USE_AUTH=true`, `MAX_TOKENS=500`.
    let harmless = value.len() < 4
        || matches!(value, "true" | "false" | "none" | "null")
        || value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || value.starts_with(['/', '~'])
        || value.starts_with("./");
    (named && !harmless) || BEGINNINGS.iter().any(|start| value.starts_with(start) && value.len() >= 16)
}

fn split_scheme(value: &str) -> (&str, &str) {
    let scheme = SCHEMES
        .iter()
        .find(|scheme| value.get(..scheme.len()).is_some_and(|v| v.eq_ignore_ascii_case(scheme)));
    value.split_at(scheme.map_or(0, |scheme| scheme.len()))
}

/// A variable's name made of any text.
fn variable(text: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let mut name = String::new();
    for c in text.chars().map(upper) {
        if c != '_' || !(name.is_empty() || name.ends_with('_')) {
            name.push(c);
        }
    }
    let name = name.trim_end_matches('_');
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::foreign;

    fn only(text: &str) -> (Entry, Vec<Lifted>) {
        let mut foreign = foreign::read(Path::new("mcp.json"), text).unwrap();
        let mut entry = foreign.entries.remove(0);
        let lifted = lift(&mut entry, &mut Taken::new());
        (entry, lifted)
    }

    #[test]
    fn no_credential_stays_in_an_entry_wherever_it_stood() {
        let (entry, lifted) = only(
            r#"{"mcpServers":{"git hub":{"command":"npx","args":["-y","pkg","--api-key=canary-1x","--token","canary-2x","ghp_canary3456789"],
                "env":{"API_KEY":"canary-4x","MAX_TOKENS":"500","USE_AUTH":"true","KEY_FILE":"/etc/key","HOME":"/h","SET":"${API_KEY}"}}}}"#,
        );
        let text = format!("{entry:?}");
        assert!(!text.contains("canary"), "{text}");
        let told: Vec<(&str, &str)> =
            lifted.iter().map(|one| (one.variable.as_str(), one.place.as_str())).collect();
        assert_eq!(
            told,
            [
                ("API_KEY", "env.API_KEY"),
                ("GIT_HUB_API_KEY", "args[2]"),
                ("GIT_HUB_TOKEN", "args[4]"),
                ("GIT_HUB_ARGUMENT", "args[5]"),
            ]
        );
        assert!(
            text.contains("--api-key=${env:GIT_HUB_API_KEY}") && text.contains(r#"("MAX_TOKENS", "500")"#)
        );
        assert!(!format!("{lifted:?}").contains("canary"));
    }

    #[test]
    fn headers_and_urls_are_looked_at_too() {
        let (entry, lifted) = only(
            r#"{"mcpServers":{"docs":{"url":"https://h/mcp?api_key=canary-5x&v=1","headers":{"Authorization":"Bearer canary-6x","X-Team":"blue"}}}}"#,
        );
        let Reached::Url { url, headers, .. } = &entry.reached else { panic!("{entry:?}") };
        assert_eq!(url, "https://h/mcp?api_key=${env:DOCS_URL_TOKEN}&v=1");
        assert_eq!(headers[0].1, "Bearer ${env:DOCS_AUTHORIZATION}");
        assert_eq!(headers[1].1, "blue");
        assert_eq!(lifted[0].value, "canary-6x");
        let (entry, _) = only(r#"{"mcpServers":{"docs":{"url":"https://me:canary-7x@h/mcp"}}}"#);
        let Reached::Url { url, .. } = &entry.reached else { panic!("{entry:?}") };
        assert_eq!(url, "https://me:${env:DOCS_URL_TOKEN}@h/mcp");
    }

    #[test]
    fn two_values_never_share_a_variable() {
        let mut taken = Taken::new();
        let text =
            |value| format!(r#"{{"mcpServers":{{"one":{{"command":"x","env":{{"API_KEY":"{value}"}}}}}}}}"#);
        let mut names = Vec::new();
        for value in ["canary-1", "canary-1", "canary-2", "canary-3"] {
            let mut entry = foreign::read(Path::new("x"), &text(value)).unwrap().entries.remove(0);
            names.push(lift(&mut entry, &mut taken).remove(0).variable);
        }
        assert_eq!(names, ["API_KEY", "API_KEY", "ONE_API_KEY", "ONE_API_KEY_2"]);
    }
}
