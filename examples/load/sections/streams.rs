//! Idle streams: what each costs in memory, and whether they stay open.

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Stage, Subject};
use crate::client::{Connection, Fault, Faults, IdleStream, opening};
use crate::options::Options;
use crate::process::{memory, settled_memory};
use crate::report::{Report, figure, megabytes};

/// How many are opened at a time.
const OPENERS: usize = 32;

/// Opens the streams on every process and weighs it.
pub async fn measure(stage: &Stage, options: &Options, report: &mut Report) -> crate::Result<()> {
    report.open_figures("streams: idle, each with its own connection and, in the legacy era, session");
    for (subject, pid) in stage.weighable() {
        let before = memory(pid)?;
        let start = Instant::now();
        let (streams, mut faults) = open(subject, options.streams).await;
        let took = start.elapsed();
        let after = settled_memory(pid).await?;
        let lost = streams.iter().filter(|stream| !stream.is_open()).count();
        (0..lost).for_each(|_| faults.add(&Fault::Socket("an idle stream was closed by the server".into())));
        let grown = after.resident.saturating_sub(before.resident) as f64;
        let note = format!(
            "{} open, {} refused, {lost} closed; {:.1} → {:.1} MB; opened in {:.1} s",
            streams.len(),
            options.streams - streams.len(),
            megabytes(before.resident),
            megabytes(after.resident),
            took.as_secs_f64(),
        );
        let value = (grown / 1e3 / streams.len().max(1) as f64, "KB");
        report.figure(&figure(
            "streams",
            subject.era,
            &subject.process,
            "RSS for each idle stream",
            value,
            note,
        ));
        report.faults(&subject.process, &faults);
    }
    Ok(())
}

async fn open(subject: &Subject, count: usize) -> (Vec<IdleStream>, Faults) {
    let mut openers = JoinSet::new();
    for opener in 0..OPENERS {
        let subject = subject.clone();
        let share = count / OPENERS + usize::from(opener < count % OPENERS);
        openers.spawn(async move {
            let mut streams = Vec::with_capacity(share);
            let mut faults = Faults::default();
            for _ in 0..share {
                match open_one(&subject).await {
                    Ok(stream) => streams.push(stream),
                    Err(fault) => faults.add(&fault),
                }
            }
            (streams, faults)
        });
    }
    let mut all = (Vec::new(), Faults::default());
    for (streams, faults) in openers.join_all().await {
        all.0.extend(streams);
        all.1.absorb(&faults);
    }
    all
}

async fn open_one(subject: &Subject) -> Result<IdleStream, Fault> {
    let mut connection = Connection::open(subject.url.address).await?;
    let session = connection.shake_hands(&subject.url, subject.era).await?;
    connection.open_stream(&opening(&subject.url, subject.era, &session)).await
}
