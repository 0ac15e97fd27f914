//! Every key does something.

use http::HeaderName;

use crate::base::Secret;

use super::super::{
    Config, EnhanceRule, KeyDefault, KeyDoc, Kind, Pattern, PolicyRule, Rate, Server, Transport, keys,
};
use super::given;

/// What a key is set to, what is then read, and what that must be.
type Row = (&'static str, &'static str, fn(&Config) -> String, &'static str);

const BASE: &str = "servers.a.command = \"/bin/a\"
servers.b.url = \"http://b/\"
services.s.url = \"http://s/\"
servers.c.url = \"http://c/\"
servers.c.oauth.client_id = \"c\"
servers.c.oauth.client_secret = \"c\"
servers.c.oauth.issuer = \"http://c/\"
servers.d.url = \"http://d/\"
servers.d.oauth.client_id = \"d\"
servers.d.oauth.issuer = \"http://d/\"
";

macro_rules! of_gateway {
    ($($field:tt)+) => { |config| format!("{:?}", config.gateway.$($field)+) };
}
macro_rules! of_tls {
    ($($field:tt)+) => {
        |config| config.gateway.tls.as_ref().map(|tls| format!("{:?}", tls.$($field)+)).unwrap_or_default()
    };
}
/// The folder of the tests' certificates.
macro_rules! front {
    ($file:expr) => {
        concat!("\"", env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/front/", $file, "\"")
    };
}
macro_rules! with_key {
    ($file:literal, $name:literal) => {
        concat!(front!($file), "\ngateway.tls.key = ", front!(concat!($name, ".key")))
    };
}
macro_rules! with_certificate {
    ($file:literal, $name:literal) => {
        concat!(front!($file), "\ngateway.tls.certificate = ", front!(concat!($name, ".pem")))
    };
}
macro_rules! with_both {
    ($value:literal) => {
        concat!(
            $value,
            "\ngateway.tls.certificate = ",
            front!("first.pem"),
            "\ngateway.tls.key = ",
            front!("first.key")
        )
    };
}
macro_rules! of_activity {
    ($($field:tt)+) => { |config| format!("{:?}", config.activity.$($field)+) };
}
macro_rules! of_traces {
    ($($field:tt)+) => {
        |config| config.traces.as_ref().map(|traces| format!("{:?}", traces.$($field)+)).unwrap_or_default()
    };
}
macro_rules! of_issuer {
    ($($field:tt)+) => {
        |config| {
            config.auth.issuers.first().map(|issuer| format!("{:?}", issuer.$($field)+)).unwrap_or_default()
        }
    };
}
macro_rules! of_limits {
    ($field:ident) => {
        |config| show_rate(config.limits.$field)
    };
}
macro_rules! of_child {
    ($($field:tt)+) => { |config| format!("{:?}", config.servers[0].$($field)+) };
}
macro_rules! of_remote {
    ($($field:tt)+) => { |config| format!("{:?}", config.servers[1].$($field)+) };
}
macro_rules! of_login {
    ($server:literal, $($field:tt)+) => {
        |config| config.servers[$server].oauth.as_ref().map(|oauth| format!("{:?}", oauth.$($field)+)).unwrap_or_default()
    };
}
macro_rules! of_service {
    ($($field:tt)+) => { |config| format!("{:?}", config.services[0].$($field)+) };
}
macro_rules! of_enhance {
    ($($field:tt)+) => { |config| format!("{:?}", config.enhance.$($field)+) };
}
macro_rules! of_transport {
    ($variant:ident, $field:ident, $show:expr) => {
        |config| {
            let find = |transport: &Transport| match transport {
                Transport::$variant { $field, .. } => Some($show($field)),
                _ => None,
            };
            // Those of the base that have no login of their own.
            let plain = |server: &&Server| matches!(server.name.as_str(), "a" | "b");
            config.servers.iter().filter(plain).find_map(|server| find(&server.transport)).unwrap_or_default()
        }
    };
}

fn debug(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn of_client(config: &Config, show: fn(&EnhanceRule) -> String) -> String {
    config.enhance.clients.first().map(|(_, rule)| show(rule)).unwrap_or_default()
}

fn of_rule(config: &Config, show: impl Fn(&PolicyRule) -> String) -> String {
    config.policy.rules.first().map(show).unwrap_or_default()
}

fn show_patterns(patterns: &[Pattern]) -> String {
    patterns.iter().map(Pattern::to_string).collect()
}

fn show_rate(rate: Option<Rate>) -> String {
    rate.map_or("none".to_owned(), |rate| rate.to_string())
}

fn show_env(pairs: &[(String, Secret)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect()
}

fn show_headers(pairs: &[(HeaderName, Secret)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect()
}

const ROWS: &[Row] = &[
    ("gateway.listen", "\"[::1]:7000\"", of_gateway!(listen), "[::1]:7000"),
    ("gateway.data_dir", "\"/data\"", of_gateway!(data_dir), "\"/data\""),
    ("gateway.workers", "123", of_gateway!(workers), "123"),
    (
        "gateway.allowed_origins",
        "[\"https://A.example:443\"]",
        of_gateway!(allowed_origins),
        "[\"https://a.example\"]",
    ),
    ("gateway.allowed_hosts", "[\"Mcp.example\"]", of_gateway!(allowed_hosts), "[\"mcp.example\"]"),
    ("gateway.allow_unauthenticated", "true", of_gateway!(allow_unauthenticated), "true"),
    (
        "import",
        concat!("[\"", env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/clients/raycast/servers.json\"]"),
        |config| format!("{:?}", config.servers.iter().map(|server| &server.name).collect::<Vec<_>>()),
        "[\"a\", \"b\", \"c\", \"d\", \"agenthub\"]",
    ),
    (
        "gateway.trusted_proxies",
        "[\"10.0.0.0/8\", \"::1\"]",
        of_gateway!(trusted_proxies),
        "[10.0.0.0/8, ::1/128]",
    ),
    (
        "gateway.tls.certificate",
        with_key!("first.pem", "first"),
        of_tls!(certificate.file_name()),
        "Some(\"first.pem\")",
    ),
    (
        "gateway.tls.key",
        with_certificate!("first.key", "first"),
        of_tls!(key.file_name()),
        "Some(\"first.key\")",
    ),
    ("gateway.tls.min_version", with_both!("\"1.3\""), of_tls!(min_version), "V1_3"),
    ("gateway.tls.handshake_timeout", with_both!("\"3s\""), of_tls!(handshake_timeout), "3s"),
    ("gateway.max_body", "\"1MiB\"", of_gateway!(max_body), "1048576"),
    ("gateway.max_sessions", "5", of_gateway!(max_sessions), "5"),
    ("gateway.session_ttl", "\"5m\"", of_gateway!(session_ttl), "300s"),
    ("gateway.max_streams", "5", of_gateway!(max_streams), "5"),
    ("gateway.max_in_flight", "5", of_gateway!(max_in_flight), "5"),
    ("gateway.max_parked", "5", of_gateway!(max_parked), "5"),
    ("gateway.parallel_starts", "5", of_gateway!(parallel_starts), "5"),
    ("gateway.shutdown_grace", "\"0s\"", of_gateway!(shutdown_grace), "0ns"),
    ("gateway.watch", "\"2s\"", of_gateway!(watch), "Some(2s)"),
    ("gateway.name_limit", "64", of_gateway!(name_limit), "64"),
    ("gateway.result_cache", "\"1MiB\"", of_gateway!(result_cache), "1048576"),
    ("gateway.replay.memory", "\"1MiB\"", of_gateway!(replay.memory), "1048576"),
    ("gateway.replay.age", "\"1m\"", of_gateway!(replay.age), "60s"),
    ("gateway.replay.poll_after", "\"1m\"", of_gateway!(replay.poll_after), "Some(60s)"),
    ("gateway.log.filter", "\"warn,trunkline=debug\"", of_gateway!(log.filter), "\"warn,trunkline=debug\""),
    ("gateway.log.format", "\"json\"", of_gateway!(log.format), "Json"),
    ("activity.enabled", "false", of_activity!(enabled), "false"),
    ("activity.queue", "500", of_activity!(queue), "500"),
    ("activity.window", "\"1s\"", of_activity!(window), "1s"),
    ("activity.keep", "\"7d\"", of_activity!(keep), "604800s"),
    ("activity.max_size", "\"2MiB\"", of_activity!(max_size), "2097152"),
    ("activity.capture_limit", "100", of_activity!(capture_limit), "100"),
    ("activity.chain", "true", of_activity!(chain), "true"),
    ("defaults.capture", "\"errors\"", of_child!(capture), "Errors"),
    ("servers.a.capture", "\"all\"", of_child!(capture), "All"),
    ("traces.endpoint", "\"https://o/\"", of_traces!(endpoint), "https://o/v1/traces"),
    (
        "traces.headers.X-Key",
        "\"v\"\ntraces.endpoint = \"http://o/x\"",
        |c| c.traces.as_ref().map(|traces| show_headers(&traces.headers)).unwrap_or_default(),
        "x-key=v",
    ),
    (
        "traces.ca_file",
        "\"/ca.pem\"\ntraces.endpoint = \"http://o/x\"",
        of_traces!(ca_file),
        "Some(\"/ca.pem\")",
    ),
    ("traces.sample_ratio", "0.25\ntraces.endpoint = \"http://o/x\"", of_traces!(sample_ratio), "0.25"),
    (
        "traces.service_name",
        "\"front\"\ntraces.endpoint = \"http://o/x\"",
        of_traces!(service_name),
        "\"front\"",
    ),
    (
        "traces.resource",
        "[\"a.b = c=d\"]\ntraces.endpoint = \"http://o/x\"",
        of_traces!(resource),
        "[(\"a.b\", \"c=d\")]",
    ),
    ("traces.queue", "600\ntraces.endpoint = \"http://o/x\"", of_traces!(queue), "600"),
    ("traces.delay", "\"1s\"\ntraces.endpoint = \"http://o/x\"", of_traces!(delay), "1s"),
    ("traces.timeout", "\"1s\"\ntraces.endpoint = \"http://o/x\"", of_traces!(timeout), "1s"),
    ("metrics.tools", "5", |config| format!("{:?}", config.metrics.tools), "5"),
    ("admin.enabled", "false", |config| format!("{:?}", config.admin.enabled), "false"),
    ("compat.agenthub", "true", |config| format!("{:?}", config.compat.agenthub), "true"),
    ("admin.listen", "\"[::1]:7001\"", |config| format!("{:?}", config.admin.listen), "Some([::1]:7001)"),
    ("auth.anonymous", "\"never\"", |config| format!("{:?}", config.auth.anonymous), "Never"),
    (
        "auth.required_scopes",
        "[\"mcp:use\"]",
        |config| format!("{:?}", config.auth.required_scopes),
        "[\"mcp:use\"]",
    ),
    (
        "auth.issuers.i.url",
        "\"https://id/t\"\nauth.issuers.i.audiences = [\"a\"]",
        of_issuer!(url),
        "\"https://id/t\"",
    ),
    (
        "auth.issuers.i.audiences",
        "[\"a\", \"b\"]\nauth.issuers.i.url = \"https://id\"",
        of_issuer!(audiences),
        "[\"a\", \"b\"]",
    ),
    (
        "auth.issuers.i.algorithms",
        "[\"ES384\"]\nauth.issuers.i.audiences = [\"a\"]\nauth.issuers.i.url = \"https://id\"",
        of_issuer!(algorithms),
        "[Es384]",
    ),
    (
        "auth.issuers.i.jwks_url",
        "\"http://127.0.0.1/k\"\nauth.issuers.i.audiences = [\"a\"]\nauth.issuers.i.url = \"https://id\"",
        of_issuer!(jwks_url),
        "Some(\"http://127.0.0.1/k\")",
    ),
    (
        "auth.issuers.i.clock_skew",
        "\"5s\"\nauth.issuers.i.audiences = [\"a\"]\nauth.issuers.i.url = \"https://id\"",
        of_issuer!(clock_skew),
        "5s",
    ),
    (
        "auth.issuers.i.principal_claim",
        "\"email\"\nauth.issuers.i.audiences = [\"a\"]\nauth.issuers.i.url = \"https://id\"",
        of_issuer!(principal_claim),
        "\"email\"",
    ),
    (
        "auth.issuers.i.ca_file",
        "\"/ca.pem\"\nauth.issuers.i.audiences = [\"a\"]\nauth.issuers.i.url = \"https://id\"",
        of_issuer!(ca_file),
        "Some(\"/ca.pem\")",
    ),
    ("limits.total", "\"500/s burst 1000\"", of_limits!(total), "500/s burst 1000"),
    ("limits.principal", "\"100/s\"", of_limits!(principal), "100/s"),
    ("limits.failed_logins", "\"1/h\"", of_limits!(failed_logins), "1/h"),
    ("policy.default", "\"deny\"", |config| format!("allow {}", config.policy.default_allow), "allow false"),
    (
        "policy.rules.r.principals",
        "[\"key:a\"]\npolicy.rules.r.deny = [\"a/*\"]",
        |c| of_rule(c, |r| debug(&r.principals)),
        "[\"key:a\"]",
    ),
    (
        "policy.rules.r.scopes",
        "[\"read\"]\npolicy.rules.r.deny = [\"a/*\"]",
        |c| of_rule(c, |r| debug(&r.scopes)),
        "[\"read\"]",
    ),
    ("policy.rules.r.allow", "[\"a/*\"]", |c| of_rule(c, |r| show_patterns(&r.allow)), "a/*"),
    ("policy.rules.r.deny", "[\"tool:a/*\"]", |c| of_rule(c, |r| show_patterns(&r.deny)), "tool:a/*"),
    ("defaults.protocol", "\"modern\"", of_child!(protocol), "Modern"),
    ("defaults.call_timeout", "\"1m\"", of_child!(call_timeout), "60s"),
    ("defaults.max_call_time", "\"1m\"", of_child!(max_call_time), "60s"),
    ("defaults.start", "\"lazy\"", of_child!(start), "Lazy"),
    ("defaults.idle_stop", "\"1m\"", of_child!(idle_stop), "Some(60s)"),
    ("defaults.stream_idle_timeout", "\"none\"", of_remote!(stream_idle_timeout), "None"),
    ("defaults.restart_budget", "50", of_child!(restart.budget), "50"),
    ("defaults.restart_window", "\"2m\"", of_child!(restart.window), "120s"),
    ("defaults.slow_retry", "\"2m\"", of_child!(restart.slow_retry), "120s"),
    ("defaults.health_interval", "\"none\"", of_child!(health.interval), "None"),
    ("defaults.health_misses", "5", of_child!(health.misses), "5"),
    ("defaults.health_hits", "5", of_child!(health.hits), "5"),
    ("defaults.breaker.failures", "5", of_child!(breaker.failures), "5"),
    ("defaults.breaker.failure_share", "5", of_child!(breaker.failure_share), "5"),
    ("defaults.breaker.window", "\"1m\"", of_child!(breaker.window), "60s"),
    ("defaults.breaker.open", "\"1m\"", of_child!(breaker.open), "60s"),
    ("defaults.breaker.half_open_max_calls", "5", of_child!(breaker.half_open_max_calls), "5"),
    ("defaults.breaker.success_threshold", "5", of_child!(breaker.success_threshold), "5"),
    ("defaults.start_timeout", "\"1m\"", of_child!(start_timeout), "60s"),
    ("defaults.connect_timeout", "\"1m\"", of_remote!(connect_timeout), "60s"),
    ("defaults.stop_grace", "\"1m\"", of_child!(stop_grace), "60s"),
    ("defaults.replace", "\"stop_first\"", of_child!(replace), "StopFirst"),
    ("defaults.drain_timeout", "\"1m\"", of_child!(drain_timeout), "60s"),
    ("defaults.max_message", "2048", of_child!(max_message), "2048"),
    ("defaults.max_in_flight", "5", of_child!(max_in_flight), "5"),
    ("defaults.isolation", "\"session\"", of_child!(links.isolation), "Session"),
    ("defaults.max_links", "5", of_child!(links.max), "5"),
    ("defaults.link_idle", "\"1m\"", of_child!(links.idle), "60s"),
    ("defaults.answer_timeout", "\"1m\"", of_child!(links.answer_timeout), "60s"),
    ("servers.a.enabled", "false", of_child!(enabled), "false"),
    ("servers.a.command", "\"npx\"", of_transport!(Stdio, command, debug), "\"npx\""),
    ("servers.a.args", "[\"-y\"]", of_transport!(Stdio, args, debug), "[\"-y\"]"),
    ("servers.a.env.Some_Name", "\"v\"", of_transport!(Stdio, env, show_env), "Some_Name=v"),
    ("servers.a.cwd", "\"/work\"", of_transport!(Stdio, cwd, debug), "Some(\"/work\")"),
    ("servers.b.url", "\"https://c/mcp\"", of_transport!(Http, url, debug), "\"https://c/mcp\""),
    ("servers.b.transport", "\"sse\"", of_remote!(http), "Sse"),
    ("servers.b.headers.X-Key", "\"v\"", of_transport!(Http, headers, show_headers), "x-key=v"),
    ("servers.b.ca_file", "\"/ca.pem\"", of_transport!(Http, ca_file, debug), "Some(\"/ca.pem\")"),
    ("servers.b.proxy", "\"http://p:3128\"", of_transport!(Http, proxy, debug), "Some(\"http://p:3128\")"),
    ("servers.a.protocol", "\"legacy\"", of_child!(protocol), "Legacy"),
    ("servers.a.call_timeout", "\"1m\"", of_child!(call_timeout), "60s"),
    ("servers.a.max_call_time", "\"1m\"", of_child!(max_call_time), "60s"),
    ("servers.a.start", "\"lazy\"", of_child!(start), "Lazy"),
    ("servers.a.idle_stop", "\"1m\"", of_child!(idle_stop), "Some(60s)"),
    ("servers.b.stream_idle_timeout", "\"1m\"", of_remote!(stream_idle_timeout), "Some(60s)"),
    ("servers.a.restart_budget", "50", of_child!(restart.budget), "50"),
    ("servers.a.restart_window", "\"2m\"", of_child!(restart.window), "120s"),
    ("servers.a.slow_retry", "\"2m\"", of_child!(restart.slow_retry), "120s"),
    ("servers.a.health_interval", "\"1m\"", of_child!(health.interval), "Some(60s)"),
    ("servers.a.health_misses", "5", of_child!(health.misses), "5"),
    ("servers.a.health_hits", "5", of_child!(health.hits), "5"),
    ("servers.a.breaker.failures", "5", of_child!(breaker.failures), "5"),
    ("servers.a.breaker.failure_share", "5", of_child!(breaker.failure_share), "5"),
    ("servers.a.breaker.window", "\"1m\"", of_child!(breaker.window), "60s"),
    ("servers.a.breaker.open", "\"1m\"", of_child!(breaker.open), "60s"),
    ("servers.a.breaker.half_open_max_calls", "5", of_child!(breaker.half_open_max_calls), "5"),
    ("servers.a.breaker.success_threshold", "5", of_child!(breaker.success_threshold), "5"),
    ("servers.a.limits.memory", "\"8MiB\"", of_child!(limits.memory), "Some(8388608)"),
    ("servers.a.limits.cpu", "\"1m\"", of_child!(limits.cpu), "Some(60s)"),
    ("servers.a.limits.open_files", "64", of_child!(limits.open_files), "Some(64)"),
    ("servers.a.limits.processes", "32", of_child!(limits.processes), "Some(32)"),
    (
        "servers.a.tools.timeouts.get_a",
        "\"2m\"",
        |config| format!("{:?}", config.servers[0].tool_timeout("get_a")),
        "120s",
    ),
    (
        "servers.a.tools.cache.get_a",
        "\"2m\"",
        |config| format!("{:?}", config.servers[0].tools.results.age("get_a", || false)),
        "Some(120s)",
    ),
    ("servers.a.tools.cache_hinted", "\"2m\"", of_child!(tools.results.hinted), "Some(120s)"),
    (
        "servers.a.tools.cache_public",
        "[\"get_*\"]",
        |config| config.servers[0].tools.results.is_public("get_a").to_string(),
        "true",
    ),
    (
        "servers.a.tools.enhance.ask_me",
        "\"question\"\nenhance.service = \"s\"",
        |config| format!("{:?}", config.servers[0].tools.prompts.of("ask_me")),
        "Some(Named(\"question\"))",
    ),
    ("servers.a.start_timeout", "\"1m\"", of_child!(start_timeout), "60s"),
    ("servers.b.connect_timeout", "\"1m\"", of_remote!(connect_timeout), "60s"),
    ("servers.a.stop_grace", "\"1m\"", of_child!(stop_grace), "60s"),
    ("servers.a.replace", "\"stop_first\"", of_child!(replace), "StopFirst"),
    ("servers.a.drain_timeout", "\"1m\"", of_child!(drain_timeout), "60s"),
    ("servers.a.max_message", "2048", of_child!(max_message), "2048"),
    ("servers.a.max_in_flight", "5", of_child!(max_in_flight), "5"),
    ("servers.a.isolation", "\"principal\"", of_child!(links.isolation), "Principal"),
    ("servers.a.questions", "true", of_child!(links.questions), "true"),
    ("servers.b.questions", "false", of_remote!(links.questions), "false"),
    ("servers.a.max_links", "5", of_child!(links.max), "5"),
    ("servers.a.link_idle", "\"1m\"", of_child!(links.idle), "60s"),
    ("servers.a.answer_timeout", "\"1m\"", of_child!(links.answer_timeout), "60s"),
    ("servers.a.rate", "\"5/s\"", |config| show_rate(config.servers[0].rate), "5/s"),
    (
        "servers.a.tools.rates.get_a",
        "\"1/m burst 2\"",
        |config| show_rate(config.servers[0].tools.rates.first().map(|(_, rate)| *rate)),
        "1/m burst 2",
    ),
    ("servers.a.tools.allow", "[\"get_*\"]", of_child!(tools.allow), "[\"get_*\"]"),
    ("servers.a.tools.deny", "[\"rm\"]", of_child!(tools.deny), "[\"rm\"]"),
    ("servers.c.oauth.grant", "\"client_credentials\"", of_login!(2, grant), "ClientCredentials"),
    ("servers.c.oauth.issuer", "\"https://i/\"", of_login!(2, issuer), "Some(\"https://i/\")"),
    ("servers.c.oauth.client_id", "\"x\"", of_login!(2, client_id), "Some(\"x\")"),
    (
        "servers.c.oauth.client_secret",
        "\"s\"",
        of_login!(2, client_secret.as_ref().map(Secret::expose)),
        "Some(\"s\")",
    ),
    (
        "servers.d.oauth.private_key",
        "\"k\"",
        of_login!(3, private_key.as_ref().map(Secret::expose)),
        "Some(\"k\")",
    ),
    (
        "servers.b.oauth.client_metadata_url",
        "\"https://m/c.json\"",
        of_login!(1, client_metadata_url),
        "Some(\"https://m/c.json\")",
    ),
    ("servers.b.oauth.scopes", "[\"read\"]", of_login!(1, scopes), "[\"read\"]"),
    ("servers.b.oauth.redirect_port", "8123", of_login!(1, redirect_port), "8123"),
    ("gateway.max_service_connections", "5", of_gateway!(max_service_connections), "5"),
    ("enhance.service", "\"s\"", of_enhance!(service), "Some(\"s\")"),
    ("enhance.timeout", "\"1m\"", of_enhance!(timeout), "60s"),
    ("enhance.cache_entries", "0", of_enhance!(cache_entries), "0"),
    ("enhance.cache_ttl", "\"1m\"", of_enhance!(cache_ttl), "60s"),
    ("enhance.default.enabled", "false", of_enhance!(default.enabled), "false"),
    ("enhance.default.model", "\"m\"", of_enhance!(default.model), "\"m\""),
    ("enhance.default.fallback", "[\"m\"]", of_enhance!(default.fallback), "[\"m\"]"),
    ("enhance.default.system_prompt", "\"p\"", of_enhance!(default.system_prompt), "\"p\""),
    ("enhance.default.temperature", "1", of_enhance!(default.temperature), "1.0"),
    ("enhance.default.max_tokens", "5", of_enhance!(default.max_tokens), "5"),
    ("enhance.default.privacy", "\"local\"", of_enhance!(default.privacy), "Local"),
    ("enhance.clients.c.enabled", "false", |config| of_client(config, |rule| debug(&rule.enabled)), "false"),
    ("enhance.clients.c.model", "\"m\"", |config| of_client(config, |rule| debug(&rule.model)), "\"m\""),
    (
        "enhance.clients.c.fallback",
        "[\"m\"]",
        |config| of_client(config, |rule| debug(&rule.fallback)),
        "[\"m\"]",
    ),
    (
        "enhance.clients.c.system_prompt",
        "\"p\"",
        |config| of_client(config, |rule| debug(&rule.system_prompt)),
        "\"p\"",
    ),
    (
        "enhance.clients.c.temperature",
        "0.5",
        |config| of_client(config, |rule| debug(&rule.temperature)),
        "0.5",
    ),
    ("enhance.clients.c.max_tokens", "5", |config| of_client(config, |rule| debug(&rule.max_tokens)), "5"),
    (
        "enhance.clients.c.privacy",
        "\"none\"",
        |config| of_client(config, |rule| debug(&rule.privacy)),
        "None",
    ),
    ("services.s.enabled", "false", of_service!(enabled), "false"),
    ("services.s.url", "\"https://c/api\"", of_service!(url), "\"https://c/api\""),
    ("services.s.headers.X-Key", "\"v\"", |config| show_headers(&config.services[0].headers), "x-key=v"),
    ("services.s.ca_file", "\"/ca.pem\"", of_service!(ca_file), "Some(\"/ca.pem\")"),
    (
        "services.s.proxy",
        "\"http://p:3128\"",
        |config| config.services[0].proxy.clone().map(|proxy| proxy.0).unwrap_or_default(),
        "http://p:3128",
    ),
    ("services.s.tls_verify", "false", of_service!(tls_verify), "false"),
    ("services.s.health", "\"/api/version\"", of_service!(health_path), "Some(\"/api/version\")"),
    ("services.s.health_interval", "\"1m\"", of_service!(health.interval), "Some(60s)"),
    ("services.s.health_misses", "5", of_service!(health.misses), "5"),
    ("services.s.health_hits", "5", of_service!(health.hits), "5"),
    ("services.s.breaker.failures", "5", of_service!(breaker.failures), "5"),
    ("services.s.breaker.failure_share", "5", of_service!(breaker.failure_share), "5"),
    ("services.s.breaker.window", "\"1m\"", of_service!(breaker.window), "60s"),
    ("services.s.breaker.open", "\"1m\"", of_service!(breaker.open), "60s"),
    ("services.s.breaker.half_open_max_calls", "5", of_service!(breaker.half_open_max_calls), "5"),
    ("services.s.breaker.success_threshold", "5", of_service!(breaker.success_threshold), "5"),
    ("services.s.connect_timeout", "\"1m\"", of_service!(connect_timeout), "60s"),
    ("services.s.request_timeout", "\"1m\"", of_service!(request_timeout), "60s"),
    ("services.s.idle_timeout", "\"none\"", of_service!(idle_timeout), "None"),
    ("services.s.max_connections", "50", of_service!(max_connections), "50"),
    ("services.s.max_idle_connections", "0", of_service!(max_idle_connections), "0"),
    ("services.s.dns_ttl", "\"0s\"", of_service!(dns_ttl), "0ns"),
    ("services.s.rate", "\"5/s\"", |config| show_rate(config.services[0].rate), "5/s"),
    ("services.s.max_in_flight", "5", of_service!(max_in_flight), "5"),
];

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), path.split('.').collect());
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(want, have)| *want == "*" || *want == have)
}

