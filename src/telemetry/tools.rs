//! The metrics of single tools, up to a number of tools that the operator has set.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::names;

/// What stands for all tools beyond the cap.
const OTHER: &str = "other";

/// The metrics of tools. What becomes a label is the name of a tool that a server lists, never what a client sends.
pub struct ToolMetrics {
    cap: usize,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    by_server: HashMap<Box<str>, HashMap<Box<str>, Arc<ToolSeries>>>,
    count: usize,
}

/// The metrics of one tool, or of all that have none of their own at a server.
pub struct ToolSeries {
    ok: Counter,
    error: Counter,
    duration: Histogram,
}

impl ToolMetrics {
    /// Metrics of their own for the first `cap` tools that are called; none at all for 0.
    pub fn new(cap: usize) -> ToolMetrics {
        ToolMetrics { cap, known: RwLock::default() }
    }

    /// The series of a tool; `None` if there are none. `listed` says whether its server lists it, and is asked only for
    /// a tool that has not been called before.
    pub fn of(&self, server: &str, tool: &str, listed: impl FnOnce() -> bool) -> Option<Arc<ToolSeries>> {
        if self.cap == 0 {
            return None;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.by_server.get(server).and_then(|tools| tools.get(tool)) {
            return Some(Arc::clone(series));
        }
        let room = known.count < self.cap;
        drop(known);
        let tool = if room && listed() { tool } else { OTHER };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let tools = known.by_server.entry(server.into()).or_default();
        let before = tools.len();
        let series =
            Arc::clone(tools.entry(tool.into()).or_insert_with(|| Arc::new(ToolSeries::new(server, tool))));
        let added = tools.len() - before;
        known.count += if tool == OTHER { 0 } else { added };
        Some(series)
    }
}

impl ToolSeries {
    fn new(server: &str, tool: &str) -> ToolSeries {
        let calls = |outcome: &str| names::TOOL_CALLS.counter(&[server, tool, outcome]);
        ToolSeries {
            ok: calls("ok"),
            error: calls("error"),
            duration: names::TOOL_DURATION.histogram(&[server, tool]),
        }
    }

    /// Records a call that was answered; `ok` if with a result.
    pub fn record(&self, ok: bool, took: Duration) {
        if ok { &self.ok } else { &self.error }.increment(1);
        self.duration.record(took);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recorder;
    use super::*;

    #[test]
    fn beyond_the_cap_and_off_the_list_tools_are_counted_together() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, || {
            let tools = ToolMetrics::new(2);
            let call = |tool: &str, listed: bool| {
                if let Some(series) = tools.of("files", tool, || listed) {
                    series.record(true, Duration::from_millis(3));
                }
            };
            call("invented", false);
            (0..3).for_each(|_| call("read", true));
            call("write", true);
            call("third", true);
            tools.of("files", "read", || panic!("it is known")).unwrap().record(false, Duration::ZERO);
            assert!(ToolMetrics::new(0).of("files", "read", || true).is_none());
        });
        let text = handle.render();
        for line in [
            "trunkline_tool_calls_total{server=\"files\",tool=\"read\",outcome=\"ok\"} 3",
            "trunkline_tool_calls_total{server=\"files\",tool=\"read\",outcome=\"error\"} 1",
            "trunkline_tool_calls_total{server=\"files\",tool=\"write\",outcome=\"ok\"} 1",
            "trunkline_tool_calls_total{server=\"files\",tool=\"other\",outcome=\"ok\"} 2",
            "trunkline_tool_duration_seconds_count{server=\"files\",tool=\"read\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("invented") && !text.contains("third"), "{text}");
    }
}
