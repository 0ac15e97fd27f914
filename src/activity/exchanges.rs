//! The log as exchanges of HTTP, as AgentHub kept it: a verb, a path, a status, a client.
//!
//! What came as a message of MCP is shown as the exchange that says the same without an MCP client: a POST at
//! `/mcp/<server>/<method>`, with the status that it has there. The expressions below say so in SQL, so that rows are selected
//! and counted by what they are shown as.

use std::sync::LazyLock;

use serde::Serialize;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::gap::GAP;
use super::reader::{ReadError, Reader};
use crate::base::{Era, ErrorKind, Principal, utc};

/// Which exchanges. What is `None` selects nothing away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeFilter {
    /// Those of this verb.
    pub verb: Option<String>,
    /// Those of this status or a higher one.
    pub status_min: Option<i64>,
    /// Those of this status or a lower one.
    pub status_max: Option<i64>,
    /// Those of this client: its principal or, without a credential, what it calls itself.
    pub client: Option<String>,
    /// Those of this id or trace.
    pub request: Option<String>,
    /// Those for this server.
    pub server: Option<String>,
    /// Those that ended at this time or later, in microseconds since 1970.
    pub since: Option<i64>,
    /// Those that ended before this time.
    pub until: Option<i64>,
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exchange {
    /// Its place in the log.
    pub id: i64,
    /// When it arrived, UTC.
    pub timestamp: String,
    /// The verb of HTTP.
    pub method: String,
    /// The path.
    pub path: String,
    /// The status.
    pub status: i64,
    /// How long it took, in seconds.
    pub duration: f64,
    /// The principal or, without a credential, what the client calls itself.
    pub client_id: String,
    /// Where it came from, which is not kept.
    pub client_ip: Option<String>,
    /// Its trace, else its JSON-RPC id.
    pub request_id: Option<String>,
    /// Who called, from the credential alone.
    pub principal: String,
    /// The server that it was for.
    pub server: Option<String>,
    /// The tool or prompt, or the URI.
    pub tool: Option<String>,
}

/// How many exchanges there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeFigures {
    /// All of them.
    pub total: i64,
    /// By verb.
    pub by_verb: Vec<(String, i64)>,
    /// By status.
    pub by_status: Vec<(i64, i64)>,
}

/// Whether a row is of an exchange that brought no message of MCP: those know no era of MCP.
const PLAIN: &str = "(era NOT IN ('legacy', 'modern') AND name LIKE '/%')";
const VERB: &str =
    "(CASE WHEN era NOT IN ('legacy', 'modern') AND name LIKE '/%' THEN method ELSE 'POST' END)";
const SERVER: &str = "(CASE server WHEN '' THEN endpoint ELSE server END)";
const PATH: &str = "(CASE WHEN era NOT IN ('legacy', 'modern') AND name LIKE '/%' THEN name \
    WHEN server = '' AND endpoint = '' THEN '/mcp' \
    ELSE '/mcp/' || CASE server WHEN '' THEN endpoint ELSE server END || '/' || method END)";

/// Our own codes are -31000 less the status; a row of a plain exchange has its status; for the rest, the table of kinds.
static STATUS: LazyLock<String> = LazyLock::new(|| {
    let mut kinds = String::new();
    for kind in ErrorKind::ALL {
        let (code, status) = kind.wire(Era::Legacy);
        let status = if (-31599..=-31400).contains(&code) { -31000 - code } else { i64::from(status) };
        kinds += &format!(" WHEN '{}' THEN {status}", kind.as_str());
    }
    format!(
        "(CASE WHEN outcome IN ('ok', 'upstream_error') THEN 200 WHEN code BETWEEN 100 AND 599 THEN code ELSE \
         CASE outcome{kinds} ELSE 500 END END)"
    )
});

/// A client's own word counts for those alone who have no credential.
static CLIENT: LazyLock<String> = LazyLock::new(|| {
    let anonymous = Principal::anonymous();
    format!(
        "(CASE WHEN principal NOT IN ('', '{anonymous}') THEN principal WHEN client = '' THEN '{anonymous}' ELSE client END)"
    )
});

/// An id without the quotes that JSON puts around a text.
const REQUEST: &str = "trim(CAST(call.request AS TEXT), '\"')";

