//! Refusals in the words of OAuth, for the one route that is a token endpoint.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{Code, Problem};

impl Problem {
    /// The same as a token endpoint says it (RFC 6749 section 5.2, RFC 8693 section 2.2.2), with
    /// our own name of it as `code`.
    pub fn into_oauth(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: &'static str,
            error_description: String,
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'static str>,
        }
        let error = self.oauth_error();
        // What the RFC lets stand in a description: no quotes, no backslash, nothing but ASCII.
        let plain = self.detail.chars().map(|c| match c {
            '"' | '\\' => '\'',
            ' '..='~' => c,
            _ => '?',
        });
        let body = Body {
            error,
            error_description: plain.collect(),
            code: self.code.as_str(),
            reason: self.reason,
        };
        let body = serde_json::to_vec(&body).expect("a refusal serializes");
        let mut response = self.into_response();
        // Refusals of what is asked have one status there, whatever they have elsewhere.
        *response.status_mut() = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" | "temporarily_unavailable" => response.status(),
            _ => StatusCode::BAD_REQUEST,
        };
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        *response.body_mut() = body.into();
        response
    }

    fn oauth_error(&self) -> &'static str {
        let field = self.errors.first().map(|error| error.field.as_str());
        match (self.code.status(), self.code) {
            (StatusCode::UNAUTHORIZED, _) => "invalid_client",
            (StatusCode::FORBIDDEN, _) => "unauthorized_client",
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => {
                "temporarily_unavailable"
            }
            (StatusCode::INTERNAL_SERVER_ERROR, _) => "server_error",
            (StatusCode::NOT_FOUND, _) => "invalid_target",
            (_, Code::ReconnectRequired) => "invalid_grant",
            (StatusCode::CONFLICT, _) => "invalid_target",
            _ => match field {
                Some("grant_type") => "unsupported_grant_type",
                Some("scope") => "invalid_scope",
                Some("resource") => "invalid_target",
                _ => "invalid_request",
            },
        }
    }
}
