//! What a server's package is: AgentHub was told it, here it shows in the command.

use crate::config::Transport;

/// Programs that fetch a package and run it; the package is their first argument that is no flag.
const RUNNERS: [&str; 5] = ["npx", "bunx", "uvx", "pipx", "pnpx"];
/// Words of theirs that stand before it.
const VERBS: [&str; 3] = ["run", "exec", "dlx"];

/// The package by which people know the server: that of its runner or of its folder of modules, else its program; the host
/// of a URL.
pub fn package(transport: &Transport) -> String {
    let (command, args) = match transport {
        Transport::Stdio { command, args, .. } => (command.as_str(), args),
        Transport::Http { url, .. } => return url.uri().host().unwrap_or_default().to_owned(),
    };
    let program = command.rsplit('/').next().unwrap_or(command);
    if RUNNERS.contains(&program) {
        let mut words = args.iter().map(String::as_str);
        let named = words.find(|word| !word.starts_with('-') && !VERBS.contains(word));
        return named.unwrap_or(program).to_owned();
    }
    args.iter().find_map(|arg| module(arg)).unwrap_or(program).to_owned()
}

/// The package of a path below `node_modules`: one segment, or two with a scope.
fn module(path: &str) -> Option<&str> {
    let (_, rest) = path.rsplit_once("node_modules/")?;
    let segments = if rest.starts_with('@') { 2 } else { 1 };
    let end = rest.match_indices('/').nth(segments - 1).map_or(rest.len(), |(at, _)| at);
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_that_of_the_runner_or_of_the_folder_of_modules() {
        for (command, args, expected) in [
            ("npx", &["-y", "@upstash/context7-mcp"][..], "@upstash/context7-mcp"),
            ("/opt/homebrew/bin/uvx", &["mcp-obsidian"], "mcp-obsidian"),
            ("pipx", &["run", "mcp-server-git"], "mcp-server-git"),
            ("node", &["./mcps/node_modules/@scope/name/dist/index.js", "--x"], "@scope/name"),
            ("node", &["./mcps/node_modules/mcp-fetch/dist/stdio.js"], "mcp-fetch"),
            ("./mcps/obsidian/bin/mcp-server", &[], "mcp-server"),
            ("npx", &["-y"], "npx"),
        ] {
            let transport = Transport::Stdio {
                command: command.to_owned(),
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                env: Vec::new(),
                cwd: None,
            };
            assert_eq!(package(&transport), expected, "{command} {args:?}");
        }
    }
}
