//! `import`: files of other programs whose servers are served too.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[key(
    "import",
    TextList,
    Value("[]"),
    "Files of other programs (Claude, Cursor, VS Code, …) whose MCP servers are served too; `~/` is your home.",
)];
