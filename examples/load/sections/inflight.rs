//! Many calls in flight at once, each held by the backend: what waiting costs in memory.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Stage, Subject};
use crate::client::{Fault, Faults, Lane};
use crate::options::Options;
use crate::process::{memory, reset_peak};
use crate::report::{Report, figure, megabytes};

/// The backend holds a call for two seconds: halfway through, all of them are in flight.
const HALFWAY: Duration = Duration::from_secs(1);
/// The longest a held call may take in all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures the first subject of every process.
pub async fn measure(stage: &Stage, options: &Options, report: &mut Report) -> crate::Result<()> {
    report.open_figures("inflight: calls that the backend holds for two seconds");
    for (subject, pid) in stage.weighable() {
        let lanes = subject.lanes("hold", options.inflight, options.payload).await;
        let lanes = lanes.map_err(|fault| format!("{}: lanes cannot be opened: {fault}", subject.name))?;
        reset_peak(pid);
        let before = memory(pid)?;
        let start = Instant::now();
        let mut calls = JoinSet::new();
        for lane in lanes {
            calls.spawn(hold(lane));
        }
        tokio::time::sleep(HALFWAY).await;
        let during = memory(pid)?;
        let in_flight = calls.len();
        let faults = collect(calls).await;
        let took = start.elapsed();
        let note = note(in_flight, took, [before.resident, during.resident, memory(pid)?.peak]);
        let idle = subject.idle.unwrap_or(before).resident;
        let grown = during.resident.saturating_sub(before.resident) as f64;
        report_memory(
            report,
            subject,
            "RSS with all calls in flight",
            megabytes(during.resident),
            "MB",
            note,
        );
        report_memory(
            report,
            subject,
            "… of which the connections",
            megabytes(before.resident - idle.min(before.resident)),
            "MB",
            String::new(),
        );
        report_memory(
            report,
            subject,
            "… for each call",
            grown / 1e3 / in_flight.max(1) as f64,
            "KB",
            String::new(),
        );
        report.faults(&subject.name, &faults);
    }
    Ok(())
}

fn note(in_flight: usize, took: Duration, [before, during, peak]: [u64; 3]) -> String {
    format!(
        "{in_flight} in flight; {:.1} → {:.1} MB, peak {:.1}; the last one ended after {:.2} s",
        megabytes(before),
        megabytes(during),
        megabytes(peak),
        took.as_secs_f64(),
    )
}

fn report_memory(
    report: &Report,
    subject: &Subject,
    name: &str,
    value: f64,
    unit: &'static str,
    note: String,
) {
    report.figure(&figure("inflight", subject.era, &subject.name, name, (value, unit), note));
}

async fn hold(mut lane: Lane) -> Result<(), Fault> {
    timeout(PATIENCE, lane.call()).await.map_err(|_| Fault::Overdue)?
}

async fn collect(mut calls: JoinSet<Result<(), Fault>>) -> Faults {
    let mut faults = Faults::default();
    while let Some(call) = calls.join_next().await {
        match call {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => faults.add(&fault),
            Err(_) => faults.add(&Fault::Shape("a lane of the load tool broke".into())),
        }
    }
    faults
}
