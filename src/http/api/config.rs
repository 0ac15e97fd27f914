//! The configuration in force, which is read again on an operator's word.

use axum::Json;
use axum::extract::{Extension, State};

use crate::guard::Caller;

use super::failure::Failure;
use super::orders::Order;
use super::shape::{Configuration, Done, Setting};
use super::state::Api;

/// The settings in force, sorted by key; the configuration has hidden credentials in them.
pub async fn config(State(api): State<Api>) -> Json<Configuration> {
    let parts = &api.0.parts;
    let shown = |one: &crate::config::Setting| Setting {
        key: one.key.clone(),
        value: one.value.clone(),
        origin: one.origin.clone(),
    };
    let settings = parts.settings.borrow().iter().map(shown).collect();
    Json(Configuration { origin: parts.configuration.clone(), settings })
}

/// Has the configuration read again and taken over.
pub async fn reload(State(api): State<Api>, caller: Extension<Caller>) -> Result<Json<Done>, Failure> {
    api.order(Order::Reload, &caller).await
}
