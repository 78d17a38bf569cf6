//! JSON from strangers. As `serde_json`, except that no member of the protocol may stand twice
//! in one object: which of the two counts is where parsers differ and attacks begin (RFC 6749
//! section 3.2: parameters must not be included more than once).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Members whose second appearance makes the whole text unreadable.
const ONCE: [&str; 7] = [
    "access_token",
    "error",
    "expires_in",
    "id_token",
    "refresh_token",
    "scope",
    "token_type",
];

/// The value of `text`; `None` when it is not JSON in UTF-8, or ambiguous.
pub(super) fn parse(text: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Unambiguous>(text)
        .ok()
        .map(|value| value.0)
}

/// What stands at `pointer` as text: strings as they are, numbers written out, for ids come as
/// either. `None` for anything else and for empty text.
pub(super) fn text_at(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree).map(Self)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(item) = items.next_element::<Unambiguous>()? {
            values.push(item.0);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value::<Unambiguous>()?;
            if ONCE.contains(&name.as_str()) && map.contains_key(&name) {
                return Err(de::Error::custom("repeated member"));
            }
            map.insert(name, value.0);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_out_as_they_went_in() {
        let value = json!({"a": [1, -2, 1.5, "x", true, null], "b": {"c": {}}});
        assert_eq!(parse(value.to_string().as_bytes()), Some(value));
    }

    #[test]
    fn a_repeated_protocol_member_makes_the_answer_unreadable() {
        for text in [
            r#"{"access_token":"a","access_token":"b"}"#,
            r#"{"x":{"refresh_token":"a","refresh_token":"b"}}"#,
            r#"{"x":[{"scope":"a","scope":"b"}]}"#,
            r#"{"error":"a","err\u006fr":"b"}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert!(parse(br#"{"extra":1,"extra":2}"#).is_some());
    }

    #[test]
    fn what_is_not_json_is_none() {
        for text in [
            &b""[..],
            b"<html>",
            b"{\"a\":",
            b"{\"a\":\"\xff\"}",
            b"{} {}",
        ] {
            assert_eq!(parse(text), None);
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()), None);
    }
}
