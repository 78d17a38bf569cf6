//! JSON made out of JSON pointers (RFC 6901).

use serde_json::{Map, Value};

/// Puts `value` where `pointer` points, and makes what is missing on the way. What is there
/// already stays.
pub(super) fn put(whole: &mut Value, pointer: &str, value: Value) {
    let mut place = whole;
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = match name.parse::<usize>() {
                Ok(_) => Value::Array(Vec::new()),
                Err(_) => Value::Object(Map::new()),
            };
        }
        place = match place {
            Value::Array(items) => {
                let index: usize = name.parse().expect("a place in an array is a number");
                while items.len() <= index {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            Value::Object(members) => members.entry(name).or_insert(Value::Null),
            other => panic!("{pointer} leads through {other}"),
        };
    }
    if place.is_null() {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_make_objects_and_arrays_and_leave_what_is_there() {
        let mut whole = Value::Null;
        put(&mut whole, "/a/0/b", json!(1));
        put(&mut whole, "/a/0/b", json!(2));
        put(&mut whole, "/a/1", json!("x"));
        put(&mut whole, "/c~1d", json!(true));
        assert_eq!(whole, json!({"a": [{"b": 1}, "x"], "c/d": true}));
        let mut list = Value::Null;
        put(&mut list, "/0/id", json!("first"));
        assert_eq!(list, json!([{"id": "first"}]));
    }
}
