//! Blanks: `{name}` in a text, to be filled with a value of that name.

/// The names of the blanks in a text, in order.
pub fn blanks(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// The text with each blank filled that `value` knows. Filled once: a value that looks like a
/// blank is no blank. What is not known stays.
pub fn fill<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after
            .split_once('}')
            .and_then(|(name, after)| Some((value(name)?, after)));
        match known {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_looks_like_a_blank_is_no_blank() {
        let value = |name: &str| match name {
            "a" => Some("{b}"),
            "b" => Some("2"),
            _ => None,
        };
        assert_eq!(fill("{a}{b}{c}{", value), "{b}2{c}{");
        assert_eq!(blanks("x{a}/{b}{").collect::<Vec<_>>(), ["a", "b"]);
    }
}
