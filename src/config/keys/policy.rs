//! Keys of `[policy]`: who may use what.

use super::*;

const DEFAULTS: &[&str] = &["allow", "deny"];

pub(super) const ROWS: &[KeyDoc] = &[
    live(key(
        "policy.default",
        Choice(DEFAULTS),
        Computed("deny if there is any rule, else allow"),
        "What becomes of that of which no rule speaks.",
    )),
    live(key(
        "policy.rules.*.principals",
        List,
        Nothing,
        "For whom the rule is: patterns such as `key:ci`, `key:*`, `anonymous`; without it, for all.",
    )),
    live(key(
        "policy.rules.*.scopes",
        List,
        Nothing,
        "The rule is for those who have one of these scopes; without it, for all.",
    )),
    live(key(
        "policy.rules.*.allow",
        List,
        Nothing,
        "What they may use: `server/name` patterns, perhaps with `tool:`, `prompt:`, `resource:` or `service:` before and \
         `[readOnlyHint]` or `[!destructiveHint]` after.",
    )),
    live(key(
        "policy.rules.*.deny",
        List,
        Nothing,
        "What they may not use, whatever any rule allows; patterns as in `allow`.",
    )),
];
