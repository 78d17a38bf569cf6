//! `GET /openapi.json`: the contract.

use axum::response::{IntoResponse as _, Response};
use http::header;

/// The OpenAPI document of the whole API, made of docs/openapi at build time.
pub const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

/// The same for everybody, so caches may keep it for a while.
pub(crate) async fn serve() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, OPENAPI).into_response()
}
