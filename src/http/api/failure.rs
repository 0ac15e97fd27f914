//! Refusals of the interface.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::shape::{Reason, Refused};

/// Why a request is not answered as its sender would like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure { status: StatusCode::NOT_FOUND, code: "not_found", message: message.into() }
    }

    /// It makes no sense as it is.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure { status: StatusCode::BAD_REQUEST, code: "invalid", message: message.into() }
    }

    /// It cannot be done as things are.
    pub fn conflict(message: impl Into<String>) -> Failure {
        Failure { status: StatusCode::CONFLICT, code: "conflict", message: message.into() }
    }

    /// The sender may not.
    pub fn forbidden(message: impl Into<String>) -> Failure {
        Failure { status: StatusCode::FORBIDDEN, code: "forbidden", message: message.into() }
    }

    /// The path has no such method.
    pub fn method(message: impl Into<String>) -> Failure {
        Failure {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "method_not_allowed",
            message: message.into(),
        }
    }

    /// Too much at once, or too slow.
    pub fn busy(message: impl Into<String>) -> Failure {
        Failure { status: StatusCode::SERVICE_UNAVAILABLE, code: "busy", message: message.into() }
    }

    /// The status that tells it.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The word for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let refused = Refused { error: Reason { code: self.code.to_owned(), message: self.message } };
        (self.status, Json(refused)).into_response()
    }
}
