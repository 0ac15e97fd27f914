//! From a server's entry to what starts it: the child's description, or the HTTP link.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::{Secret, short_hex};
use crate::config::{self, Transport};
use crate::platform::{self, ChildSpec, Limits};
use crate::upstream::Audience;
use crate::upstream::http::{Authorize, ClientOptions, HttpClient, HttpLink, HttpOptions};

/// What the gateway's own process lends to its children.
#[derive(Debug)]
pub struct Surroundings {
    /// This program, which is also the keeper's.
    pub exe: PathBuf,
    /// The short list of variables that every child gets.
    pub environment: Vec<(OsString, OsString)>,
}

impl Surroundings {
    /// Those of the running process.
    pub fn of_process() -> std::io::Result<Surroundings> {
        Ok(Surroundings {
            exe: platform::own_program()?,
            environment: platform::base_environment(std::env::vars_os()),
        })
    }
}

/// The child of a stdio entry: its own variables over the short list.
pub(super) fn child_spec(server: &config::Server, surroundings: &Surroundings) -> ChildSpec {
    let Transport::Stdio { command, args, env, cwd } = &server.transport else { return ChildSpec::default() };
    let named = |name: &OsString| env.iter().any(|(own, _)| own.as_str() == name);
    let mut variables: Vec<(OsString, OsString)> =
        surroundings.environment.iter().filter(|(name, _)| !named(name)).cloned().collect();
    variables.extend(env.iter().map(|(name, value)| (name.into(), value.expose().into())));
    ChildSpec {
        label: server.name.to_string(),
        program: command.into(),
        args: args.iter().map(OsString::from).collect(),
        env: variables,
        cwd: cwd.clone(),
        limits: Limits {
            memory_bytes: server.limits.memory,
            // The system counts whole seconds, and takes 0 for one.
            cpu_seconds: server.limits.cpu.map(|time| time.as_secs().max(1)),
            open_files: server.limits.open_files.map(|files| files as u64),
            processes: server.limits.processes.map(|processes| processes as u64),
        },
    }
}

/// The link of a URL entry, not yet opened.
pub(super) fn http_link(
    server: &config::Server,
    audience: Audience,
    authorize: Option<Arc<dyn Authorize>>,
) -> Result<Arc<HttpLink>, String> {
    let Transport::Http { url, headers, ca_file, proxy } = &server.transport else {
        return Err("has no URL".to_owned());
    };
    let proxy = match proxy {
        Some(text) => Some(text.parse().map_err(|_| "has a proxy that is no URL (proxy)".to_owned())?),
        None => None,
    };
    let options = ClientOptions {
        https: url.uri().scheme_str() == Some("https"),
        connect_timeout: server.connect_timeout,
        ca_file: ca_file.clone(),
        proxy,
        ..ClientOptions::default()
    };
    let client = HttpClient::new(&options).map_err(|error| format!("cannot be reached: {error}"))?;
    let map = header_map(headers)?;
    let options = HttpOptions {
        name: server.name.clone(),
        url: url.uri().clone(),
        headers: map,
        authorize,
        audience,
        max_message: usize::try_from(server.max_message).unwrap_or(usize::MAX),
        housekeeping_timeout: server.connect_timeout,
        stream_idle_timeout: server.stream_idle_timeout,
    };
    Ok(HttpLink::new(options, client))
}

/// Configured headers, marked so that no log shows their values.
pub(super) fn header_map(headers: &[(HeaderName, Secret)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| format!("has a header '{name}' that cannot be sent"))?;
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

/// The key under which verdicts and lists of a server are kept: its name, and a hash of what it runs or where it is,
/// so that another program under the same name starts afresh. No secret enters it.
pub(super) fn era_key(server: &config::Server) -> String {
    let what = match &server.transport {
        Transport::Stdio { command, args, cwd, .. } => {
            format!("stdio\0{command}\0{}\0{cwd:?}", args.join("\0"))
        }
        Transport::Http { url, .. } => format!("http\0{}", url.as_str()),
    };
    format!("{}-{}", server.name, short_hex(what.as_bytes(), KEY_BYTES))
}

/// Bytes of the hash that are kept: two entries of one name meet by chance once in 2^64.
const KEY_BYTES: usize = 8;
