//! Refusals as AgentHub told them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::api::Failure;

/// A refusal in AgentHub's form.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    detail: Value,
}

impl Refusal {
    /// With this status and this sentence.
    pub fn new(status: StatusCode, detail: impl Into<Value>) -> Refusal {
        Refusal { status, detail: detail.into() }
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<Value>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, detail)
    }

    /// A parameter is not what it must be, as AgentHub's framework told it.
    pub fn parameter(name: &str, input: &str, must: &str) -> Refusal {
        let fault = json!({ "type": "value_error", "loc": ["query", name], "msg": must, "input": input });
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, json!([fault]))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::new(failure.status(), failure.message())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "detail": self.detail }))).into_response()
    }
}
