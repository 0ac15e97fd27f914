//! `trunkline policy`: what the rules say, and which of them said it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use crate::base::Principal;
use crate::catalog::split_name;
use crate::config::{Hints, ItemKind};
use crate::guard::{Caller, Item, Policy as Rules, explain};

use super::exit;
use super::load;
use super::words::{fail, print};

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Say whether a caller may use something, and which rule decides. Exit code 0 if so, 3 if not.
    Explain {
        /// Who, such as key:ci or anonymous.
        principal: String,
        /// What: a tool as clients see it (github__search), or SERVER/NAME with the server's own name or a URI.
        item: String,
        /// A scope of the caller's credential; may be given several times.
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
        /// What kind of thing it is.
        #[arg(long, value_enum, default_value_t = KindOf::Tool)]
        kind: KindOf,
        /// The tool says of itself that it changes nothing (readOnlyHint).
        #[arg(long)]
        read_only: bool,
        /// The tool says of itself that it destroys nothing (destructiveHint = false).
        #[arg(long)]
        not_destructive: bool,
        /// The configuration file; looked for as `serve` does.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum KindOf {
    Tool,
    Prompt,
    Resource,
    Service,
}

/// Runs the command. `before` is the file named before it.
pub fn run(command: Policy, before: Option<PathBuf>) -> ExitCode {
    let Policy::Explain { principal, item, scope, kind, read_only, not_destructive, config } = command;
    let loaded = match load::sourced(config.or(before), None, None) {
        Ok((loaded, _)) => loaded,
        Err(code) => return code,
    };
    let whole = matches!(kind, KindOf::Service).then_some((item.as_str(), ""));
    let Some((server, name)) = whole.or_else(|| item.split_once('/')).or_else(|| split_name(&item)) else {
        let text = format!("'{item}' names no server; write github__search or github/search");
        return fail(exit::USAGE, &text);
    };
    let mut names = loaded.config.servers.iter().map(|known| &known.name);
    let mut services = loaded.config.services.iter().map(|known| &known.name);
    if !names.any(|known| known.as_str() == server) && !services.any(|known| known.as_str() == server) {
        return fail(exit::USAGE, &format!("no server or service is called '{server}'"));
    }
    let (kind, word) = match kind {
        KindOf::Tool => (ItemKind::Tool, "tool"),
        KindOf::Prompt => (ItemKind::Prompt, "prompt"),
        KindOf::Resource => (ItemKind::Resource, "resource"),
        KindOf::Service => (ItemKind::Service, "service"),
    };
    let rules = Rules::new(loaded.config.policy.clone());
    let caller = Caller::known(Principal::named(&principal), scope);
    let hints = Hints::new(read_only.then_some(true), not_destructive.then_some(false));
    let told = explain(&rules, &caller, Item { kind, server, name, hints }, &loaded.settings);
    let (verdict, may) = if told.allowed { ("allowed", "may") } else { ("denied", "may not") };
    let mut text = format!("{verdict}: {principal} {may} use the {word} '{name}' of server '{server}'\n");
    text.push_str(&format!("  {}\n", told.reason));
    if told.by_hints && !read_only && !not_destructive {
        text.push_str(
            "  This is for a tool that says nothing of itself; see --read-only and --not-destructive.\n",
        );
    }
    print(&text);
    if told.allowed { ExitCode::SUCCESS } else { ExitCode::from(exit::DENIED) }
}
