//! The OpenAPI document against every answer.

use std::sync::LazyLock;

use testkit::contract::{Answered, Contract};

use super::http::Answer;

/// The document as it is served.
pub(crate) static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| Contract::new(connector_admin::OPENAPI));

/// Fails when the document does not foresee the answer.
pub(super) fn check(method: &str, path: &str, answer: &Answer) {
    let kind = answer
        .headers
        .get("content-type")
        .map_or("", String::as_str);
    let answered = Answered {
        method,
        path,
        status: answer.status,
        kind: kind.split(';').next().unwrap_or_default(),
        body: &answer.body,
    };
    if let Err(wrong) = CONTRACT.check(&answered) {
        panic!("docs/openapi: {wrong}");
    }
}
