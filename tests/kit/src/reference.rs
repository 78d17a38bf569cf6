//! The OpenAPI document as a page for people: docs/API.md.

use std::fmt::Write as _;

use serde_json::Value;

use crate::contract::Contract;

/// The page, in Markdown.
pub fn reference(contract: &Contract) -> String {
    let mut page = String::from(
        "# API\n\nMade from the OpenAPI document (`docs/openapi`, served at `/openapi.json`) by \
         `make reference`.\n\n",
    );
    page.push_str(text(contract.at("/info/description")));
    for tag in array(contract.at("/tags")) {
        let name = text(tag.get("name"));
        let _ = write!(page, "\n## {name}\n\n{}\n", text(tag.get("description")));
        for (method, path, operation) in contract.operations() {
            if operation["tags"][0] == *name {
                write_operation(&mut page, contract, &method, path, operation);
            }
        }
    }
    write_events(&mut page, contract);
    write_schemas(&mut page, contract);
    write_problems(&mut page, contract);
    page
}

fn write_operation(
    page: &mut String,
    contract: &Contract,
    method: &str,
    path: &str,
    operation: &Value,
) {
    let _ = write!(
        page,
        "\n### `{method} {path}`\n\n{}.",
        text(operation.get("summary"))
    );
    let caller = match text(operation.get("x-caller")) {
        "admin" => "an admin's JWT",
        "user" => "a user's JWT",
        "app" => "an app's API key",
        "exchange" => "an app's API key, as an OAuth client",
        "browser" => "a browser in a flow",
        _ => "nobody has to say who they are",
    };
    let _ = writeln!(page, " Caller: {caller}.");
    let description = text(operation.get("description")).trim();
    if !description.is_empty() {
        let _ = write!(page, "\n{description}\n");
    }
    let of_path = contract
        .at("/paths")
        .map(|paths| &paths[path]["parameters"]);
    let parameters: Vec<_> = array(of_path)
        .chain(array(operation.get("parameters")))
        .map(|parameter| resolved(contract, parameter))
        .filter(|parameter| parameter["in"] != "path")
        .collect();
    if !parameters.is_empty() {
        page.push_str("\n| parameter | in | |\n|---|---|---|\n");
        for parameter in parameters {
            let name = text(parameter.get("name"));
            let place = text(parameter.get("in"));
            let about = line(text(parameter.get("description")));
            let kind = kind(&parameter["schema"]);
            let _ = writeln!(page, "| `{name}` | {place} | {kind}. {about} |");
        }
    }
    for (media, body) in object(operation.get("requestBody").map(|body| &body["content"])) {
        let _ = match body["schema"].get("properties") {
            Some(_) => writeln!(page, "\nBody (`{media}`):"),
            None => writeln!(page, "\nBody (`{media}`): {}", kind(&body["schema"])),
        };
        write_members(page, &body["schema"]);
        for example in array(body["schema"].get("examples")) {
            write_example(page, example);
        }
    }
    page.push_str("\n| status | |\n|---|---|\n");
    for (status, response) in object(operation.get("responses")) {
        let response = resolved(contract, response);
        let about = text(response.get("description"));
        // What the gateway says by itself is told once, at the top of the page.
        let mut media = object(response.get("content")).filter(|(_, body)| !is_gateways(body));
        let line = match media.next() {
            Some((_, body)) if about.starts_with("- `") => codes(&body["schema"]),
            Some((media, _)) if media == "text/html" => line(about),
            Some((_, body)) => format!("{} {}", line(about), kind(&body["schema"])),
            None if response.get("content").is_some() => continue,
            None => line(about),
        };
        let _ = writeln!(page, "| {status} | {line} |");
    }
}

fn is_gateways(body: &Value) -> bool {
    body["schema"]["$ref"] == "#/components/schemas/GatewayMessage"
}

fn codes(schema: &Value) -> String {
    let codes = array(Some(&schema["properties"]["code"]["enum"]));
    let codes: Vec<_> = codes
        .map(|code| format!("`{}`", text(Some(code))))
        .collect();
    codes.join(", ")
}

