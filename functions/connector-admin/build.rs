//! Makes the OpenAPI document out of the files of docs/openapi.
//!
//! The files are merged. Then each operation is completed by what its `x-caller` and `x-problems`
//! stand for, so that a file names each refusal once and the document describes every answer:
//!
//! - `x-caller` (`admin`, `user`, `app`, `exchange`, `browser`, `anybody`): the credential, and the
//!   refusals of whoever has none or a wrong one;
//! - any method but GET of an admin, user or app: the `Idempotency-Key` and its refusals, unless
//!   `x-changes` is false;
//! - of an app's: the header `On-Behalf-Of`, unless `x-on-behalf-of` is false;
//! - `x-problems`: a response for each status, with the codes it can have and an example of each;
//! - `x-pages`: a page for people under each of these statuses;
//! - `x-events`: a webhook each (OpenAPI 3.1), with what every event says;
//! - everywhere: what a function or the gateway answers when something is wrong with itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use serde_json::{Map, Value, json};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn main() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi");
    println!("cargo::rerun-if-changed={}", files.display());
    let mut document = Value::Object(Map::new());
    for file in yaml_files(&files) {
        let text = fs::read_to_string(&file).expect("a file that was listed");
        let part: Value = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        merge(&mut document, part, &file);
    }
    let problems = document["x-problems"].take();
    document
        .as_object_mut()
        .expect("an object")
        .remove("x-problems");
    let problems: BTreeMap<&str, &Value> = members(&problems).collect();
    document["components"]["schemas"]["Problem"] =
        problem(&problems.keys().copied().collect::<Vec<_>>());
    for path in values_mut(&mut document["paths"]) {
        for (method, operation) in members_mut(path).filter(|(name, _)| METHODS.contains(name)) {
            complete(method, operation, &problems);
        }
    }
    let events = document["x-events"].take();
    document
        .as_object_mut()
        .expect("an object")
        .remove("x-events");
    for (name, event) in members(&events) {
        document["webhooks"][name] = webhook(name, event);
    }
    let out = Path::new(&env::var_os("OUT_DIR").expect("Cargo sets it")).join("openapi.json");
    fs::write(out, document.to_string()).expect("OUT_DIR is ours");
}

fn yaml_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("docs/openapi is part of the repository");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    files
}

/// Adds a file to the document. What two files both say is a mistake, but for the objects they
/// say it in.
fn merge(document: &mut Value, part: Value, file: &Path) {
    match (document, part) {
        (Value::Object(document), Value::Object(part)) => {
            for (name, value) in part {
                match document.get_mut(&name) {
                    Some(known) => merge(known, value, file),
                    None => drop(document.insert(name, value)),
                }
            }
        }
        (_, part) => panic!("{}: said twice: {part}", file.display()),
    }
}

