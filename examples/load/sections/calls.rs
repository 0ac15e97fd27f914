//! Closed-loop calls: the direct backend and each subject in turn, round by round.

use std::time::Duration;

use super::{Stage, Subject};
use crate::client::{Faults, Lane, Round, drive};
use crate::options::Options;
use crate::process::{Cpu, memory, reset_peak};
use crate::report::{Cell, Report, megabytes};
use crate::stats::median;

/// Unmeasured load before a cell's first round: connections, caches and allocators reach their usual state.
const WARM_UP: Duration = Duration::from_millis(200);

/// Measures every number of connections.
pub async fn measure(stage: &mut Stage, options: &Options, report: &mut Report) -> crate::Result<()> {
    report.open_table("calls");
    for &connections in &options.conns {
        cells("calls", stage, options, connections, report).await?;
    }
    Ok(())
}

/// Measures the direct backend and all subjects at one number of connections.
pub async fn cells(
    section: &'static str,
    stage: &Stage,
    options: &Options,
    connections: usize,
    report: &mut Report,
) -> crate::Result<()> {
    let mut direct = Series::open(&stage.direct, options, connections).await?;
    let mut others = Vec::new();
    for subject in &stage.subjects {
        let mut series = Series::open(subject, options, connections).await?;
        for _ in 0..options.effort().0 {
            let yardstick = direct.round(options).await;
            series.round_beside(options, yardstick).await;
        }
        others.push(series);
    }
    if others.is_empty() {
        for _ in 0..options.effort().0 {
            direct.round(options).await;
        }
    }
    let base = direct.p50();
    for series in [direct].into_iter().chain(others) {
        let (cell, faults) = series.cell(section, connections, base)?;
        report.cell(&cell, &faults);
    }
    Ok(())
}

/// One subject's rounds at one number of connections.
pub struct Series<'a> {
    subject: &'a Subject,
    lanes: Vec<Lane>,
    requests: usize,
    rates: Vec<f64>,
    ratios: Vec<f64>,
    latencies: [Vec<f64>; 3],
    cpu: Vec<f64>,
    backend_cpu: Vec<f64>,
    load_cpu: Vec<f64>,
    faults: Faults,
}

impl<'a> Series<'a> {
    /// Opens its lanes and warms them up.
    pub async fn open(subject: &'a Subject, options: &Options, connections: usize) -> crate::Result<Self> {
        if let Some(pid) = subject.pid {
            reset_peak(pid);
        }
        let mut lanes = subject.lanes("echo", connections, options.payload).await.map_err(|fault| {
            format!("{}: {connections} connections cannot be opened: {fault}", subject.name)
        })?;
        let faults = drive(&mut lanes, WARM_UP, options.max_requests).await.faults;
        Ok(Self {
            subject,
            lanes,
            requests: 0,
            rates: Vec::new(),
            ratios: Vec::new(),
            latencies: Default::default(),
            cpu: Vec::new(),
            backend_cpu: Vec::new(),
            load_cpu: Vec::new(),
            faults,
        })
    }

    /// One round; its rate.
    pub async fn round(&mut self, options: &Options) -> f64 {
        let time = Duration::from_secs_f64(options.effort().1);
        let own = self.subject.own();
        let cpu = || [Cpu::of(&own), Cpu::of(&self.subject.backends), Cpu::of_main_thread()];
        let before = cpu();
        let mut round: Round = drive(&mut self.lanes, time, options.max_requests).await;
        let after = cpu();

        let requests = round.samples.len().max(1) as f64;
        let each = |who: usize| after[who].since(&before[who]).as_secs_f64() * 1e6 / requests;
        let [own, backend, load] = [each(0), each(1), each(2)];
        self.cpu.push(own);
        self.backend_cpu.push(backend);
        self.load_cpu.push(load);
        self.requests += round.samples.len();
        self.rates.push(round.rate());
        for (values, value) in self.latencies.iter_mut().zip(round.samples.percentiles([50.0, 95.0, 99.0])) {
            values.push(value);
        }
        self.faults.absorb(&round.faults);
        round.rate()
    }

    async fn round_beside(&mut self, options: &Options, direct_rate: f64) {
        let rate = self.round(options).await;
        self.ratios.push(rate / direct_rate.max(f64::MIN_POSITIVE));
    }

    /// The name of what is called.
    pub fn name(&self) -> &str {
        &self.subject.name
    }

    /// The rates of its rounds.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// The 99th percentiles of its rounds, in milliseconds.
    pub fn p99s(&self) -> &[f64] {
        &self.latencies[2]
    }

    /// Its figures as shares of another's, round by round.
    pub fn shares_of(&self, other: &Self, figures: impl Fn(&Self) -> &[f64]) -> Vec<f64> {
        let pairs = figures(self).iter().zip(figures(other));
        pairs.map(|(own, other)| own / other.max(f64::MIN_POSITIVE)).collect()
    }

    /// The median latency in milliseconds.
    pub fn p50(&self) -> f64 {
        median(&self.latencies[0])
    }

    /// Its figures; `base_p50` is the median latency that it is compared with.
    pub fn cell(
        self,
        section: &'static str,
        connections: usize,
        base_p50: f64,
    ) -> crate::Result<(Cell, Faults)> {
        let loaded = self.subject.pid.map(memory).transpose()?;
        let [p50_ms, p95_ms, p99_ms] = [0, 1, 2].map(|which: usize| median(&self.latencies[which]));
        let cell = Cell {
            section,
            era: self.subject.era.to_string(),
            connections,
            target: self.subject.name.clone(),
            requests: self.requests,
            rate: median(&self.rates),
            ratio: if self.ratios.is_empty() { 1.0 } else { median(&self.ratios) },
            p50_ms,
            p95_ms,
            p99_ms,
            added_p50_us: (p50_ms - base_p50) * 1e3,
            cpu_us: self.subject.pid.map(|_| median(&self.cpu)),
            backend_cpu_us: Some(median(&self.backend_cpu)).filter(|_| !self.subject.backends.is_empty()),
            load_cpu_us: median(&self.load_cpu),
            idle_mb: self.subject.idle.map(|idle| megabytes(idle.resident)),
            loaded_mb: loaded.map(|memory| megabytes(memory.resident)),
            peak_mb: loaded.map(|memory| megabytes(memory.peak)),
            faults: self.faults.total(),
        };
        Ok((cell, self.faults))
    }
}
