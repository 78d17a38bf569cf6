//! The OpenAPI document against the template, the routers and the code; and, in
//! `world/contract.rs`, against every answer of every story.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Value, json};
use shared::domain::audit::Action;
use shared::http::problem::Code;
use testkit::contract::Answered;
use testkit::reference::reference;

use crate::template::Template;
use crate::tidy::source::read;
use crate::world::contract::CONTRACT;
use crate::world::{Call, World};

#[test]
fn the_document_has_the_gateways_routes_and_asks_for_a_jwt_where_the_gateway_does() {
    let documented: BTreeMap<_, _> = CONTRACT
        .operations()
        .map(|(method, path, operation)| {
            let jwt = operation["security"] == json!([{"jwt": []}]);
            (format!("{method} {path}"), jwt)
        })
        .collect();
    let routes = Template::read().routes().into_iter();
    let routes: BTreeMap<_, _> = routes.map(|((route, _), jwt)| (route, jwt)).collect();
    assert_eq!(routes, documented);
}

#[test]
fn every_refusal_is_in_the_document_under_its_status_and_title() {
    let schema = CONTRACT
        .at("/components/schemas/Problem/properties/code/enum")
        .unwrap();
    let documented: BTreeSet<_> = schema
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    let codes: BTreeSet<_> = Code::ALL
        .iter()
        .map(|code| json!(code.as_str()).to_string())
        .collect();
    assert_eq!(codes, documented);

    let mut examples = BTreeMap::new();
    for (_, _, operation) in CONTRACT.operations() {
        for response in operation["responses"].as_object().unwrap().values() {
            let problems = &response["content"]["application/problem+json"];
            for (code, example) in problems["examples"].as_object().into_iter().flatten() {
                CONTRACT
                    .fits(&problems["schema"], &example["value"])
                    .unwrap();
                examples.insert(code.clone(), example["value"].clone());
            }
        }
    }
    for code in Code::ALL {
        // The gateway has no route for what the router would refuse so.
        if *code == Code::MethodNotAllowed {
            continue;
        }
        let example = &examples[code.as_str()];
        let status = StatusCode::from_u16(example["status"].as_u64().unwrap() as u16);
        assert_eq!(status.unwrap(), code.status(), "{code:?}");
        assert_eq!(example["title"], code.title(), "{code:?}");
    }
}

#[test]
fn every_action_of_the_audit_is_in_the_document() {
    let schema = CONTRACT.at("/components/schemas/Action/enum").unwrap();
    let actions: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(*schema, json!(actions));
}

/// Every event that a story publishes is compared with what is said of it, in `world/contract.rs`.
/// The types of the events, as the code spells them.
fn event_types() -> BTreeSet<String> {
    let code = read("shared/src/domain/event.rs");
    let spelt = code.split("#[serde(rename = \"").skip(1);
    let types = spelt.map(|rest| rest.split('"').next().unwrap().to_owned());
    types.collect()
}

#[test]
fn every_type_of_event_is_in_events_md_and_said_to_be_an_apps_where_it_is() {
    let text = read("docs/EVENTS.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeSet<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[3] == "yes")
        })
        .collect();
    let webhooks = CONTRACT.at("/webhooks").unwrap();
    let described = event_types().into_iter().map(|name| {
        let content = &webhooks[&name]["post"]["requestBody"]["content"];
        let of_app = content["application/json"]["example"]
            .get("app_id")
            .is_some();
        (name, of_app)
    });
    assert_eq!(listed, described.collect());
}

#[test]
fn every_type_of_event_is_described_with_an_example() {
    let webhooks = CONTRACT.at("/webhooks").unwrap().as_object().unwrap();
    assert_eq!(event_types(), webhooks.keys().cloned().collect());
    for webhook in webhooks.values() {
        let described = &webhook["post"]["requestBody"]["content"]["application/json"];
        CONTRACT
            .fits(&described["schema"], &described["example"])
            .unwrap();
    }
}

#[test]
fn every_example_of_a_schema_fits_it() {
    let schemas = CONTRACT
        .at("/components/schemas")
        .unwrap()
        .as_object()
        .unwrap();
    let mut told = 0;
    for (name, schema) in schemas {
        for example in schema["examples"].as_array().into_iter().flatten() {
            let reference = json!({"$ref": format!("#/components/schemas/{name}")});
            CONTRACT.fits(&reference, example).unwrap();
            told += 1;
        }
    }
    assert!(told > 10, "{told}");
}

#[test]
fn every_operation_says_what_it_is_and_what_it_answers() {
    let mut names = BTreeSet::new();
    for (method, path, operation) in CONTRACT.operations() {
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert!(
            names.insert(operation["operationId"].to_string()),
            "{method} {path}"
        );
        assert!(
            !operation["responses"].as_object().unwrap().is_empty(),
            "{method} {path}"
        );
        let of_path = CONTRACT.at("/paths").unwrap()[path]["parameters"].as_array();
        let parameters = of_path.into_iter().flatten().count();
        assert_eq!(
            path.matches('{').count(),
            parameters_in_path(operation, parameters),
            "{path}"
        );
    }
}

/// Path parameters stand with the path, or with its one operation.
fn parameters_in_path(operation: &Value, of_path: usize) -> usize {
    let own = operation["parameters"].as_array().into_iter().flatten();
    of_path + own.filter(|parameter| parameter["in"] == "path").count()
}

#[tokio::test]
async fn the_document_is_served_to_anybody() {
    let world = World::start().await;
    let answer = world
        .send(Call::get("/openapi.json"))
        .await
        .expect_status(200);
    assert_eq!(answer.body["openapi"], "3.1.0");
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[test]
fn the_reference_is_made_of_the_document() {
    let made = reference(&CONTRACT);
    assert!(made == read("docs/API.md"), "run `make reference`");
}

#[test]
fn an_answer_that_the_document_does_not_foresee_is_noticed() {
    let path = "/v1/me/connectors";
    let answered = |status, kind, body: Value| {
        let body = &body;
        CONTRACT.check(&Answered {
            method: "GET",
            path,
            status,
            kind,
            body,
        })
    };
    let json = "application/json";
    answered(200, json, json!({"items": []})).unwrap();
    for (status, kind, body) in [
        (200, json, json!({"items": [], "more": 1})),
        (200, json, json!({"item": []})),
        (200, "text/html", json!("page")),
        (201, json, json!({"items": []})),
        (
            404,
            "application/problem+json",
            json!({"code": "not_found"}),
        ),
    ] {
        answered(status, kind, body).unwrap_err();
    }
}
