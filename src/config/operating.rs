//! From settings to `[admin]`, `[compat]` and `[metrics]`.

use std::net::SocketAddr;

use super::admin::Admin;
use super::compat::Compat;
use super::metrics::Metrics;
use super::reader::Reader;

pub(super) fn admin(reader: &mut Reader<'_>) -> Admin {
    Admin { enabled: reader.flag(&["admin", "enabled"]), listen: listen(reader) }
}

/// Nobody is asked who they are, so nobody but those on this machine may reach it.
fn listen(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let at = ["admin", "listen"];
    let leaf = reader.leaf(&at)?;
    let address = reader.address(&at)?;
    let open = !address.ip().to_canonical().is_loopback();
    if open {
        let help = format!("listen on \"127.0.0.1:{}\"", address.port());
        reader.wrong(leaf, "others can reach, and whoever reaches it could administer the gateway", help);
        return None;
    }
    Some(address)
}

/// Its pages are a part of the administration interface.
pub(super) fn compat(reader: &mut Reader<'_>, admin: Admin) -> Compat {
    let at = ["compat", "agenthub"];
    let agenthub = reader.flag(&at);
    if agenthub
        && !admin.enabled
        && let Some(leaf) = reader.leaf(&at)
    {
        let help = "leave admin.enabled out, or compat.agenthub";
        reader.wrong(leaf, "needs the administration interface, and admin.enabled is false", help);
    }
    Compat { agenthub }
}

pub(super) fn metrics(reader: &mut Reader<'_>) -> Metrics {
    Metrics { tools: reader.count(&["metrics", "tools"]) }
}
