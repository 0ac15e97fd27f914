//! Whose file it is.

use std::fmt;
use std::path::Path;

/// Programs whose files differ in more than the name of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// `mcpServers`, as Claude Desktop began it and most have taken it over.
    Common,
    /// Claude Code: `${VAR}` and `${VAR:-default}`.
    ClaudeCode,
    /// Cursor: `${env:VAR}`, `${userHome}`.
    Cursor,
    /// VS Code: `servers`, `inputs`, `${input:id}`.
    VsCode,
    /// Windsurf: `serverUrl`.
    Windsurf,
    /// Gemini CLI: `httpUrl` beside `url`, which is HTTP+SSE there; `$VAR`; milliseconds.
    Gemini,
    /// Codex: TOML, `mcp_servers`.
    Codex,
    /// Zed: `context_servers`.
    Zed,
    /// OpenCode: `mcp`, a command that is a list, `{env:VAR}`.
    OpenCode,
    /// AgentHub's `mcp-servers.json`.
    AgentHub,
}

impl Flavor {
    /// What a file's place says. Most files say it by their content.
    pub(super) fn of_path(path: &Path) -> Option<Flavor> {
        let text = path.to_string_lossy().to_ascii_lowercase().replace('\\', "/");
        let has = |part: &str| text.contains(part);
        let table = [
            (has("/.gemini/"), Flavor::Gemini),
            (has("/.cursor/"), Flavor::Cursor),
            (has("windsurf"), Flavor::Windsurf),
            (has("/.codex/"), Flavor::Codex),
            (has("opencode"), Flavor::OpenCode),
            (has("/zed/"), Flavor::Zed),
            (has(".vscode/") || has("/code/user/") || has("code - insiders/user/"), Flavor::VsCode),
            (has("/.mcp.json") || has("/.claude.json") || text == ".mcp.json", Flavor::ClaudeCode),
        ];
        table.into_iter().find(|(fits, _)| *fits).map(|(_, flavor)| flavor)
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavor::Common => "as Claude Desktop writes it",
            Flavor::ClaudeCode => "Claude Code",
            Flavor::Cursor => "Cursor",
            Flavor::VsCode => "VS Code",
            Flavor::Windsurf => "Windsurf",
            Flavor::Gemini => "Gemini CLI",
            Flavor::Codex => "Codex",
            Flavor::Zed => "Zed",
            Flavor::OpenCode => "OpenCode",
            Flavor::AgentHub => "AgentHub",
        })
    }
}
