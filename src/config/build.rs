//! From settings to a configuration: the daemon's section, and what holds for the whole.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::thread::available_parallelism;

use http::header::AUTHORIZATION;
use tracing_subscriber::EnvFilter;

use super::activity::Activity;
use super::auth::{self, Anonymous};
use super::document::FileLayer;
use super::enhancing;
use super::exporting;
use super::faults::{At, Collector, quoted};
use super::given;
use super::inputs::Sources;
use super::keys::{self, KeyDefault, Kind};
use super::layers::{KeyPath, Layer, Leaf, Place, Stack};
use super::limits;
use super::load::{Loaded, Setting, origin_of};
use super::model::{Config, Gateway, Log, LogFormat, Origin};
use super::operating;
use super::policy;
use super::reader::{Reader, path};
use super::references::Scope;
use super::replay::Replay;
use super::servers;
use super::services;
use super::show;
use super::tls;
use super::tool_prompts;

/// What a configuration is built from.
pub(super) struct Input<'a> {
    pub sources: &'a Sources,
    pub origin: Origin,
    pub paths: Vec<PathBuf>,
    /// The weakest first.
    pub files: Vec<FileLayer>,
    pub env: Layer,
    pub flags: Layer,
    pub scope: Scope,
    /// Whether references are resolved, or left as written.
    pub resolve: bool,
}

/// Builds the configuration; nothing comes back only when a fault was noted.
pub(super) fn build(input: Input<'_>, faults: &mut Collector) -> Option<Loaded> {
    let Input { sources, origin, paths, files, env, flags, scope, resolve } = input;
    let (mut in_servers, mut in_services) = (Vec::new(), Vec::new());
    let (mut spoiled, mut layers) = (Vec::new(), Vec::new());
    for file in files {
        in_servers.extend(file.servers);
        in_services.extend(file.services);
        spoiled.extend(file.spoiled);
        layers.push(file.layer);
    }
    let given = [&env, &flags];
    let names = named("servers", in_servers, given);
    let services = named("services", in_services, given);
    layers.insert(0, defaults(&names, &services));
    layers.extend([env, flags]);
    let stack = match Stack::new(layers) {
        Ok(stack) => stack,
        Err(error) => {
            faults.fault(At::File, format!("the layers cannot be merged: {error}"), "remove what overlaps");
            return None;
        }
    };
    let mut reader = Reader { stack: &stack, scope: &scope, faults, resolve };
    let gateway = gateway(&mut reader, sources);
    let activity = activity(&mut reader);
    let admin = operating::admin(&mut reader);
    let compat = operating::compat(&mut reader, admin);
    let metrics = operating::metrics(&mut reader);
    let traces = exporting::traces(&mut reader);
    let auth = auth::auth(&mut reader);
    let limits = limits::limits(&mut reader);
    let policy = policy::policy(&mut reader);
    check_defaults(&mut reader);
    let servers: Vec<_> =
        names.iter().filter_map(|(name, at)| servers::server(&mut reader, name, at, &spoiled)).collect();
    let taken: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    let services = services.iter().filter_map(|(name, at)| services::service(&mut reader, name, at, &taken));
    let services: Vec<_> = services.collect();
    let enhance = enhancing::enhance(&mut reader, &services);
    if enhance.service.is_none() {
        tool_prompts::refuse_without_service(&mut reader, &taken);
    }
    let gateway = gateway.filter(|_| reader.faults.is_empty() && servers.len() == names.len())?;
    let settings = settings(&stack, reader.faults, &gateway, (auth.anonymous, policy.default_allow));
    let sections = Config {
        gateway,
        auth,
        limits,
        policy,
        activity,
        admin,
        compat,
        metrics,
        traces,
        servers,
        services,
        enhance,
        origin,
    };
    Some(Loaded { config: sections, settings, paths })
}

/// The names of a section in the order of the files, each at the place that names it first; those that only the
/// environment or a flag gives come last.
fn named(section: &str, files: Vec<(String, Range<usize>)>, given: [&Layer; 2]) -> Vec<(String, At)> {
    let mut names: Vec<(String, At)> = Vec::new();
    let mut add = |name: String, at: At| {
        if !names.iter().any(|(known, _)| *known == name) {
            names.push((name, at));
        }
    };
    files.into_iter().for_each(|(name, span)| add(name, At::Span(span)));
    for leaf in given.into_iter().flat_map(|layer| &layer.0) {
        if let [of, name, ..] = leaf.path.as_slice()
            && of == section
        {
            add(name.clone(), leaf.place.key());
        }
    }
    names
}

/// The weakest layer: what the list of keys says about keys that nobody sets.
fn defaults(servers: &[(String, At)], services: &[(String, At)]) -> Layer {
    let mut layer = Layer::default();
    for doc in keys::keys() {
        let KeyDefault::Value(text) = doc.default else { continue };
        let Some(value) = given::value_of(doc, text) else { continue };
        let segments: Vec<&str> = doc.path.split('.').collect();
        let mut add = |path: KeyPath| {
            layer.0.push(Leaf {
                key: path.join("."),
                path,
                doc,
                value: value.clone(),
                place: Place::Default,
            });
        };
        match segments.as_slice() {
            [section, "*", rest @ ..] => {
                for (name, _) in if *section == "services" { services } else { servers } {
                    add(path(&[&[*section, name.as_str()], rest].concat()));
                }
            }
            segments => add(path(segments)),
        }
    }
    layer
}

