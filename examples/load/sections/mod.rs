//! The measurements: which processes stand where, and what is done to them.

mod calls;
mod inflight;
mod latency;
mod log;
mod sessions;
mod stage;
mod start;
mod streams;

pub use stage::{Stage, Subject};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::{Options, Section};
use crate::report::Report;

/// Runs what was asked for; true when every reply was right.
pub fn run(options: Options) -> crate::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> crate::Result<bool> {
    let mut report = Report::new(options.json);
    let files = raise_file_limit();
    let (rounds, seconds) = options.effort();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    report.remark(&format!(
        "{cores} cores, {rounds} × {seconds} s a cell, at most {files} open files a process"
    ));

    for &era in &options.era {
        if options.wants(Section::Calls) || options.wants(Section::Latency) {
            let mut stage = Stage::set(options, era).await?;
            if options.wants(Section::Calls) {
                calls::measure(&mut stage, options, &mut report).await?;
            }
            if options.wants(Section::Latency) {
                latency::measure(&mut stage, options, &mut report).await?;
            }
            stage.clear().await?;
        }
        if options.wants(Section::Log) && options.wants_gateway() {
            log::measure(options, era, &mut report).await?;
        }
        // Each of these has a gateway to itself: memory of an earlier one would hide what it costs.
        if options.wants(Section::Streams) {
            let stage = Stage::set(options, era).await?;
            streams::measure(&stage, options, &mut report).await?;
            stage.clear().await?;
        }
        if options.wants(Section::Sessions) {
            let stage = Stage::set(options, era).await?;
            sessions::measure(&stage, options, &mut report).await?;
            stage.clear().await?;
        }
        if options.wants(Section::Inflight) {
            let stage = Stage::set(options, era).await?;
            inflight::measure(&stage, options, &mut report).await?;
            stage.clear().await?;
        }
        if options.wants(Section::Start) && options.wants_gateway() {
            start::measure(options, era, &mut report).await?;
        }
    }
    Ok(report.is_clean())
}

/// Raises this process's limit of open files as far as it may, for itself and the children that inherit it.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Without success the old limit holds, and the report says which one does.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
