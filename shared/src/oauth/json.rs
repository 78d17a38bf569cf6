//! JSON from strangers. As `serde_json`, except that no member of the protocol may stand twice
//! in one object: which of the two counts is where parsers differ and attacks begin (RFC 6749
//! section 3.2: parameters must not be included more than once).

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Members whose second appearance makes the whole text unreadable.
const ONCE: [&str; 9] = [
    "access_token",
    "error",
    "error_description",
    "error_uri",
    "expires_in",
    "id_token",
    "refresh_token",
    "scope",
    "token_type",
];

/// How many arrays and objects may stand in one another. The longest pointer a connector may
/// have reaches as far, and no provider's answer comes near (A-30).
const MAX_DEPTH: usize = 8;

/// The value of `text`; `None` when it is not JSON in UTF-8, ambiguous, or nested too deeply.
pub(super) fn parse(text: &[u8]) -> Option<Value> {
    let mut input = serde_json::Deserializer::from_slice(text);
    let value = Tree { room: MAX_DEPTH }.deserialize(&mut input).ok()?;
    input.end().ok()?;
    Some(value)
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

/// A value under construction.
#[derive(Clone, Copy)]
struct Tree {
    /// How many levels of arrays and objects it may still have.
    room: usize,
}

impl Tree {
    /// What stands in an array or object of this value.
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        let room = self.room.checked_sub(1);
        room.map(|room| Self { room })
            .ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

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
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            values.push(item);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inside)?;
            if ONCE.contains(&name.as_str()) && map.contains_key(&name) {
                return Err(de::Error::custom("repeated member"));
            }
            map.insert(name, value);
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
    fn a30_a_repeated_protocol_member_makes_the_answer_unreadable() {
        for name in ONCE {
            let text = format!(r#"{{"{name}":1,"x":2,"{name}":1}}"#);
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
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
    }

    #[test]
    fn a30_what_is_nested_deeper_than_eight_levels_is_unreadable() {
        let nested = |levels: usize, open: &str, close: &str| {
            parse(format!("{}1{}", open.repeat(levels), close.repeat(levels)).as_bytes())
        };
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            assert!(nested(8, open, close).is_some());
            for levels in [9, 200, 20_000] {
                assert_eq!(nested(levels, open, close), None);
            }
        }
        let unclosed = "[".repeat(100_000);
        assert_eq!(parse(unclosed.as_bytes()), None);
    }

    #[test]
    fn a30_a_number_that_is_none_makes_the_answer_unreadable() {
        for number in [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "0x10",
            "01",
            "+1",
            "1.",
        ] {
            let text = format!(r#"{{"access_token":"a","expires_in":{number}}}"#);
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