/// Reads every default, so that a bad one is told even when no server uses it.
fn check_defaults(reader: &mut Reader<'_>) {
    for doc in keys::keys().filter(|doc| doc.path.starts_with("defaults.")) {
        let at: Vec<&str> = doc.path.split('.').collect();
        match doc.kind {
            Kind::Duration(..) => drop(reader.duration(&at)),
            Kind::DurationOrNone(..) => drop(reader.duration_or_none(&at)),
            Kind::Size(..) => drop(reader.size(&at)),
            Kind::Count(..) => drop(reader.count(&at)),
            _ => drop(reader.choice(&at)),
        }
    }
}

/// Whether the entry of a server has a header `Authorization`, beside which there is no login.
fn brings_its_own(stack: &Stack, section: &str, server: &str) -> bool {
    let headers = stack.below(&path(&[section, server, "headers"]));
    headers
        .iter()
        .any(|leaf| leaf.path.last().is_some_and(|name| name.eq_ignore_ascii_case(AUTHORIZATION.as_str())))
}

/// Every setting in force, those included that are found out at start.
fn settings(
    stack: &Stack,
    faults: &Collector,
    gateway: &Gateway,
    (anonymous, default_allow): (Anonymous, bool),
) -> Vec<Setting> {
    let mut leaves = stack.below(&[]);
    // A default that means nothing for this server would be refused in a file.
    leaves.retain(|leaf| match (leaf.doc.only, leaf.path.as_slice()) {
        (_, [section, server, table, ..]) if table == "oauth" && brings_its_own(stack, section, server) => {
            false
        }
        (Some(reach), [section, server, ..]) => stack.find(&path(&[section, server, reach.key()])).is_some(),
        _ => true,
    });
    let values = show::values(leaves.iter().map(|leaf| (&leaf.path, &leaf.value)));
    let setting = |(leaf, value): (&&Leaf, String)| Setting {
        key: show::key(&leaf.path),
        value,
        origin: origin_of(&leaf.place, &faults.source),
    };
    let mut settings: Vec<Setting> = leaves.iter().zip(values).map(setting).collect();
    let computed = [
        ("gateway.data_dir", show::string(&gateway.data_dir.to_string_lossy())),
        ("gateway.workers", gateway.workers.to_string()),
        ("auth.anonymous", show::string(anonymous.as_str())),
        ("policy.default", show::string(if default_allow { "allow" } else { "deny" })),
    ];
    for (key, value) in computed {
        let how = keys::keys().find(|doc| doc.path == key).map(|doc| doc.default);
        if let Some(KeyDefault::Computed(how)) = how
            && !settings.iter().any(|setting| setting.key == key)
        {
            settings.push(Setting { key: key.to_owned(), value, origin: format!("computed: {how}") });
        }
    }
    settings.sort_by(|one, other| one.key.cmp(&other.key));
    settings
}

fn gateway(reader: &mut Reader<'_>, sources: &Sources) -> Option<Gateway> {
    let workers = match reader.leaf(&["gateway", "workers"]) {
        Some(_) => reader.count(&["gateway", "workers"]),
        None => available_parallelism().map_or(1, usize::from),
    };
    let listen = listen(reader);
    let data_dir = data_dir(reader, sources);
    let gateway = Gateway {
        listen: listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), keys::DEFAULT_PORT)),
        tls: tls::tls(reader),
        data_dir: data_dir.clone().unwrap_or_default(),
        workers,
        allowed_origins: origins(reader),
        allowed_hosts: hosts(reader),
        allow_unauthenticated: reader.flag(&["gateway", "allow_unauthenticated"]),
        trusted_proxies: auth::proxies(reader),
        max_body: reader.size(&["gateway", "max_body"]),
        max_sessions: reader.count(&["gateway", "max_sessions"]),
        session_ttl: reader.duration(&["gateway", "session_ttl"]),
        max_streams: reader.count(&["gateway", "max_streams"]),
        max_in_flight: reader.count(&["gateway", "max_in_flight"]),
        max_service_connections: reader.count(&["gateway", "max_service_connections"]),
        max_parked: reader.count(&["gateway", "max_parked"]),
        parallel_starts: reader.count(&["gateway", "parallel_starts"]),
        shutdown_grace: reader.duration(&["gateway", "shutdown_grace"]),
        watch: reader.duration_or_none(&["gateway", "watch"]),
        name_limit: reader.count(&["gateway", "name_limit"]),
        result_cache: reader.size(&["gateway", "result_cache"]),
        replay: replay(reader),
        log: Log {
            filter: log_filter(reader),
            format: [LogFormat::Text, LogFormat::Json][reader.choice(&["gateway", "log", "format"])],
        },
    };
    (listen.is_some() && data_dir.is_some()).then_some(gateway)
}

