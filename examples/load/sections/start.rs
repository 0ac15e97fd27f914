//! Cold start: until the gateway listens, and until its list of tools is complete.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::options::{Era, Options};
use crate::process::{Gateway, HttpBackend};
use crate::report::{Report, figure};
use crate::stats::median;

/// Starts it again and again, each time with an empty data directory.
pub async fn measure(options: &Options, era: Era, report: &mut Report) -> crate::Result<()> {
    report.open_figures("start: each with an empty data directory");
    let handshakes = Handshakes::listen().await?;
    let backend_era = options.backend_era.unwrap_or(era);
    let backend = HttpBackend::start(backend_era, Some(handshakes.address)).await?;
    let mut listening = Vec::new();
    let mut ready = Vec::new();
    let mut listed = Vec::new();
    for _ in 0..options.starts.max(1) {
        let start = Instant::now();
        let mut gateway = Gateway::spawn(options, backend_era, &backend.url, Some(handshakes.address))?;
        gateway.listening().await?;
        listening.push(start.elapsed().as_secs_f64() * 1e3);
        gateway.listed(era).await?;
        let complete = Instant::now();
        ready.push((complete - start).as_secs_f64() * 1e3);
        listed.extend(
            handshakes.last_between(start, complete).map(|last| (complete - last).as_secs_f64() * 1e3),
        );
        gateway.stop().await?;
    }
    let figures = [
        ("until it listens", &listening),
        ("until both servers' tools are listed", &ready),
        ("… after the last server's handshake", &listed),
    ];
    for (name, values) in figures {
        let (least, most) =
            values.iter().fold((f64::MAX, 0.0_f64), |(a, b), value| (a.min(*value), b.max(*value)));
        let note = match values.len() {
            0 => "no backend saw a handshake".to_owned(),
            count => format!("median of {count}, {least:.1} … {most:.1}"),
        };
        report.figure(&figure("start", era, "gateway", name, (median(values), "ms"), note));
    }
    Ok(())
}

/// The moments at which a backend said that a handshake was done.
struct Handshakes {
    address: std::net::SocketAddr,
    moments: Arc<Mutex<Vec<Instant>>>,
}

impl Handshakes {
    async fn listen() -> crate::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let moments = Arc::<Mutex<Vec<Instant>>>::default();
        let seen = moments.clone();
        tokio::spawn(async move {
            let mut datagram = [0; 16];
            while socket.recv(&mut datagram).await.is_ok() {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
        });
        Ok(Self { address, moments })
    }

    fn last_between(&self, start: Instant, end: Instant) -> Option<Instant> {
        let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        moments.iter().rev().find(|moment| (start..=end).contains(moment)).copied()
    }
}
