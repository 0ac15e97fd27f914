//! What the activity log costs: two gateways with the same servers, one keeping it and one not, called turn by turn.

use super::Stage;
use super::calls::Series;
use crate::options::{Era, Options};
use crate::report::{Cell, Report, figure};
use crate::stats::median;

/// Measures every target behind the gateway at every number of connections.
pub async fn measure(options: &Options, era: Era, report: &mut Report) -> crate::Result<()> {
    let with = Stage::set(&Options { keeps_log: Some(true), ..options.clone() }, era).await?;
    let without = Stage::set(&Options { keeps_log: Some(false), ..options.clone() }, era).await?;
    report.open_table("log");
    for &connections in &options.conns {
        for (kept, left) in with.gateway_subjects().zip(without.gateway_subjects()) {
            let mut kept = Series::open(kept, options, connections).await?;
            let mut left = Series::open(left, options, connections).await?;
            for round in 0..options.effort().0 {
                // Each goes first as often as the other: what a round leaves behind burdens the next.
                if round % 2 == 0 {
                    left.round(options).await;
                    kept.round(options).await;
                } else {
                    kept.round(options).await;
                    left.round(options).await;
                }
            }
            let [rate, tail] = [kept.shares_of(&left, Series::rates), kept.shares_of(&left, Series::p99s)];
            let target = kept.name().to_owned();
            let base = left.p50();
            for (series, suffix, share) in [(left, " without", 1.0), (kept, " with log", median(&rate))] {
                let (cell, faults) = series.cell("log", connections, base)?;
                let target = cell.target.clone() + suffix;
                report.cell(&Cell { target, ratio: share, ..cell }, &faults);
            }
            for (name, shares) in [("rate with the log", rate), ("p99 with the log", tail)] {
                let note =
                    format!("of that without; {connections} connections, median of {} pairs", shares.len());
                report.figure(&figure("log", era, &target, name, (median(&shares) * 100.0, "%"), note));
            }
        }
    }
    with.clear().await?;
    without.clear().await
}
