//! What the interface says of itself.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// The document, OpenAPI 3.1. Written by hand; a test compares it with the routes, and another each answer with its
/// schema.
const DOCUMENT: &str = include_str!("openapi.json");

/// The document.
pub async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::routes::routes;
    use super::*;

    #[test]
    fn the_document_names_every_route_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                described.insert(format!("{method} {path}"));
            }
        }
        let served: BTreeSet<String> =
            routes().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        assert_eq!(described, served);
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["servers"][0]["url"], super::super::PREFIX);
    }
}
