//! Keys of `[admin]`: the administration interface.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    key("admin.enabled", Bool, Value("true"), "Whether there is an administration interface, /api/v1."),
    key(
        "admin.listen",
        Address,
        Nothing,
        "An address of its own for the administration interface; otherwise it is at gateway.listen.",
    ),
];
