//! The file's layout and its versions.

use crate::sqlite::Layout;

/// The steps from an empty file to today's layout. Only ever append: step *n* leads to version *n + 1*.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE era (
        key TEXT NOT NULL PRIMARY KEY,
        era TEXT NOT NULL,
        version TEXT NOT NULL,
        saved_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE catalog (
        server TEXT NOT NULL PRIMARY KEY,
        config_hash TEXT NOT NULL,
        lists BLOB NOT NULL,
        saved_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE revocation (
        id_hash BLOB NOT NULL PRIMARY KEY,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX revocation_by_expiry ON revocation (expires_at);
",
    "
    CREATE TABLE api_key (
        digest BLOB NOT NULL PRIMARY KEY,
        hint TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER
    ) STRICT, WITHOUT ROWID;
",
];

/// One statement for each table that today's code uses, with the columns it uses.
const PROBES: &[&str] = &[
    "SELECT key, era, version, saved_at FROM era LIMIT 0",
    "SELECT server, config_hash, lists, saved_at FROM catalog LIMIT 0",
    "SELECT id_hash, expires_at FROM revocation LIMIT 0",
    "SELECT digest, hint, name, scopes, created_at, expires_at, revoked_at FROM api_key LIMIT 0",
];

/// "TRNK" in ASCII.
const APPLICATION_ID: i64 = 0x5452_4E4B;

/// What makes a database the store's.
pub(super) static LAYOUT: Layout = Layout {
    name: "the store",
    application_id: APPLICATION_ID,
    setup: "",
    migrations: MIGRATIONS,
    probes: PROBES,
    loss: "server eras are probed again, and sessions deleted before now are no longer known as deleted",
};
