//! The file's layout and its versions.
//!
//! A call's row holds what is its own. What it has in common with others (who, what, how it ended) is a row of `context`,
//! which both keeps the file small and is what queries select by. `call` has no index beside its key, because each would
//! cost every call; instead `tally` says in which slot of about eight seconds a context has calls, how many, and how long
//! they took. So a query by client or server reads the slots that matter, and figures come from tallies alone.

use crate::sqlite::Layout;

/// The steps from an empty file to today's layout. Only ever append: step *n* leads to version *n + 1*.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE context (
        id INTEGER PRIMARY KEY,
        principal TEXT NOT NULL,
        client TEXT NOT NULL,
        client_version TEXT NOT NULL,
        era TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        server TEXT NOT NULL,
        generation INTEGER NOT NULL,
        method TEXT NOT NULL,
        name TEXT NOT NULL,
        outcome TEXT NOT NULL,
        code INTEGER NOT NULL,
        breaker TEXT NOT NULL,
        cancelled_by TEXT NOT NULL
    ) STRICT;
    CREATE INDEX context_by_principal ON context (principal);
    CREATE INDEX context_by_client ON context (client);
    CREATE INDEX context_by_server ON context (server);
    CREATE INDEX context_by_name ON context (name);
    CREATE TABLE call (
        id INTEGER PRIMARY KEY,
        context INTEGER NOT NULL,
        at INTEGER NOT NULL,
        session INTEGER,
        request ANY,
        trace TEXT,
        queue INTEGER NOT NULL,
        upstream INTEGER,
        total INTEGER NOT NULL,
        bytes_in INTEGER NOT NULL,
        bytes_out INTEGER NOT NULL,
        progress INTEGER NOT NULL,
        lost INTEGER
    ) STRICT;
    CREATE TABLE tally (
        context INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        times BLOB NOT NULL,
        PRIMARY KEY (context, slot)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tally_by_slot ON tally (slot);
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        pid INTEGER NOT NULL,
        started INTEGER NOT NULL,
        ended INTEGER
    ) STRICT;
    CREATE VIEW activity AS
        SELECT call.id, strftime('%Y-%m-%dT%H:%M:%fZ', call.at / 1e6, 'unixepoch') AS time, call.at, principal, client,
               client_version, era, endpoint, server, generation, method, name, outcome, code, breaker, cancelled_by,
               printf('%016x', session) AS session, request, trace, queue, upstream, total, bytes_in, bytes_out, progress,
               lost
        FROM call JOIN context ON context.id = call.context;
", "
    CREATE TABLE payload (
        id INTEGER PRIMARY KEY,
        request TEXT NOT NULL,
        reply TEXT NOT NULL
    ) STRICT;
", "
    ALTER TABLE context ADD COLUMN cache TEXT NOT NULL DEFAULT '';
    DROP VIEW activity;
    CREATE VIEW activity AS
        SELECT call.id, strftime('%Y-%m-%dT%H:%M:%fZ', call.at / 1e6, 'unixepoch') AS time, call.at, principal, client,
               client_version, era, endpoint, server, generation, method, name, outcome, code, cache, breaker,
               cancelled_by, printf('%016x', session) AS session, request, trace, queue, upstream, total, bytes_in,
               bytes_out, progress, lost
        FROM call JOIN context ON context.id = call.context;
", "
    ALTER TABLE context ADD COLUMN enhanced TEXT NOT NULL DEFAULT '';
    DROP VIEW activity;
    CREATE VIEW activity AS
        SELECT call.id, strftime('%Y-%m-%dT%H:%M:%fZ', call.at / 1e6, 'unixepoch') AS time, call.at, principal, client,
               client_version, era, endpoint, server, generation, method, name, outcome, code, cache, enhanced, breaker,
               cancelled_by, printf('%016x', session) AS session, request, trace, queue, upstream, total, bytes_in,
               bytes_out, progress, lost
        FROM call JOIN context ON context.id = call.context;
", "
    CREATE TABLE link (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        upto INTEGER,
        before BLOB,
        digest BLOB NOT NULL
    ) STRICT;
    CREATE INDEX link_by_last ON link (last);
    CREATE TABLE tombstone (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL
    ) STRICT;
"];

/// One statement for each table that today's code uses, with the columns it uses.
const PROBES: &[&str] = &[
    "SELECT id, principal, client, client_version, era, endpoint, server, generation, method, name, outcome, code, breaker, \
     cancelled_by, cache, enhanced FROM context LIMIT 0",
    "SELECT id, context, at, session, request, trace, queue, upstream, total, bytes_in, bytes_out, progress, lost FROM call \
     LIMIT 0",
    "SELECT context, slot, first, last, calls, times FROM tally LIMIT 0",
    "SELECT id, pid, started, ended FROM run LIMIT 0",
    "SELECT id, request, reply FROM payload LIMIT 0",
    "SELECT number, at, kind, first, last, calls, upto, before, digest FROM link LIMIT 0",
    "SELECT id, digest FROM tombstone LIMIT 0",
];

/// "TRNA" in ASCII.
const APPLICATION_ID: i64 = 0x5452_4E41;

/// What makes a database an activity log. Incremental vacuum has to be chosen before the first table: it gives space back
/// a few pages at a time, where a full one would rewrite the file.
pub(super) static LAYOUT: Layout = Layout {
    name: "the activity log",
    application_id: APPLICATION_ID,
    setup: "PRAGMA auto_vacuum = INCREMENTAL",
    migrations: MIGRATIONS,
    probes: PROBES,
    loss: "calls before now are only in the file that was moved aside",
};
