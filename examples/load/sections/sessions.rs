//! Legacy sessions without a stream: what each costs in memory.

use tokio::time::Instant;

use super::Stage;
use crate::client::{Connection, Fault, Faults};
use crate::options::{Era, Options};
use crate::process::{memory, settled_memory};
use crate::report::{Report, figure, megabytes};

/// Opens the sessions on every process, one after another on one connection, and weighs it.
pub async fn measure(stage: &Stage, options: &Options, report: &mut Report) -> crate::Result<()> {
    for (subject, pid) in stage.weighable() {
        if subject.era == Era::Modern {
            continue; // There are none.
        }
        report.open_figures("sessions: without streams");
        let mut connection = Connection::open(subject.url.address).await?;
        // The connection's own cost is not a session's.
        connection.shake_hands(&subject.url, subject.era).await?;
        let before = memory(pid)?;
        let start = Instant::now();
        let mut faults = Faults::default();
        let mut opened = 0_usize;
        for _ in 0..options.sessions {
            match connection.shake_hands(&subject.url, subject.era).await {
                Ok(session) if session.is_empty() => {
                    faults.add(&Fault::Shape("initialize named no session".into()));
                }
                Ok(_) => opened += 1,
                Err(fault) => {
                    faults.add(&fault);
                    if !fault.connection_is_sound() {
                        break;
                    }
                }
            }
        }
        let took = start.elapsed();
        let after = settled_memory(pid).await?;
        let grown = after.resident.saturating_sub(before.resident) as f64;
        let note = format!(
            "{opened} open; {:.1} → {:.1} MB; {:.0} µs for each handshake",
            megabytes(before.resident),
            megabytes(after.resident),
            took.as_secs_f64() * 1e6 / opened.max(1) as f64,
        );
        let value = (grown / 1e3 / opened.max(1) as f64, "KB");
        report.figure(&figure(
            "sessions",
            subject.era,
            &subject.process,
            "RSS for each session",
            value,
            note,
        ));
        report.faults(&subject.process, &faults);
    }
    Ok(())
}
