//! Everything that keeps a first-time user from success, looked at in the order in which one thing needs the other.

use crate::base::Secret;
use crate::config::{self, Config, Loaded, Origin, Sources};
use crate::supervisor::Surroundings;

use super::finding::Finding;
use super::{doctor_front, doctor_host, doctor_servers, doctor_services};

/// What to look at.
pub struct Doctor {
    /// What the configuration is read from.
    pub sources: Sources,
    /// Whether servers are started to see how they do.
    pub start_servers: bool,
    /// What children inherit.
    pub surroundings: Surroundings,
}

/// Looks at everything, and tells each finding as soon as there is one.
pub async fn examine(doctor: Doctor, mut tell: impl FnMut(Finding)) {
    doctor_host::clock(&mut tell);
    let Some(loaded) = configuration(doctor.sources, &mut tell) else { return };
    let config = loaded.config;
    empty_references(&config, &mut tell);
    doctor_host::open_files(&mut tell);
    doctor_host::data_folder(&config.gateway.data_dir, &mut tell);
    doctor_host::database(&config.gateway.data_dir, &mut tell).await;
    doctor_front::certificate(&config.gateway, &mut tell);
    doctor_front::address(&config.gateway, &mut tell).await;
    doctor_servers::commands(&config, &doctor.surroundings, &mut tell).await;
    if doctor.start_servers {
        doctor_services::services(&config, &mut tell).await;
        doctor_servers::handshakes(config, doctor.surroundings, &mut tell).await;
    }
}

fn configuration(sources: Sources, tell: &mut impl FnMut(Finding)) -> Option<Loaded> {
    let about = "configuration";
    let loaded = match config::load(sources) {
        Ok(loaded) => loaded,
        Err(faults) => {
            for fault in faults.iter() {
                let what = format!("{} ({})", fault.message(), fault.place());
                tell(Finding::fault(about, what, fault.help()));
            }
            return None;
        }
    };
    let config = &loaded.config;
    let running = config.servers.iter().filter(|server| server.enabled).count();
    let off = config.servers.len() - running;
    let servers = if running == 1 { "1 server".to_owned() } else { format!("{running} servers") };
    let switched_off = if off > 0 { format!(", and {off} switched off") } else { String::new() };
    let counted = format!("{}: {servers}{switched_off}", config.origin);
    match &config.origin {
        Origin::Embedded => tell(Finding::warning(
            about,
            format!("no file was found, so {counted} (the demo server) holds"),
            "write one: `trunkline import --from CLIENT --output ~/.config/trunkline/gateway.toml` takes over the \
             servers of a client that you use",
        )),
        Origin::File(path) => {
            tell(Finding::good(about, counted));
            doctor_host::writable_by_others(path, tell);
            if running == 0 {
                let cure = "add a `[servers.<name>]`, or remove `enabled = false` from one";
                tell(Finding::warning(about, "no server is switched on", cure));
            }
        }
    }
    Some(loaded)
}

/// A reference that is resolved to nothing is a credential that somebody forgot to set.
fn empty_references(config: &Config, tell: &mut impl FnMut(Finding)) {
    let is_empty = |value: &Secret| {
        let text = value.expose().trim();
        text.is_empty() || text.eq_ignore_ascii_case("bearer")
    };
    for service in config.services.iter().filter(|service| service.enabled) {
        for (name, _) in service.headers.iter().filter(|(_, value)| is_empty(value)) {
            tell(Finding::warning(
                format!("service {}", service.name),
                format!("`services.{}.headers.{name}` is empty", service.name),
                "set the variable or the file that it refers to, or remove the key",
            ));
        }
    }
    for server in config.servers.iter().filter(|server| server.enabled) {
        let secrets: Vec<(String, bool)> = match &server.transport {
            config::Transport::Stdio { env, .. } => {
                env.iter().map(|(name, value)| (format!("env.{name}"), value.expose().is_empty())).collect()
            }
            config::Transport::Http { headers, .. } => {
                headers.iter().map(|(name, value)| (format!("headers.{name}"), is_empty(value))).collect()
            }
        };
        for (key, _) in secrets.into_iter().filter(|(_, empty)| *empty) {
            tell(Finding::warning(
                format!("server {}", server.name),
                format!("`servers.{}.{key}` is empty", server.name),
                "set the variable or the file that it refers to, or remove the key",
            ));
        }
    }
}
