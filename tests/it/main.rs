//! End-to-end tests: the real program, real servers, real sockets. One binary, so that it is linked once.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests: they say what they expect, and tell the reader of a failure what happened"
)]

mod support;

mod activity;
mod activity_api;
mod activity_chain;
mod activity_loss;
mod activity_rows;
mod admin;
mod agenthub;
mod batches;
mod browser;
mod caching;
mod cgroup;
mod commands;
mod configuration;
mod container;
mod enhance;
mod enhanced_calls;
mod faults;
mod filters;
mod front_door;
mod identity;
mod imports;
mod interleaved;
mod kept;
mod letter;
mod limits;
mod logins;
mod metrics;
mod mirrored;
mod modern;
mod oldest_front;
mod oldest_upstream;
mod onboarding;
mod own_links;
mod packaging;
mod parked;
mod passing;
mod platform;
mod policy;
mod questions;
mod rates;
mod reload;
mod rest;
mod resume;
mod rmcp_client;
mod rmcp_server;
mod secrets;
mod service;
mod services;
mod services_faults;
mod services_http2;
mod sessions;
mod shutdown;
mod start;
mod stdio;
mod streaming;
mod supervision;
mod tasks;
mod tls_front;
mod tokens;
mod tool_cache;
mod traces;
mod traces_lost;
mod tracing;
mod transparency;
mod upstream_http;
mod upstream_resume;
