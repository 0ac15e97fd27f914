//! What the merged endpoint offers, and what had to be done for that.

use axum::Json;
use axum::extract::State;

use crate::catalog::Entry;

use super::shape::{Addressed, Catalog, Named, Remark};
use super::state::Api;

/// The catalog as it is now.
pub async fn catalog(State(api): State<Api>) -> Json<Catalog> {
    api.catalog().settled().await;
    let current = api.catalog().current();
    let named = |entries: Vec<Entry<'_>>| {
        let mut all: Vec<Named> = entries
            .into_iter()
            .map(|entry| Named {
                name: entry.shown.to_owned(),
                server: entry.server.name().to_string(),
                own_name: entry.own.to_owned(),
                shortened: entry.is_shortened(),
            })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    };
    let addressed = |entries: Vec<Entry<'_>>| {
        let one = |entry: Entry<'_>| Addressed {
            uri: entry.shown.to_owned(),
            server: entry.server.name().to_string(),
        };
        let mut all: Vec<Addressed> = entries.into_iter().map(one).collect();
        all.sort_by(|one, other| one.uri.cmp(&other.uri));
        all
    };
    Json(Catalog {
        tools: named(current.merged.tools().collect()),
        prompts: named(current.merged.prompts().collect()),
        resources: addressed(current.merged.resources().collect()),
        templates: addressed(current.merged.templates().collect()),
        remarks: current
            .remarks
            .iter()
            .map(|remark| Remark { server: remark.server.clone(), text: remark.text.clone() })
            .collect(),
    })
}
