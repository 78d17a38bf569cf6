//! `/v1/providers`: the catalogue, with what each provider asks of the admin.

use axum::response::Response;
use http::StatusCode;
use shared::catalogue;
use shared::domain::ids::ProviderId;
use shared::http::identity::Admin;
use shared::http::problem::Problem;
use shared::http::request::PathIds;
use shared::http::respond::{self, List};

pub(crate) async fn list(_: Admin) -> Response {
    respond::json(
        StatusCode::OK,
        &List {
            items: catalogue::providers(),
            next_cursor: None,
        },
    )
}

pub(crate) async fn view(_: Admin, PathIds(id): PathIds<ProviderId>) -> Result<Response, Problem> {
    let details = catalogue::details(&id).ok_or_else(Problem::not_found)?;
    Ok(respond::json(StatusCode::OK, &details))
}
