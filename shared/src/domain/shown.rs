//! What others wrote, as far as it can be shown to people.

/// The first `most` characters of `text` that can be shown: no control characters, and none that
/// turn the direction of what follows, end a line or hide (H-09). The joiners U+200C and U+200D
/// stay: Persian words and many emoji are not themselves without them.
pub fn shown(text: &str, most: usize) -> String {
    let can_be = |c: &char| !c.is_control() && !misleads(*c);
    text.chars().filter(can_be).take(most).collect()
}

/// The format characters and separators that make text read as another (Unicode Standard, sections
/// 23.2 and 23.3; Unicode Technical Report 36).
fn misleads(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' // soft hyphen
        | '\u{61c}' | '\u{200e}' | '\u{200f}' // marks of direction
        | '\u{180e}' | '\u{200b}' | '\u{feff}' // blanks without a width
        | '\u{2028}' | '\u{2029}' // ends of lines and paragraphs
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // embeddings, overrides, isolates
        | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' // invisible operators, obsolete formats
        | '\u{fff9}'..='\u{fffb}' // annotations
        | '\u{e0000}'..='\u{e007f}' // tags
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h09_nothing_is_left_that_turns_ends_or_hides_text() {
        let evil = "a\u{1b}[31m\r\nX: y\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}\u{e0041}\u{ad}b\0";
        assert_eq!(shown(evil, 99), "a[31mX: yb");
    }

    #[test]
    fn letters_of_every_script_and_their_joiners_stay() {
        for text in [
            "<b>&\"'",
            "می\u{200c}خواهم",
            "👩\u{200d}🚀",
            "\u{fffd}",
            "שלום",
        ] {
            assert_eq!(shown(text, 99), text);
        }
        assert_eq!(shown("grün", 3), "grü");
    }
}
