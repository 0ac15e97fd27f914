//! Telling the service manager how we are: the protocol of sd_notify(3), a datagram for each word.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The variable that names the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// The variables of the watchdog: how often, and for which process.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "WATCHDOG_PID");

/// The way to the service manager; without one, words go nowhere. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Notifier {
    /// The manager that the environment names, if it names one.
    pub fn of_process() -> Notifier {
        let found = std::env::var_os(SOCKET).filter(|name| !name.is_empty());
        Notifier(found.and_then(|name| connect(&name).ok()).map(Arc::new))
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// We serve.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// We take another configuration; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", micros.as_micros()));
    }

    /// We end.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=finishing what is in flight");
    }

    /// We live, and this is how we are.
    pub fn alive(&self, status: &str) {
        self.say(&format!("WATCHDOG=1\nSTATUS={status}"));
    }

    /// A manager that does not listen is its own trouble.
    fn say(&self, words: &str) {
        if let Some(way) = &self.0 {
            let _ = way.0.send_to_addr(words.as_bytes(), &way.1);
        }
    }
}

/// How often the service manager wants a sign of life from this process, if it wants any.
pub fn watchdog_interval() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let for_us = match std::env::var(WATCHDOG.1) {
        Ok(pid) => pid == std::process::id().to_string(),
        Err(_) => true,
    };
    number(WATCHDOG.0).filter(|micros| for_us && *micros > 0).map(Duration::from_micros)
}

fn connect(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    // Nothing of the gateway waits for its manager.
    socket.set_nonblocking(true)?;
    Ok((socket, address(name)?))
}

#[cfg(target_os = "linux")]
fn address(name: &OsString) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    match name.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &OsString) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_at_a_socket_with_a_path_and_at_an_abstract_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let heard = |manager: &UnixDatagram| {
            let mut buffer = [0; 256];
            let length = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let notifier = Notifier(Some(Arc::new(connect(&path.into_os_string()).unwrap())));
        notifier.ready("two servers");
        assert_eq!(heard(&manager), "READY=1\nSTATUS=two servers");
        notifier.reloading();
        let words = heard(&manager);
        let micros = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(micros.parse::<u64>().unwrap() > 0, "{words}");
        if cfg!(target_os = "linux") {
            let name = format!("@trunkline-notify-{}", std::process::id());
            let manager = UnixDatagram::bind_addr(&address(&name.clone().into()).unwrap()).unwrap();
            Notifier(Some(Arc::new(connect(&name.into()).unwrap()))).alive("well");
            assert_eq!(heard(&manager), "WATCHDOG=1\nSTATUS=well");
        }
        Notifier::default().stopping();
    }
}
