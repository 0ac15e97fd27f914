//! The clients that people use: where each keeps its configuration, and how an entry looks there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A client that can be pointed at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code.
    ClaudeCode,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    VsCode,
    /// Windsurf.
    Windsurf,
    /// Raycast.
    Raycast,
    /// Zed.
    Zed,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
}

/// The folders of a user, and the system they are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// The home folder.
    pub home: PathBuf,
    /// `$XDG_CONFIG_HOME`, or `.config` in the home folder.
    pub config: PathBuf,
    /// Whether this is macOS, where programs keep their files below `Library`.
    pub macos: bool,
}

/// How a client is told where to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// A URL under this key, with this `type` beside it if it wants one, and variables in headers in this form.
    Http { url: &'static str, kind: Option<&'static str>, variable: Variable },
    /// Only programs on their standard input and output.
    Stdio,
}

/// How a client's file refers to a variable of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    /// `${NAME}`.
    Braces,
    /// `${env:NAME}`.
    Env,
    /// A key of its own with the variable's name: `bearer_token_env_var`.
    Named,
    /// Not at all.
    None,
}

impl Client {
    /// All of them.
    pub const ALL: [Client; 9] = [
        Client::ClaudeDesktop,
        Client::ClaudeCode,
        Client::Cursor,
        Client::VsCode,
        Client::Windsurf,
        Client::Raycast,
        Client::Zed,
        Client::Codex,
        Client::Gemini,
    ];

    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Client::ClaudeDesktop => "claude-desktop",
            Client::ClaudeCode => "claude-code",
            Client::Cursor => "cursor",
            Client::VsCode => "vscode",
            Client::Windsurf => "windsurf",
            Client::Raycast => "raycast",
            Client::Zed => "zed",
            Client::Codex => "codex",
            Client::Gemini => "gemini",
        }
    }

    /// The user's own configuration file; none where the client keeps it out of reach.
    pub fn file(self, platform: &Platform) -> Option<PathBuf> {
        let library = platform.home.join("Library/Application Support");
        let programs = if platform.macos { &library } else { &platform.config };
        Some(match self {
            Client::ClaudeDesktop => programs.join("Claude/claude_desktop_config.json"),
            Client::ClaudeCode => platform.home.join(".claude.json"),
            Client::Cursor => platform.home.join(".cursor/mcp.json"),
            Client::VsCode => programs.join("Code/User/mcp.json"),
            Client::Windsurf => platform.home.join(".codeium/windsurf/mcp_config.json"),
            Client::Raycast => return None,
            Client::Zed => platform.config.join("zed/settings.json"),
            Client::Codex => platform.home.join(".codex/config.toml"),
            Client::Gemini => platform.home.join(".gemini/settings.json"),
        })
    }

    /// The table of servers.
    pub(super) fn table(self) -> &'static str {
        match self {
            Client::VsCode => "servers",
            Client::Zed => "context_servers",
            Client::Codex => "mcp_servers",
            _ => "mcpServers",
        }
    }

    pub(super) fn speaks(self) -> Speaks {
        let http = |url, kind, variable| Speaks::Http { url, kind, variable };
        match self {
            // Their remote servers are added in an account and reached from the vendor's cloud, not from this machine.
            Client::ClaudeDesktop | Client::Raycast => Speaks::Stdio,
            Client::ClaudeCode => http("url", Some("http"), Variable::Braces),
            Client::Cursor => http("url", None, Variable::Env),
            Client::VsCode => http("url", Some("http"), Variable::Env),
            Client::Windsurf => http("serverUrl", None, Variable::Env),
            Client::Zed => http("url", None, Variable::None),
            Client::Codex => http("url", None, Variable::Named),
            Client::Gemini => http("httpUrl", None, Variable::Braces),
        }
    }

    /// What has to be done before the client sees a new entry.
    pub fn afterwards(self) -> &'static str {
        match self {
            Client::ClaudeDesktop => "quit Claude Desktop and start it again",
            Client::ClaudeCode => "start a new session of claude; /mcp shows the server",
            Client::Cursor => "Cursor Settings → MCP shows the server",
            Client::VsCode => "run the command \"MCP: List Servers\" and start it",
            Client::Windsurf => "press Refresh in Windsurf's MCP settings",
            Client::Raycast => {
                "copy this, and run Raycast's command \"Install MCP Server\", which takes it from the clipboard"
            }
            Client::Zed => "the Agent Panel's settings show the server",
            Client::Codex => "start codex anew; /mcp shows the server",
            Client::Gemini => "start gemini anew; /mcp shows the server",
        }
    }
}

impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Client, String> {
        let word = text.to_ascii_lowercase().replace(['_', ' '], "-");
        let word = match word.as_str() {
            "claude" => "claude-desktop",
            "code" | "vs-code" => "vscode",
            word => word,
        };
        Client::ALL.into_iter().find(|client| client.word() == word).ok_or_else(|| {
            let known: Vec<&str> = Client::ALL.iter().map(|client| client.word()).collect();
            format!("known clients are {}", known.join(", "))
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Client::ClaudeDesktop => "Claude Desktop",
            Client::ClaudeCode => "Claude Code",
            Client::Cursor => "Cursor",
            Client::VsCode => "VS Code",
            Client::Windsurf => "Windsurf",
            Client::Raycast => "Raycast",
            Client::Zed => "Zed",
            Client::Codex => "Codex",
            Client::Gemini => "Gemini CLI",
        })
    }
}
