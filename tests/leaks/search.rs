//! The search for many secrets at once, in each of the encodings they may have been written in.
//!
//! A secret need not stand alone: base64 of a text around it looks different depending on where
//! the secret begins in it, and its first and last characters depend on the neighbours too. So
//! each of the three alignments is searched for, without those characters.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value};

/// Shorter secrets are not searched for: text this short turns up by chance, and no real secret
/// is guessable like that.
const SHORTEST: usize = 8;

/// Finds a fixed set of secrets. One pass over the text, whatever their number: only where eight
/// bytes equal the last eight of something wanted is anything compared.
pub(crate) struct Searcher {
    wanted: HashMap<[u8; SHORTEST], Vec<Wanted>>,
}

struct Wanted {
    bytes: Vec<u8>,
    told_as: String,
}

impl Searcher {
    /// A searcher for secrets, each with the name under which it is told.
    pub(crate) fn new(secrets: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut wanted: HashMap<_, Vec<_>> = HashMap::new();
        for (name, secret) in secrets {
            if secret.len() < SHORTEST {
                continue;
            }
            for (encoding, bytes) in encodings(&secret) {
                let told_as = format!("{name} {encoding}");
                let end = *bytes
                    .last_chunk()
                    .expect("no encoding is shorter than the secret");
                wanted
                    .entry(end)
                    .or_default()
                    .push(Wanted { bytes, told_as });
            }
        }
        Self { wanted }
    }

    /// What occurs in some bytes.
    pub(crate) fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (index, end) in bytes.array_windows::<SHORTEST>().enumerate() {
            for wanted in self.wanted.get(end).into_iter().flatten() {
                if bytes[..index + SHORTEST].ends_with(&wanted.bytes) {
                    found.insert(wanted.told_as.clone());
                }
            }
        }
        found
    }

    /// What occurs in the names and values of a document, and in the binary values that the
    /// dump writes as `{"b64": …}`.
    pub(crate) fn in_json(&self, value: &Value) -> BTreeSet<String> {
        match value {
            Value::String(text) => self.in_bytes(text.as_bytes()),
            Value::Array(values) => values
                .iter()
                .flat_map(|value| self.in_json(value))
                .collect(),
            Value::Object(members) => {
                let binary = binary(members);
                let names = members.keys().map(String::as_bytes);
                let bytes = names.chain(binary.as_deref());
                let nested = members.values().flat_map(|value| self.in_json(value));
                bytes
                    .flat_map(|bytes| self.in_bytes(bytes))
                    .chain(nested)
                    .collect()
            }
            Value::Number(_) | Value::Bool(_) | Value::Null => BTreeSet::new(),
        }
    }
}

/// The bytes of a binary value.
pub(crate) fn binary(members: &Map<String, Value>) -> Option<Vec<u8>> {
    STANDARD.decode(members.get("b64")?.as_str()?).ok()
}

/// A secret in each encoding, without those that change nothing about it.
fn encodings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |digits: &[u8; 16]| {
        let digit = |nibble: u8| digits[usize::from(nibble)];
        secret
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    };
    let percent = percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form: String = form_urlencoded::byte_serialize(secret).collect();
    let mut encodings: Vec<(&'static str, Vec<u8>)> = vec![
        ("as it is", secret.to_vec()),
        ("in hex", hex(b"0123456789abcdef")),
        ("in hex", hex(b"0123456789ABCDEF")),
        ("percent-encoded", lower_escapes(&percent).into()),
        ("percent-encoded", percent.into()),
        ("percent-encoded", lower_escapes(&form).into()),
        ("percent-encoded", form.into()),
    ];
    if let Ok(text) = std::str::from_utf8(secret) {
        let quoted = Value::from(text).to_string();
        encodings.push(("escaped for JSON", quoted[1..quoted.len() - 1].into()));
    }
    for (name, alphabet) in [
        ("in base64", &alphabet::STANDARD),
        ("in base64url", &alphabet::URL_SAFE),
    ] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        encodings.extend((0..3).map(|before| (name, base64_within(&engine, secret, before))));
    }
    let mut known = BTreeSet::new();
    encodings.retain(|(_, bytes)| known.insert(bytes.clone()));
    encodings
}

/// The characters that a secret alone decides when `before` bytes, modulo three, precede it.
fn base64_within(engine: &GeneralPurpose, secret: &[u8], before: usize) -> Vec<u8> {
    let text = engine.encode([&[0; 2][..before], secret].concat());
    let (first, end) = ((before * 8).div_ceil(6), (before + secret.len()) * 8 / 6);
    text.as_bytes()[first..end].to_vec()
}

/// The same text with `%2f` for `%2F`.
fn lower_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        lower.extend(["%", &digits.to_lowercase(), rest]);
    }
    lower
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;

    /// Holds something that every encoding writes differently: `ÿ` and `>` are `/` and `+` in
    /// base64, and so `_` and `-` in base64url.
    const SECRET: &str = "s3cr\"et\\ÿÿÿ>>>~/+=&_-.é value";

    fn searcher() -> Searcher {
        Searcher::new([("it".to_owned(), SECRET.into())])
    }

    fn finds(text: &str) -> bool {
        !searcher().in_bytes(text.as_bytes()).is_empty()
    }

    #[test]
    fn a_planted_secret_is_found_in_every_encoding() {
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        let escaped = |upper: bool| -> String {
            let byte = |byte: u8| match (byte, upper) {
                (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9', _) => char::from(byte).to_string(),
                (_, true) => format!("%{byte:02X}"),
                (_, false) => format!("%{byte:02x}"),
            };
            SECRET.bytes().map(byte).collect()
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("x", SECRET)
            .finish();
        let inner = json!({"token": SECRET}).to_string();
        for planted in [
            SECRET.to_owned(),
            format!("before{SECRET}after"),
            hex.clone(),
            hex.to_uppercase(),
            escaped(true),
            escaped(false),
            form,
            inner,
        ] {
            assert!(finds(&planted), "{planted}");
            assert!(finds(&format!("<{planted}>")), "{planted}");
        }
    }

    #[test]
    fn a_planted_secret_is_found_in_base64_wherever_it_begins_and_ends() {
        for before in 0..6 {
            for after in 0..6 {
                let (head, tail) = (&b"\xe9?~xyz"[..before], &b"\xff>oz.!"[..after]);
                let text = [head, SECRET.as_bytes(), tail].concat();
                for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                    let planted = engine.encode(&text);
                    assert!(finds(&planted), "{before}, {after}: {planted}");
                }
            }
        }
    }

    #[test]
    fn a_secret_is_found_in_values_names_and_binary_values_of_an_item() {
        let sealed = |bytes: &[u8]| json!({"b64": STANDARD.encode(bytes)});
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        for item in [
            json!({"pk": "x", "list": [1, {"deep": SECRET}]}),
            json!({ SECRET: true }),
            json!({"blob": sealed(SECRET.as_bytes())}),
            json!({"blob": sealed(hex.as_bytes())}),
            json!({"blob": sealed(URL_SAFE.encode(SECRET).as_bytes())}),
        ] {
            assert!(!searcher().in_json(&item).is_empty(), "{item}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        assert!(!finds(&SECRET[1..]));
        assert!(!finds(&SECRET[..SECRET.len() - 1]));
        assert!(!finds(&STANDARD.encode(&SECRET[..SECRET.len() - 1])));
        let short = Searcher::new([("short".to_owned(), b"alice".to_vec())]);
        assert!(short.in_bytes(b"alice").is_empty());
    }
}
