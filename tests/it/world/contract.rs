//! The OpenAPI document against every answer.

use std::sync::LazyLock;

use shared::domain::event::Event;
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

/// Fails when the document does not describe the event.
pub(super) fn check_event(event: &Event) {
    let name = event.change.detail_type();
    let described = &CONTRACT.at("/webhooks").expect("events")[name]["post"];
    let schema = &described["requestBody"]["content"]["application/json"]["schema"];
    let event = serde_json::to_value(event).expect("an event serializes");
    if let Err(wrong) = CONTRACT.fits(schema, &event) {
        panic!("docs/openapi/events.yaml: {name}: {wrong}");
    }
}
