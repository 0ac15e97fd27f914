//! `trunkline cache`.

use clap::Subcommand;
use http::Method;

use crate::cli::exit;
use crate::cli::words::print;
use crate::http::api::shape::{Cache, CacheOfServer};

use super::client::{Client, Remote, Trouble};
use super::order::order;
use super::table::{count, table};

/// What to do with what is kept.
#[derive(Debug, Subcommand)]
pub enum Deed {
    /// Forget kept results: all of them with the better prompts, those of a server, or those of one tool. Without a tool,
    /// lists are read again.
    Clear {
        /// Only of this server.
        server: Option<String>,
        /// Only of this tool, by the server's own name for it.
        tool: Option<String>,
    },
    /// Have lists read before anybody asks: of servers that are up, again; servers that sleep are woken.
    Warm {
        /// Only of this server.
        server: Option<String>,
    },
}

/// Says how much is kept and of what use it was, or changes it.
pub async fn cache(client: &Client, remote: &Remote, deed: Option<Deed>) -> Result<u8, Trouble> {
    match deed {
        Some(Deed::Clear { server, tool }) => {
            let path = path("/cache/clear", &[("server", server), ("tool", tool)]);
            return order(client, remote, &path).await;
        }
        Some(Deed::Warm { server }) => {
            return order(client, remote, &path("/cache/warm", &[("server", server)])).await;
        }
        None => {}
    }
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, "/cache").await?));
        return Ok(exit::OK);
    }
    print(&told(&client.get("/cache").await?));
    Ok(exit::OK)
}

/// What is kept, in half a line.
pub fn brief(cache: &Cache) -> String {
    let results = count(cache.entries, "result", "results");
    format!("{results}, {}; {} hits, {} misses", size(cache.bytes), cache.hits, cache.misses)
}

fn told(cache: &Cache) -> String {
    let row = |one: &CacheOfServer| {
        let share = (one.hits * 100).checked_div(one.hits + one.misses);
        vec![
            one.server.clone(),
            one.hits.to_string(),
            one.misses.to_string(),
            one.bypassed.to_string(),
            share.map_or_else(|| "-".to_owned(), |share| format!("{share} %")),
        ]
    };
    let rows: Vec<_> = cache.servers.iter().map(row).collect();
    let mut text = match rows.is_empty() {
        true => String::new(),
        false => table(&["SERVER", "HITS", "MISSES", "BYPASSED", "FROM MEMORY"], &rows),
    };
    text.push_str(&format!(
        "kept: {}, {}, {} dropped for want of room\n",
        count(cache.entries, "result", "results"),
        size(cache.bytes),
        cache.evicted
    ));
    let prompts = &cache.prompts;
    if prompts.hits + prompts.misses > 0 {
        let kept = count(prompts.entries, "better prompt", "better prompts");
        text.push_str(&format!("kept: {kept}; {} hits, {} misses\n", prompts.hits, prompts.misses));
    }
    text
}

/// Bytes as a person would say them.
fn size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

/// A path with those parameters that have a value.
fn path(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// A value with everything as `%41` that could mean something else in a query.
fn encoded(value: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    value
        .bytes()
        .map(|byte| if plain(&byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::http::api::shape::KeptPrompts;

    use super::*;

    #[test]
    fn what_is_kept_is_told_with_its_use() {
        let one = |server: &str, hits, misses| CacheOfServer {
            server: server.to_owned(),
            hits,
            misses,
            bypassed: 1,
        };
        let cache = Cache {
            entries: 1,
            bytes: 1_600,
            evicted: 2,
            hits: 3,
            misses: 1,
            bypassed: 2,
            servers: vec![one("docs", 3, 1), one("web", 0, 0)],
            prompts: KeptPrompts { entries: 2, evicted: 0, hits: 5, misses: 2 },
        };
        let expected = "\
SERVER  HITS  MISSES  BYPASSED  FROM MEMORY
docs    3     1       1         75 %
web     0     0       1         -
kept: 1 result, 1.6 KiB, 2 dropped for want of room
kept: 2 better prompts; 5 hits, 2 misses
";
        assert_eq!(told(&cache), expected);
        assert_eq!(brief(&cache), "1 result, 1.6 KiB; 3 hits, 1 misses");
    }

    #[test]
    fn names_reach_the_gateway_as_they_are() {
        let (server, tool) = (Some("s".to_owned()), Some("a&b=ü c".to_owned()));
        assert_eq!(path("/x", &[("server", server), ("tool", tool)]), "/x?server=s&tool=a%26b%3D%C3%BC%20c");
        assert_eq!(path("/x", &[("server", None)]), "/x");
    }
}
