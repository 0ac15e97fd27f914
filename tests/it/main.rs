//! End-to-end tests: the real program, real servers, real sockets. One binary, so that it is linked once.

mod support;

mod browser;
mod filters;
mod letter;
mod limits;
mod modern;
mod platform;
mod rmcp_client;
mod rmcp_server;
mod sessions;
mod shutdown;
mod start;
mod streaming;
mod supervision;
mod upstream_http;