fn replay(reader: &mut Reader<'_>) -> Replay {
    Replay {
        memory: reader.size(&["gateway", "replay", "memory"]),
        age: reader.duration(&["gateway", "replay", "age"]),
        poll_after: reader.duration_or_none(&["gateway", "replay", "poll_after"]),
    }
}

fn activity(reader: &mut Reader<'_>) -> Activity {
    Activity {
        enabled: reader.flag(&["activity", "enabled"]),
        queue: reader.count(&["activity", "queue"]),
        window: reader.duration(&["activity", "window"]),
        keep: reader.duration(&["activity", "keep"]),
        max_size: reader.size(&["activity", "max_size"]),
        capture_limit: reader.size(&["activity", "capture_limit"]),
        chain: reader.flag(&["activity", "chain"]),
    }
}

/// The address; one that others can reach is refused while nobody is asked who they are.
fn listen(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let address = reader.address(&["gateway", "listen"])?;
    let open = !address.ip().to_canonical().is_loopback();
    let asked = auth::anonymous(reader) == Anonymous::Never;
    if open && !asked && !reader.flag(&["gateway", "allow_unauthenticated"]) {
        let leaf = reader.leaf(&["gateway", "listen"])?;
        let help = format!(
            "set auth.anonymous = \"never\" and make a key for each caller with `trunkline key new NAME`, or listen \
             on \"127.0.0.1:{}\", or, behind something that asks who is calling, set \
             gateway.allow_unauthenticated = true",
            address.port()
        );
        let problem = "others can reach, and no authentication is configured";
        reader.wrong(leaf, problem, help);
        return None;
    }
    Some(address)
}

/// The folder for our own files: what is set, else what the platform provides for state.
pub(super) fn data_dir(reader: &mut Reader<'_>, sources: &Sources) -> Option<PathBuf> {
    if reader.leaf(&["gateway", "data_dir"]).is_some() {
        return reader.path(&["gateway", "data_dir"]);
    }
    // systemd may name several folders with colons between them; the first is the unit's own.
    let first = |list: &str| list.split(':').next().map(PathBuf::from).filter(|path| path.is_absolute());
    let home = sources.folder("HOME");
    let platform = if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library/Application Support/trunkline"))
    } else {
        let state = sources.folder("XDG_STATE_HOME").or_else(|| Some(home?.join(".local/state")));
        state.map(|state| state.join("trunkline"))
    };
    let found = sources.variable("STATE_DIRECTORY").and_then(first).or(platform);
    if found.is_none() {
        let message =
            "`gateway.data_dir` is not set, and without HOME the gateway finds no folder for its files";
        reader.faults.fault(At::File, message, "set gateway.data_dir, or HOME where the gateway is started");
    }
    found
}

/// Origins as browsers send them: scheme, host and port, in small letters and without the scheme's own port.
fn origins(reader: &mut Reader<'_>) -> Vec<String> {
    reader.list(&["gateway", "allowed_origins"], |item| match origin(item) {
        Some(origin) => Ok(origin),
        None if item == "*" => Err((
            "would admit every web page",
            "name the pages that may call; with \"*\" any web page could use every server",
        )),
        None => Err((
            "is not an origin",
            "write scheme, host and perhaps port, such as \"https://app.example.com\"",
        )),
    })
}

fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let legal = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    let authority = authority.strip_suffix(own_port).unwrap_or(authority);
    (legal && is_host(authority)).then(|| format!("{scheme}://{authority}"))
}

fn hosts(reader: &mut Reader<'_>) -> Vec<String> {
    reader.list(&["gateway", "allowed_hosts"], |item| match is_host(item) {
        true => Ok(item.to_ascii_lowercase()),
        false => Err(("is not a host", "write a host name and perhaps a port, such as \"mcp.example.com\"")),
    })
}

fn is_host(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    authority.is_ok_and(|it| {
        !it.host().is_empty() && !it.as_str().contains(['@', '*']) && !it.as_str().ends_with(':')
    })
}

/// The log filter. `EnvFilter` takes any bare word for the name of a target, `inof` too, so words must be levels.
fn log_filter(reader: &mut Reader<'_>) -> String {
    const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
    let Some((leaf, text)) = reader.raw(&["gateway", "log", "filter"]) else { return String::new() };
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word.trim()));
    let typo = text.split(',').find(|part| !part.contains(['=', '[', ']', '{', '}']) && !is_level(part));
    let help =
        "write a level (off, error, warn, info, debug, trace) or parts such as \"info,trunkline=debug\"";
    if let Some(word) = typo {
        let help = match keys::nearest(word, LEVELS) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => help.to_owned(),
        };
        let problem = match word == text {
            true => "is no level".to_owned(),
            false => format!("has {} where a level should stand", quoted(word)),
        };
        reader.wrong(leaf, problem, help);
    } else if let Err(error) = EnvFilter::builder().parse(text) {
        reader.wrong(leaf, format!("is no log filter: {error}"), help);
    }
    text.to_owned()
}