fn complete(method: &str, operation: &mut Value, problems: &BTreeMap<&str, &Value>) {
    let caller = operation["x-caller"].as_str().expect("x-caller").to_owned();
    let mut codes: Vec<String> = strings(operation, "x-problems");
    let pages: Vec<u64> = operation["x-pages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|status| status.as_u64().expect("a status"))
        .collect();
    let by_caller: &[&str] = match caller.as_str() {
        "admin" | "user" => &[
            "unauthenticated",
            "forbidden",
            "internal",
            "temporarily_unavailable",
        ],
        "app" => &[
            "unauthenticated",
            "forbidden",
            "insufficient_scope",
            "invalid_request",
            "on_behalf_of_required",
            "internal",
            "temporarily_unavailable",
        ],
        "exchange" | "browser" | "anybody" => &[],
        other => panic!("unknown caller {other}"),
    };
    codes.extend(by_caller.iter().map(|code| (*code).to_owned()));
    let has_problems = !by_caller.is_empty();
    if caller == "app" && operation["x-on-behalf-of"] != false {
        add_parameter(operation, "on_behalf_of");
    }
    if has_problems && method != "get" && operation["x-changes"] != false {
        add_parameter(operation, "idempotency_key");
        let refusals = [
            "idempotency_in_progress",
            "idempotency_key_reused",
            "kms_unavailable",
        ];
        codes.extend(refusals.map(str::to_owned));
    }
    if has_problems && operation.get("requestBody").is_some() {
        codes.extend(["invalid_request".to_owned(), "payload_too_large".to_owned()]);
    }
    if has_problems && operation.get("parameters").is_some_and(has_query) {
        codes.push("invalid_request".to_owned());
    }
    operation["security"] = match caller.as_str() {
        "admin" | "user" => json!([{"jwt": []}]),
        "app" => json!([{"api_key": []}]),
        "exchange" => json!([{"api_key": []}, {"client": []}]),
        "browser" => json!([{}, {"flow_cookie": []}]),
        _ => json!([]),
    };
    let members = operation.as_object_mut().expect("an operation");
    members.remove("x-problems");
    members.remove("x-pages");
    members.remove("x-changes");
    members.remove("x-on-behalf-of");
    let responses = &mut operation["responses"];
    for (status, codes) in by_status(&codes, problems) {
        responses[status.to_string()] = refusal(&codes, problems);
    }
    for status in pages {
        responses[status.to_string()] = json!({
            "description": "A page for people, which says what to do next.",
            "content": {"text/html": {"schema": {"type": "string"}}},
        });
    }
    let mut by_gateway = vec![429, 500, 503];
    if matches!(caller.as_str(), "admin" | "user") {
        by_gateway.push(401);
    }
    for status in by_gateway {
        let response = &mut responses[status.to_string()];
        if response.get("$ref").is_some() {
            // Says itself what the gateway says too.
            continue;
        }
        if response.is_null() {
            *response = json!({"description": "The gateway's own refusal.", "content": {}});
        }
        response["content"]["application/json"] =
            json!({"schema": {"$ref": "#/components/schemas/GatewayMessage"}});
    }
}

fn add_parameter(operation: &mut Value, name: &str) {
    if operation["parameters"].is_null() {
        operation["parameters"] = json!([]);
    }
    let parameters = operation["parameters"].as_array_mut().expect("a list");
    parameters.push(json!({"$ref": format!("#/components/parameters/{name}")}));
}

/// Whether something beside ids in the path can be wrong. Shared parameters of paths are ids.
fn has_query(parameters: &Value) -> bool {
    let of_query = |parameter: &Value| match parameter["$ref"].as_str() {
        Some(shared) => !shared.ends_with("_id"),
        None => parameter["in"] == "query",
    };
    let all = parameters.as_array();
    all.is_some_and(|all| all.iter().any(of_query))
}

fn by_status<'a>(
    codes: &'a [String],
    problems: &BTreeMap<&str, &Value>,
) -> BTreeMap<u64, Vec<&'a str>> {
    let mut by_status: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let problem = problems.get(code.as_str());
        let problem = problem.unwrap_or_else(|| panic!("unknown problem {code}"));
        let status = problem["status"].as_u64().expect("a status");
        by_status.entry(status).or_default().push(code);
    }
    for codes in by_status.values_mut() {
        codes.sort_unstable();
        codes.dedup();
    }
    by_status
}

/// The response for the refusals of one status.
fn refusal(codes: &[&str], problems: &BTreeMap<&str, &Value>) -> Value {
    let text = |code: &&str, name: &str| problems[code][name].as_str().expect("a text").to_owned();
    let lines: Vec<_> = codes
        .iter()
        .map(|code| format!("- `{code}`: {}", text(code, "about")))
        .collect();
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| {
            let mut example = json!({
                "type": format!("urn:grantry:problem:{code}"),
                "title": text(code, "title"),
                "status": problems[code]["status"],
                "detail": text(code, "about"),
                "code": code,
            });
            for (name, value) in members_of(code) {
                example[name] = value;
            }
            ((*code).to_owned(), json!({"value": example}))
        })
        .collect();
    let mut response = json!({
        "description": lines.join("\n"),
        "content": {"application/problem+json": {"schema": problem(codes), "examples": examples}},
    });
    let waits = [
        "rate_limited",
        "provider_unavailable",
        "kms_unavailable",
        "temporarily_unavailable",
    ];
    if codes.iter().any(|code| waits.contains(code)) {
        response["headers"] = json!({"Retry-After": {
            "description": "Seconds to wait before the next try.",
            "schema": {"type": "integer", "minimum": 1},
        }});
    }
    response
}

