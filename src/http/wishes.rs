//! What the headers of a request wish for it: what becomes of the prompt in it, and whether the answer may be a kept one.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

use crate::config::{Privacy, PromptArgument};
use crate::router::Wishes;

/// Whether, and which argument of, the call is to be enhanced.
const ENHANCE: &str = "x-enhance";
/// By which name the client's rule is chosen. It is what the client says of itself, and gives it no rights.
pub(super) const CLIENT_NAME: &str = "x-client-name";
/// Who may see the prompt.
pub(super) const PRIVACY: &str = "x-privacy-level";

/// The wishes, if there are any.
pub(super) fn wishes(headers: &HeaderMap) -> Option<Box<Wishes>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let (enhance, client, privacy) = (text(ENHANCE), text(CLIENT_NAME), text(PRIVACY));
    let fresh = headers.get_all(CACHE_CONTROL).iter().any(|value| value.to_str().is_ok_and(wants_fresh));
    if enhance.is_none() && client.is_none() && privacy.is_none() && !fresh {
        return None;
    }
    Some(Box::new(Wishes {
        argument: enhance.map(argument),
        client: client.filter(|name| !name.is_empty()).map(str::to_owned),
        // Whoever writes a word that nobody knows wants something stricter than nothing.
        privacy: privacy.map(|word| level(word).unwrap_or(Privacy::None)),
        fresh,
    }))
}

/// Whether a `Cache-Control` of a request rules out what is kept (RFC 9111, 5.2.1). Directives take no notice of case.
fn wants_fresh(directives: &str) -> bool {
    let is = |one: &str, word: &str| one.trim().eq_ignore_ascii_case(word);
    directives.split(',').any(|one| ["no-cache", "no-store", "max-age=0"].iter().any(|word| is(one, word)))
}

/// `yes`, `no`, or the name of an argument.
fn argument(word: &str) -> PromptArgument {
    let is = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    if is(&["1", "true", "yes", "on", "auto"]) {
        PromptArgument::Usual
    } else if is(&["", "0", "false", "no", "off", "none"]) {
        PromptArgument::None
    } else {
        PromptArgument::Named(word.to_owned())
    }
}

/// A level of privacy, by our word or by AgentHub's.
pub(super) fn level(word: &str) -> Option<Privacy> {
    match word {
        // There, what costs nothing may leave the machine; which services do that is not known here.
        "local_only" | "free_ok" => Some(Privacy::Local),
        word => Privacy::parse(word),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(name: &'static str, value: &'static str) -> Wishes {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))]);
        *wishes(&headers).unwrap()
    }

    #[test]
    fn a_header_says_yes_no_or_which_argument() {
        assert_eq!(wishes(&HeaderMap::new()), None);
        for (word, argument) in [
            ("true", PromptArgument::Usual),
            ("ON", PromptArgument::Usual),
            ("0", PromptArgument::None),
            ("", PromptArgument::None),
            ("question", PromptArgument::Named("question".into())),
        ] {
            assert_eq!(of(ENHANCE, word).argument, Some(argument), "{word}");
        }
        assert_eq!(of(CLIENT_NAME, "vscode").client.as_deref(), Some("vscode"));
    }

    #[test]
    fn a_client_may_rule_out_what_is_kept() {
        for word in ["no-cache", "NO-STORE", "max-stale, max-age=0"] {
            assert!(of("cache-control", word).fresh, "{word}");
        }
        for word in ["", "max-age=60", "only-if-cached", "no-cache-please"] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(word))]);
            assert_eq!(wishes(&headers), None, "{word}");
        }
    }

    #[test]
    fn a_level_that_nobody_knows_is_the_strictest() {
        for (word, level) in [
            ("any", Privacy::Any),
            ("local", Privacy::Local),
            ("local_only", Privacy::Local),
            ("free_ok", Privacy::Local),
            ("none", Privacy::None),
            ("secret", Privacy::None),
        ] {
            assert_eq!(of(PRIVACY, word).privacy, Some(level), "{word}");
        }
    }
}