fn write_events(page: &mut String, contract: &Contract) {
    page.push_str(
        "\n## Events\n\nPublished on the stack's EventBridge bus with the source `grantry` and the event's \
         `type` as its detail type, at least once: receivers de-duplicate by `id`.\n",
    );
    for (name, webhook) in object(contract.at("/webhooks")) {
        let described = &webhook["post"];
        let _ = write!(
            page,
            "\n### {name}\n\n{}.\n",
            text(described.get("summary"))
        );
        let body = &described["requestBody"]["content"]["application/json"];
        write_members(page, &body["schema"]);
        write_example(page, &body["example"]);
    }
}

fn write_schemas(page: &mut String, contract: &Contract) {
    page.push_str("\n## Objects\n");
    for (name, schema) in object(contract.at("/components/schemas")) {
        if name == "Problem" {
            continue;
        }
        let _ = write!(page, "\n### {name}\n");
        if schema.get("properties").is_none() {
            let _ = writeln!(page, "\n{}", kind(schema));
        }
        let about = text(schema.get("description")).trim();
        if !about.is_empty() {
            let _ = write!(page, "\n{about}\n");
        }
        write_members(page, schema);
        for example in array(schema.get("examples")).take(1) {
            if example.is_object() {
                write_example(page, example);
            }
        }
    }
}

fn write_members(page: &mut String, schema: &Value) {
    let required: Vec<_> = array(schema.get("required")).collect();
    let mut members = object(schema.get("properties")).peekable();
    if members.peek().is_none() {
        return;
    }
    page.push_str("\n| member | | |\n|---|---|---|\n");
    for (name, member) in members {
        let must = required.iter().any(|it| *it == name);
        let must = if must { "always" } else { "optional" };
        let about = line(text(member.get("description")));
        let _ = writeln!(page, "| `{name}` | {must} | {} {about} |", kind(member));
    }
}

fn write_problems(page: &mut String, contract: &Contract) {
    page.push_str("\n## Refusals\n\n| code | status | title |\n|---|---|---|\n");
    let mut told = std::collections::BTreeMap::new();
    for (_, _, operation) in contract.operations() {
        for (status, response) in object(operation.get("responses")) {
            let problems = &response["content"]["application/problem+json"]["examples"];
            for (code, example) in object(Some(problems)) {
                let title = text(example["value"].get("title")).to_owned();
                told.insert(code.clone(), (status.clone(), title));
            }
        }
    }
    for (code, (status, title)) in told {
        let _ = writeln!(page, "| `{code}` | {status} | {title} |");
    }
}

fn write_example(page: &mut String, example: &Value) {
    let pretty = serde_json::to_string_pretty(example).expect("JSON");
    let _ = write!(page, "\n```json\n{pretty}\n```\n");
}

/// What a value is, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    let values: Vec<_> = array(schema.get("enum"))
        .map(|value| format!("`{value}`"))
        .collect();
    if !values.is_empty() {
        return format!("one of {}", values.join(", "));
    }
    for (member, between) in [("anyOf", " or "), ("oneOf", " or ")] {
        let kinds: Vec<_> = array(schema.get(member)).map(kind).collect();
        if !kinds.is_empty() {
            return kinds.join(between);
        }
    }
    let types = match &schema["type"] {
        Value::Array(types) => types
            .iter()
            .map(|it| text(Some(it)))
            .collect::<Vec<_>>()
            .join(" or "),
        only => text(Some(only)).to_owned(),
    };
    let members: Vec<_> = object(schema.get("properties"))
        .map(|(name, member)| format!("`{name}` ({})", kind(member)))
        .collect();
    if !members.is_empty() {
        return format!("with {}", members.join(", "));
    }
    let mut kind = if types.starts_with("array") {
        format!("{types} of {}", self::kind(&schema["items"]))
    } else {
        types
    };
    for (limit, words) in [
        ("maxLength", "at most {} characters"),
        ("maxItems", "at most {} items"),
        ("minimum", "from {}"),
        ("maximum", "to {}"),
        ("default", "default {}"),
        ("format", "{}"),
    ] {
        if let Some(value) = schema.get(limit) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            kind.push_str(&format!(", {}", words.replace("{}", &value)));
        }
    }
    kind
}

fn resolved<'a>(contract: &'a Contract, value: &'a Value) -> &'a Value {
    let pointed = value["$ref"].as_str().and_then(|to| contract.at(&to[1..]));
    pointed.unwrap_or(value)
}

/// Text as it fits a cell of a table.
fn line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>();
    words.join(" ").replace('|', "\\|")
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}
