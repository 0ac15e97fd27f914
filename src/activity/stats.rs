//! How many calls, how many of them failed, and how long they took: by server, tool, client, principal or method.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::filter::Filter;
use super::gap::GAP;
use super::reader::{ReadError, Reader};
use super::tally::{Times, slot};

/// What calls are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The server.
    Server,
    /// Server and tool, prompt or URI.
    Tool,
    /// The client's name.
    Client,
    /// The principal.
    Principal,
    /// The method.
    Method,
}

/// What the calls of one group came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stat {
    /// The group; empty for calls that belong to none.
    pub key: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them ended with an error.
    pub errors: u64,
    /// The share of errors, from 0 to 1.
    pub error_share: f64,
    /// Half of the calls took less, in microseconds; like the others at most 6 % off.
    pub p50_us: u64,
    /// 95 of 100 took less.
    pub p95_us: u64,
    /// 99 of 100 took less.
    pub p99_us: u64,
}

impl By {
    /// Every way, by its word.
    pub const ALL: [(&'static str, By); 5] = [
        ("server", By::Server),
        ("tool", By::Tool),
        ("client", By::Client),
        ("principal", By::Principal),
        ("method", By::Method),
    ];

    /// The way of this word.
    pub fn parse(word: &str) -> Option<By> {
        By::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, by)| by)
    }

    /// The way of this word, or what the words are.
    ///
    /// # Errors
    /// If there is no such way.
    pub fn parse_word(word: &str) -> Result<By, String> {
        By::parse(word).ok_or_else(|| {
            let words: Vec<&str> = By::ALL.iter().map(|(word, _)| *word).collect();
            format!("write one of {}", words.join(", "))
        })
    }

    const fn key(self) -> &'static str {
        match self {
            By::Server => "server",
            By::Tool => "CASE name WHEN '' THEN server ELSE server || ' ' || name END",
            By::Client => "client",
            By::Principal => "principal",
            By::Method => "method",
        }
    }
}

#[derive(Default)]
struct Group {
    errors: u64,
    times: Times,
}

impl Reader {
    /// What calls came to, the most frequent group first. The filter's session, trace and slowness are not looked at, and
    /// its bounds of time hold to some eight seconds: figures come from tallies of slots, however many calls there are.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn stats(&mut self, filter: &Filter, by: By) -> Result<Vec<Stat>, ReadError> {
        let bounds: (Option<i64>, Option<i64>) =
            sqlx::query_as("SELECT min(slot), max(slot) FROM tally").fetch_one(self.conn()).await?;
        let low = slot(filter.since.unwrap_or(0)).max(bounds.0.unwrap_or(0));
        let high = slot(filter.until.unwrap_or(i64::MAX)).min(bounds.1.unwrap_or(-1));
        let mut groups = BTreeMap::new();
        for from in (low..=high).step_by(SLOTS_AT_ONCE) {
            self.count(filter, by, (from, high.min(from + SLOTS_AT_ONCE as i64 - 1)), &mut groups).await?;
        }
        let mut stats: Vec<Stat> = groups.into_iter().map(stat).collect();
        stats.sort_by_key(|stat| std::cmp::Reverse(stat.calls));
        Ok(stats)
    }

    async fn count(
        &mut self,
        filter: &Filter,
        by: By,
        (from, to): (i64, i64),
        groups: &mut BTreeMap<String, Group>,
    ) -> Result<(), ReadError> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT ");
        query.push(by.key());
        query.push(" AS key, outcome, calls, times FROM tally JOIN context ON context.id = tally.context WHERE outcome <> ");
        query.push_bind(GAP).push(" AND slot BETWEEN ").push_bind(from).push(" AND ").push_bind(to);
        if let Some(since) = filter.since {
            query.push(" AND last >= ").push_bind(since);
        }
        if let Some(until) = filter.until {
            query.push(" AND first < ").push_bind(until);
        }
        filter.on_context(&mut query);
        for row in query.build().fetch_all(self.conn()).await? {
            let group = groups.entry(row.try_get("key")?).or_default();
            group.times.absorb(row.try_get("times")?);
            if row.try_get::<&str, _>("outcome")? != "ok" {
                group.errors += row.try_get::<i64, _>("calls")?.max(0).cast_unsigned();
            }
        }
        Ok(())
    }
}

/// Slots that are read in one query, about ten hours: some ten thousand tallies are in memory at a time.
const SLOTS_AT_ONCE: usize = 4_096;

fn stat((key, group): (String, Group)) -> Stat {
    let calls = group.times.count();
    let percentile = |share| group.times.percentile(share);
    Stat {
        key,
        calls,
        errors: group.errors,
        error_share: if calls == 0 { 0.0 } else { group.errors as f64 / calls as f64 },
        p50_us: percentile(0.50),
        p95_us: percentile(0.95),
        p99_us: percentile(0.99),
    }
}