impl ExchangeFilter {
    fn on_context(&self, query: &mut QueryBuilder<Sqlite>) {
        query.push(" AND outcome <> ").push_bind(GAP);
        let texts = [(VERB, &self.verb), (CLIENT.as_str(), &self.client), (SERVER, &self.server)];
        for (expression, text) in texts {
            if let Some(text) = text {
                query.push(" AND ").push(expression).push(" = ").push_bind(text.clone());
            }
        }
        for (sign, bound) in [(" >= ", self.status_min), (" <= ", self.status_max)] {
            if let Some(bound) = bound {
                query.push(" AND ").push(STATUS.as_str()).push(sign).push_bind(bound);
            }
        }
    }

    /// Whether it selects by what is a call's own.
    fn selects_rows(&self) -> bool {
        self.request.is_some() || self.since.is_some() || self.until.is_some()
    }

    fn on_call(&self, query: &mut QueryBuilder<Sqlite>) {
        if let Some(request) = &self.request {
            query.push(" AND (call.trace = ").push_bind(request.clone());
            query.push(" OR ").push(REQUEST).push(" = ").push_bind(request.clone()).push(")");
        }
        if let Some(since) = self.since {
            query.push(" AND call.id >= ").push_bind(since);
        }
        if let Some(until) = self.until {
            query.push(" AND call.id < ").push_bind(until);
        }
    }
}

impl Reader {
    /// At most `limit` exchanges, the newest first, behind the first `offset`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn exchanges(
        &mut self,
        filter: &ExchangeFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<Exchange>, ReadError> {
        let mut query = QueryBuilder::new("SELECT call.id, call.at, call.total, call.trace, principal, ");
        for (expression, name) in [
            (VERB, "verb"),
            (PATH, "path"),
            (STATUS.as_str(), "status"),
            (CLIENT.as_str(), "client_id"),
            (REQUEST, "request"),
            (SERVER, "server"),
        ] {
            query.push(expression).push(" AS ").push(name).push(", ");
        }
        query.push("CASE WHEN ").push(PLAIN).push(" THEN '' ELSE name END AS tool");
        // A cross join keeps the order of the loops: rows by id outside, which is the order that is wanted.
        query.push(" FROM call CROSS JOIN context ON context.id = call.context WHERE 1");
        filter.on_context(&mut query);
        filter.on_call(&mut query);
        query.push(" ORDER BY call.id DESC LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let rows = query.build().fetch_all(self.conn()).await?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let mut exchanges = Vec::with_capacity(rows.len());
        for row in rows {
            let trace: Option<String> = row.try_get("trace")?;
            exchanges.push(Exchange {
                id: row.try_get("id")?,
                timestamp: utc::rfc3339(row.try_get("at")?),
                method: row.try_get("verb")?,
                path: row.try_get("path")?,
                status: row.try_get("status")?,
                duration: row.try_get::<i64, _>("total")? as f64 / 1e6,
                client_id: row.try_get("client_id")?,
                client_ip: None,
                request_id: match trace {
                    Some(trace) => Some(trace),
                    None => row.try_get("request")?,
                },
                principal: row.try_get("principal")?,
                server: some(row.try_get("server")?),
                tool: some(row.try_get("tool")?),
            });
        }
        Ok(exchanges)
    }

    /// How many exchanges there are: from tallies alone, unless rows have to be looked at.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn count_exchanges(&mut self, filter: &ExchangeFilter) -> Result<i64, ReadError> {
        let mut query = match filter.selects_rows() {
            true => QueryBuilder::new(
                "SELECT count(*) FROM call CROSS JOIN context ON context.id = call.context WHERE 1",
            ),
            false => QueryBuilder::new(
                "SELECT coalesce(sum(tally.calls), 0) FROM context JOIN tally ON tally.context = context.id WHERE 1",
            ),
        };
        filter.on_context(&mut query);
        filter.on_call(&mut query);
        Ok(query.build_query_scalar().fetch_one(self.conn()).await?)
    }

    /// How many exchanges there are of each verb and each status.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn exchange_figures(&mut self) -> Result<ExchangeFigures, ReadError> {
        let total = self.count_exchanges(&ExchangeFilter::default()).await?;
        let mut figures = ExchangeFigures { total, ..ExchangeFigures::default() };
        let grouped = |expression: &str| {
            let mut query = QueryBuilder::new("SELECT ");
            query
                .push(expression)
                .push(" AS key, sum(tally.calls) FROM context JOIN tally ON tally.context = context.id");
            query.push(" WHERE outcome <> ").push_bind(GAP).push(" GROUP BY 1 ORDER BY 2 DESC");
            query
        };
        figures.by_verb = grouped(VERB).build_query_as().fetch_all(self.conn()).await?;
        figures.by_status = grouped(&STATUS).build_query_as().fetch_all(self.conn()).await?;
        Ok(figures)
    }
}
