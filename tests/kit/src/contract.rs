//! The OpenAPI document as a judge of answers.
//!
//! Stricter than what is promised to clients: a member of an answer that the document does not know
//! is an error here, because it would be undocumented.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

/// The document.
#[derive(Debug)]
pub struct Contract {
    document: Value,
    validators: Mutex<BTreeMap<String, Arc<Validator>>>,
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The request's method, in capitals.
    pub method: &'a str,
    /// The request's path, without its query.
    pub path: &'a str,
    /// The status.
    pub status: u64,
    /// The `content-type` without parameters; empty where there is no body.
    pub kind: &'a str,
    /// The body: JSON, or text as a string.
    pub body: &'a Value,
}

impl Contract {
    /// The contract that a document makes.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn new(document: &str) -> Self {
        let mut document = serde_json::from_str(document).expect("the document is JSON");
        close(&mut document);
        Self {
            document,
            validators: Mutex::default(),
        }
    }

    /// The operations: method in capitals, path, and what is said of it.
    pub fn operations(&self) -> impl Iterator<Item = (String, &str, &Value)> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| {
            let operations = item.as_object().into_iter().flatten();
            operations
                .filter(|(_, operation)| operation.get("operationId").is_some())
                .map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
        })
    }

    /// What stands at a JSON pointer (RFC 6901) of the document.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.document.pointer(pointer)
    }

    /// What is wrong with an answer. Nothing is known of paths that the document does not have,
    /// which is the business of other tests.
    ///
    /// # Errors
    /// A sentence that says what the document does not foresee.
    pub fn check(&self, answered: &Answered<'_>) -> Result<(), String> {
        let Answered {
            method,
            path,
            status,
            kind,
            body,
        } = *answered;
        // As a router does: a path that is spelt out goes before one with parameters.
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let paths = paths.filter(|(pattern, _)| fits(pattern, path));
        let Some((pattern, item)) = paths.min_by_key(|(pattern, _)| pattern.matches('{').count())
        else {
            return Ok(());
        };
        let Some(operation) = item.get(method.to_lowercase()) else {
            return Ok(());
        };
        let wrong = |what: String| {
            Err(format!(
                "{method} {pattern} answered {status} {kind}: {what}"
            ))
        };
        let response = &operation["responses"][status.to_string()];
        let response = match response["$ref"].as_str() {
            Some(reference) => self.at(&reference[1..]).unwrap_or(&Value::Null),
            None => response,
        };
        if response.is_null() {
            return wrong(format!("no such status in the document: {body}"));
        }
        let Some(content) = response.get("content") else {
            return match body {
                Value::String(text) if text.is_empty() => Ok(()),
                _ => wrong(format!("a body where the document has none: {body}")),
            };
        };
        let Some(schema) = content.get(kind).map(|media| &media["schema"]) else {
            return wrong(format!("no such content in the document: {body}"));
        };
        let validator = self.validator(&format!("{method} {pattern} {status} {kind}"), schema);
        match validator.validate(body) {
            Ok(()) => Ok(()),
            Err(error) => wrong(format!("{error} at {}: {body}", error.instance_path())),
        }
    }

    /// Whether the document foresees a value at a schema of its own.
    ///
    /// # Errors
    /// A sentence that says what it does not.
    pub fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let validator = self.validator(&schema.to_string(), schema);
        validator
            .validate(value)
            .map_err(|error| format!("{error}: {value}"))
    }

    fn validator(&self, name: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(name.to_owned()).or_insert_with(|| {
            // References of the document begin at its root.
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "components": self.document["components"],
                "allOf": [schema],
            });
            let options = jsonschema::options().should_validate_formats(true);
            Arc::new(options.build(&whole).expect("a schema of the document"))
        });
        Arc::clone(made)
    }
}

/// Lets objects have no other members than those that are described.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let open = members.get("properties").is_some_and(Value::is_object)
                && members.get("type") == Some(&json!("object"))
                && !members.contains_key("additionalProperties");
            if open {
                members.insert("additionalProperties".into(), json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a path is one of a pattern.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}