/// What a refusal says beside the members of all.
fn members_of(code: &str) -> Vec<(&'static str, Value)> {
    match code {
        "invalid_request" => vec![(
            "errors",
            json!([{"field": "name", "detail": "must be 1 to 100 characters without control characters"}]),
        )],
        "reconnect_required" => vec![("reason", json!("grant_revoked"))],
        "plan_required" => vec![("required_plan", json!("builder"))],
        "insufficient_scope" => vec![("required_scope", json!("tokens:read"))],
        _ => Vec::new(),
    }
}

/// The schema of a problem with one of these codes (RFC 9457).
fn problem(codes: &[&str]) -> Value {
    let mut properties = json!({
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do about it."},
        "code": {"type": "string", "enum": codes},
    });
    let mut required = vec!["type", "title", "status", "detail", "code"];
    for code in codes {
        for (name, _) in members_of(code) {
            properties[name] = match name {
                "errors" => json!({
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/FieldError"},
                }),
                "reason" => json!({"$ref": "#/components/schemas/ReconnectReason"}),
                _ => json!({"type": "string"}),
            };
            if codes.len() == 1 && name != "errors" {
                required.push(name);
            }
        }
    }
    json!({"type": "object", "required": required, "properties": properties})
}

/// How an event is described: as a webhook would bring it, the `detail` of EventBridge's event.
fn webhook(name: &str, event: &Value) -> Value {
    let mut properties = json!({
        "id": {"$ref": "#/components/schemas/EventId"},
        "version": {"const": 1, "description": "Of this description. It grows when a member changes its meaning."},
        "type": {"const": name},
        "time": {"$ref": "#/components/schemas/Time"},
        "workspace_id": {"$ref": "#/components/schemas/Id"},
        "actor": {"$ref": "#/components/schemas/Actor"},
        "request_id": {"type": "string", "description": "Of the request that changed it; in its log line too."},
    });
    let mut example = json!({
        "id": "Q2hhbmdlLW9uZQ",
        "version": 1,
        "type": name,
        "time": "2026-11-23T09:30:00Z",
        "workspace_id": "acme",
        "actor": {"kind": "system"},
    });
    if event["connector"] != false {
        properties["connector_id"] = json!({"$ref": "#/components/schemas/Id"});
        example["connector_id"] = json!("Gm9sQd1mVxkq3yYhA0b2Zw");
    }
    if event["connection"] == true {
        properties["connection_id"] = json!({"$ref": "#/components/schemas/Id"});
        properties["app_id"] = json!({"$ref": "#/components/schemas/Id"});
        properties["subject"] = json!({"$ref": "#/components/schemas/ConnectorKind"});
        example["connection_id"] = json!("Yp0c3VjaCBhbiBpZA");
        example["app_id"] = json!("shop");
        example["subject"] = json!("user");
    }
    for (member, schema) in event.get("members").into_iter().flat_map(members) {
        properties[member] = schema.clone();
        example[member] = event["example"][member].clone();
    }
    // Those of a user's own account alone, and what not every change has.
    let mut required: Vec<_> = members(&properties)
        .map(|(name, _)| name.to_owned())
        .collect();
    required.retain(|name| name != "request_id");
    if event["connection"] == true {
        properties["user_id"] = json!({"$ref": "#/components/schemas/UserId"});
        properties["alias"] = json!({"$ref": "#/components/schemas/Alias"});
        example["user_id"] = json!("auth0|5f7c8");
    }
    json!({"post": {
        "summary": event["summary"],
        "requestBody": {"content": {"application/json": {
            "schema": {"type": "object", "required": required, "properties": properties},
            "example": example,
        }}},
        "responses": {"2XX": {"description": "Taken."}},
    }})
}

fn strings(value: &Value, name: &str) -> Vec<String> {
    let all = value[name].as_array().into_iter().flatten();
    all.map(|text| text.as_str().expect("a text").to_owned())
        .collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().expect("an object");
    members.iter().map(|(name, value)| (name.as_str(), value))
}

fn members_mut(value: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let members = value.as_object_mut().expect("an object");
    members
        .iter_mut()
        .map(|(name, value)| (name.as_str(), value))
}

fn values_mut(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    members_mut(value).map(|(_, value)| value)
}
