//! The part of the gateway's environment that every server gets.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What a program needs to find its tools, its user's files and its language, and no secret.
///
/// The first line is the list that the MCP SDKs pass by default to a stdio server (`DEFAULT_INHERITED_ENV_VARS` in
/// the TypeScript and Python SDKs). The rest is of the same kind: language, time zone, temporary files, and the
/// user's own directories of the XDG base directory specification.
const INHERITED: [&str; 14] = [
    "HOME",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "USER", //
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR", //
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
];

/// Prefix of the locale categories (`LC_ALL`, `LC_CTYPE`, …).
const LOCALE_PREFIX: &[u8] = b"LC_";

/// Start of a value that old versions of bash take for a function definition; the SDKs leave these out too.
const SHELL_FUNCTION: &[u8] = b"()";

/// The variables of `parent` that are passed to every server. Whatever else a server needs, its entry names.
pub fn base_environment(parent: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    parent.filter(|(key, value)| is_inherited(key) && !value.as_bytes().starts_with(SHELL_FUNCTION)).collect()
}

fn is_inherited(key: &OsStr) -> bool {
    key.as_bytes().starts_with(LOCALE_PREFIX) || INHERITED.iter().any(|name| key == *name)
}

#[cfg(test)]
mod tests {
    use super::base_environment;

    fn kept(variables: &[(&str, &str)]) -> Vec<String> {
        let parent = variables.iter().map(|(key, value)| (key.into(), value.into()));
        base_environment(parent).into_iter().filter_map(|(key, _)| key.into_string().ok()).collect()
    }

    #[test]
    fn a_server_inherits_its_users_surroundings_and_no_credential() {
        let all = [
            ("PATH", "/bin"),
            ("HOME", "/h"),
            ("LC_ALL", "C"),
            ("XDG_CACHE_HOME", "/c"),
            ("GITHUB_TOKEN", "s"),
            ("TRUNKLINE_KEY", "s"),
            ("HTTP_PROXY", "http://user:secret@proxy"),
            ("NOTIFY_SOCKET", "/run/systemd/notify"),
            ("PATHS", "x"),
        ];
        assert_eq!(kept(&all), ["PATH", "HOME", "LC_ALL", "XDG_CACHE_HOME"]);
    }

    #[test]
    fn a_shell_function_is_not_passed_on() {
        assert_eq!(kept(&[("TERM", "() { :; }; evil")]), Vec::<String>::new());
    }
}
