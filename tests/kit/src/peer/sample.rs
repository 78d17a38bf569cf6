//! A text that a pattern of the catalogue matches.

use std::iter::Peekable;
use std::str::Chars;

/// The first text, in a manner of speaking, that the whole of `pattern` matches. Knows what
/// patterns of the catalogue are made of: letters, classes, groups, alternatives and repetitions.
///
/// # Panics
/// When what it made does not match.
pub(super) fn sample(pattern: &str) -> String {
    let inside = pattern.trim_start_matches('^').trim_end_matches('$');
    let text = first_of(&mut inside.chars().peekable());
    assert!(
        catalogue_format::matches(pattern, &text),
        "{text} is no sample of {pattern}"
    );
    text
}

/// The first alternative up to the end of the group; the others are passed over.
fn first_of(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut text = String::new();
    let mut is_first = true;
    while let Some(c) = rest.next() {
        let piece = match c {
            ')' => break,
            '|' => {
                is_first = false;
                continue;
            }
            '(' => {
                if rest.next_if_eq(&'?').is_some() {
                    rest.next();
                }
                first_of(rest)
            }
            '[' => {
                let class: String = rest.by_ref().take_while(|c| *c != ']').collect();
                class.chars().next().unwrap_or_default().to_string()
            }
            '\\' => match rest.next() {
                Some('d') => "0".to_owned(),
                other => other.unwrap_or_default().to_string(),
            },
            other => other.to_string(),
        };
        let times = least(rest);
        if is_first {
            text.push_str(&piece.repeat(times));
        }
    }
    text
}

/// How often the piece before has to be there at least.
fn least(rest: &mut Peekable<Chars<'_>>) -> usize {
    match rest.peek() {
        Some('*' | '?') => {
            rest.next();
            0
        }
        Some('+') => {
            rest.next();
            1
        }
        Some('{') => {
            let counts: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
            let least = counts.split(',').next().unwrap_or_default();
            least.parse().expect("a repetition begins with a number")
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn a_sample_is_matched_by_its_pattern() {
        for (pattern, text) in [
            ("^[0-9]{1,20}$", "0"),
            ("^[A-Z0-9]{13}$", "AAAAAAAAAAAAA"),
            ("^(na[1-9]|eu[1-9])$", "na1"),
            (r"^(?:a|b)+\.x[c-d]*(ef?)?\d{2}$", "a.x00"),
        ] {
            assert_eq!(sample(pattern), text, "{pattern}");
        }
    }
}