#[test]
fn every_key_has_a_row_here() {
    for key in keys() {
        assert!(ROWS.iter().any(|(path, ..)| fits(key.path, path)), "{} has no row", key.path);
    }
    for (path, ..) in ROWS {
        assert!(keys().any(|key| fits(key.path, path)), "{path} is no key");
    }
}

#[test]
fn every_key_changes_what_is_read() {
    let base = given(BASE).config();
    for (path, value, read, expected) in ROWS {
        // A key that the base sets is replaced.
        let kept: String = BASE
            .lines()
            .filter(|line| !line.starts_with(&format!("{path} ")))
            .map(|line| format!("{line}\n"))
            .collect();
        let changed = given(&format!("{kept}{path} = {value}\n")).config();
        assert_eq!(read(&changed), *expected, "{path}");
        assert_ne!(read(&base), *expected, "{path} is set to what it is anyway");
    }
}

#[test]
fn every_default_in_the_list_is_what_holds() {
    let loaded = given(BASE).loaded();
    for key in keys() {
        if let (KeyDefault::Value(text), Kind::Duration(..) | Kind::Size(..) | Kind::Count(..)) =
            (key.default, key.kind)
        {
            let setting = loaded.settings.iter().find(|setting| fits(key.path, &setting.key));
            assert_eq!(
                setting.map(|setting| setting.origin.as_str()),
                Some("default"),
                "{} = {text}",
                key.path
            );
        }
    }
    // What is found out for each server has no line of its own.
    let of_daemon = |key: &&KeyDoc| !key.path.contains('*');
    for key in keys().filter(of_daemon).filter(|key| matches!(key.default, KeyDefault::Computed(_))) {
        let setting = loaded.settings.iter().find(|setting| setting.key == key.path);
        let origin = setting.map_or("", |setting| setting.origin.as_str());
        assert!(origin.starts_with("computed: "), "{} does not say what was found out: {origin}", key.path);
    }
    let gateway = loaded.config.gateway;
    assert_eq!(gateway.listen.to_string(), "127.0.0.1:6270");
    assert_eq!((gateway.max_body, gateway.max_sessions, gateway.max_streams), (4 << 20, 10_000, 4_096));
    assert_eq!((gateway.max_in_flight, gateway.name_limit, gateway.max_parked), (4_096, 48, 1_000));
    assert_eq!((gateway.session_ttl.as_secs(), gateway.shutdown_grace.as_secs()), (86_400, 10));
    assert_eq!(gateway.workers, std::thread::available_parallelism().unwrap().get());
    assert_eq!((gateway.replay.memory, gateway.replay.age.as_secs()), (64 << 20, 300));
    let server = &loaded.config.servers[0];
    let waits = [server.call_timeout, server.start_timeout, server.connect_timeout, server.stop_grace];
    assert_eq!(waits.map(|wait| wait.as_secs()), [30, 30, 10, 5]);
    assert_eq!((server.max_call_time.as_secs(), server.idle_stop), (300, None));
    assert_eq!(server.health.interval.map(|every| every.as_secs()), Some(10));
    assert_eq!((server.health.misses, server.health.hits, server.breaker.failures), (3, 1, 3));
    assert_eq!((server.breaker.open.as_secs(), server.breaker.half_open_max_calls), (30, 1));
    let enhance = &loaded.config.enhance;
    assert_eq!(
        (enhance.timeout.as_secs(), enhance.cache_entries, enhance.cache_ttl.as_secs()),
        (120, 500, 7_200)
    );
    assert_eq!((enhance.default.temperature.get(), enhance.default.max_tokens), (0.3, 500));
    let service = &loaded.config.services[0];
    let connections =
        [gateway.max_service_connections, service.max_connections, service.max_idle_connections];
    assert_eq!(connections, [100, 10, 5]);
    let waits = [service.connect_timeout, service.request_timeout, service.dns_ttl];
    assert_eq!(waits.map(|wait| wait.as_secs()), [10, 120, 300]);
    assert_eq!((service.idle_timeout.map(|wait| wait.as_secs()), service.tls_verify), (Some(300), true));
    assert_eq!((server.links.questions, server.links.max), (false, 32));
    assert!(loaded.config.servers[1].links.questions, "replies come on their own streams");
    assert_eq!((server.links.idle.as_secs(), server.links.answer_timeout.as_secs()), (1_800, 600));
    assert_eq!((server.max_message, server.max_in_flight, server.enabled), (64 << 20, 1_024, true));
}
