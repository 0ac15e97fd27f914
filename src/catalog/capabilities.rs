//! What an endpoint says it can do, to clients of either era: no more than what reaches its servers from there.

use crate::base::Era;
use crate::protocol::skim;
use crate::upstream::Peer;

use super::source::Source;

/// The extension by which modern servers have tasks.
const TASKS: &str = "io.modelcontextprotocol/tasks";
/// The merged endpoint declares these whoever is up.
const OF_EVERY_FLEET: &str = r#""tools":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"prompts":{"listChanged":true},"completions":{},"logging":{}"#;
/// And this for tasks of the core of 2025-11-25, if any server has them.
const CORE_TASKS: &str = r#","tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#;

/// `capabilities`, JSON text.
pub(super) struct Capabilities {
    pub legacy: String,
    pub modern: String,
}

impl Capabilities {
    /// Those of one server; `fields` are those that both eras see alike. Tasks are of one era: a task that a server of
    /// the other has made would be beyond the reach of its client.
    pub fn of_server(peer: &Peer, fields: &[String]) -> Capabilities {
        let with = |more: Option<String>| -> String {
            let all: Vec<&str> = fields.iter().map(String::as_str).chain(more.as_deref()).collect();
            format!("{{{}}}", all.join(","))
        };
        let extensions = skim::field_text(&peer.capabilities, "extensions");
        let own = extensions.map(|raw| format!(r#""extensions":{raw}"#));
        match peer.era() {
            Era::Modern => {
                Capabilities { legacy: with(extensions.and_then(without_tasks)), modern: with(own) }
            }
            Era::Legacy => {
                let tasks =
                    skim::field_text(&peer.capabilities, "tasks").map(|raw| format!(r#""tasks":{raw}"#));
                let both = [own.clone(), tasks].into_iter().flatten().collect::<Vec<_>>().join(",");
                Capabilities {
                    legacy: with((!both.is_empty()).then_some(both)),
                    modern: with(extensions.and_then(without_tasks)),
                }
            }
        }
    }

    /// Those of all servers together.
    pub fn of_fleet(sources: &[Source]) -> Capabilities {
        let any = |era: Era, has: fn(&Peer) -> bool| {
            let mut peers = sources.iter().filter_map(|(_, offer)| offer.peer.as_ref());
            peers.any(|peer| peer.era() == era && has(peer))
        };
        let core = any(Era::Legacy, |peer| peer.declares("tasks"));
        let extension = any(Era::Modern, |peer| {
            skim::field_text(&peer.capabilities, "extensions")
                .is_some_and(|all| skim::field(all, TASKS).is_some())
        });
        let core = if core { CORE_TASKS } else { "" };
        let extension =
            if extension { format!(r#","extensions":{{"{TASKS}":{{}}}}"#) } else { String::new() };
        Capabilities {
            legacy: format!("{{{OF_EVERY_FLEET}{core}}}"),
            modern: format!("{{{OF_EVERY_FLEET}{extension}}}"),
        }
    }
}

/// The extensions less the one for tasks, as a field; none if nothing is left.
fn without_tasks(extensions: &str) -> Option<String> {
    let mut kept = Vec::new();
    skim::each_field(extensions, |name, span| {
        if name != TASKS {
            kept.push(format!("{}:{}", skim::quote(name), &extensions[span]));
        }
        Ok(())
    })
    .ok()?;
    (!kept.is_empty()).then(|| format!(r#""extensions":{{{}}}"#, kept.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Version;

    fn peer(version: Version, capabilities: &str) -> Peer {
        Peer { version, capabilities: capabilities.into(), server_info: "{}".into(), instructions: None }
    }

    #[test]
    fn tasks_are_declared_to_the_era_that_can_reach_them() {
        let modern = peer(
            Version::V2026_07_28,
            r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"a":1}}}"#,
        );
        let told = Capabilities::of_server(&modern, &[r#""tools":{}"#.to_owned()]);
        assert_eq!(told.legacy, r#"{"tools":{},"extensions":{"io.modelcontextprotocol/ui":{"a":1}}}"#);
        assert!(told.modern.contains(TASKS), "{}", told.modern);
        let legacy = peer(Version::V2025_11_25, r#"{"tasks":{"cancel":{}}}"#);
        let told = Capabilities::of_server(&legacy, &[]);
        assert_eq!((told.legacy.as_str(), told.modern.as_str()), (r#"{"tasks":{"cancel":{}}}"#, "{}"));
        let plain = Capabilities::of_fleet(&[]);
        assert_eq!(plain.legacy, plain.modern);
    }
}
