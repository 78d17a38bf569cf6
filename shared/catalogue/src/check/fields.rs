//! Fields, and what may stand in their blanks (H-35).

use std::collections::BTreeSet;

use super::{Faults, pattern, whole};
use crate::blank::blanks;
use crate::template::{Field, Template};
use crate::words::AskedOf;

/// Names that blanks have without a field.
pub(super) const RESERVED: [&str; 3] = ["client_id", "tenantid", "token"];

/// Hosts of a stranger.
const STRANGERS: [&str; 6] = [
    "evil.com",
    "evil.example",
    "evil.co.uk",
    "a.b",
    "a.b.c.d",
    "evil.com.x",
];

pub(super) fn check(template: &Template, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    let used: BTreeSet<&str> = texts(template)
        .into_iter()
        .flat_map(|(_, text)| blanks(text))
        .collect();
    for field in &template.fields {
        let member = format!("fields.{}", field.name);
        super::kept_name(&field.name, &member, faults);
        faults.require(names.insert(&field.name), &member, "is there twice");
        let reserved = RESERVED.contains(&field.name.as_str());
        faults.require(!reserved, &member, "has the name of another blank");
        faults.require(
            used.contains(field.name.as_str()),
            &member,
            "is used by nothing",
        );
        let kept = template.captured.keys().chain(template.callback.keys());
        faults.require(
            !kept.into_iter().any(|name| *name == field.name),
            &member,
            "has the name of a value that the provider gives",
        );
        values(field, &member, faults);
    }
    for (member, text) in texts(template) {
        for name in blanks(text) {
            let known = template.fields.iter().any(|field| field.name == name);
            let reserved = RESERVED.contains(&name) || captured(template, name);
            faults.require(
                known || reserved,
                &member,
                format!("{{{name}}} stands for no field"),
            );
        }
    }
}

/// Whether a blank is `{captured.name}` of a value there is.
fn captured(template: &Template, blank: &str) -> bool {
    blank.strip_prefix("captured.").is_some_and(|name| {
        template.captured.contains_key(name) || template.callback.contains_key(name)
    })
}

fn values(field: &Field, member: &str, faults: &mut Faults) {
    let Some(rule) = &field.pattern else { return };
    let Some(rule) = pattern(rule, &format!("{member}.pattern"), faults) else {
        return;
    };
    let default = field.default.as_ref().map(|value| (value, "default"));
    for (value, name) in default.into_iter().chain([(&field.example, "example")]) {
        let member = format!("{member}.{name}");
        faults.require(rule.is_match(value), &member, "does not match the pattern");
    }
}

/// Every text that may hold a blank: URLs and values of parameters.
fn texts(template: &Template) -> Vec<(String, &str)> {
    let mut texts = super::urls::urls(template);
    for (place, params) in super::requests::params(template) {
        let named = params.iter();
        texts.extend(named.map(|(name, value)| (format!("{place}.{name}"), value.as_str())));
    }
    texts
}

/// What a field must be whose blank stands in a URL.
pub(super) fn in_url(field: &Field, member: &str, faults: &mut Faults) {
    faults.require(
        field.required || field.default.is_some(),
        member,
        format!("{{{}}} may be left empty", field.name),
    );
    let Some(pattern) = &field.pattern else {
        let reason = format!("{{{}}} stands in a URL and has no pattern", field.name);
        faults.require(false, member, reason);
        return;
    };
    if let Some(other) = beyond_labels(pattern) {
        let reason = format!(
            "the pattern of {{{}}} has {other:?}: it must spell letters, digits, -, _ and dots",
            field.name
        );
        faults.require(false, member, reason);
    }
}

/// The first part of a pattern by which it could match anything else than letters, digits, `-`,
/// `_` and dots: what none of these can be part of is a value that ends a host or a path segment
/// or changes what follows. A dot is one that is escaped or in a class.
fn beyond_labels(pattern: &str) -> Option<String> {
    let mut chars = pattern.chars().peekable();
    let literal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    while let Some(c) = chars.next() {
        match c {
            '^' | '$' | ')' | '|' | '*' | '+' | '?' => {}
            '(' => {
                if chars.next_if_eq(&'?').is_some() && chars.next() != Some(':') {
                    return Some("(?".into());
                }
            }
            '{' => {
                while chars.next_if(|c| c.is_ascii_digit() || *c == ',').is_some() {}
                if chars.next() != Some('}') {
                    return Some("{".into());
                }
            }
            '\\' => match chars.next() {
                Some('.' | '-' | 'd') => {}
                other => return Some(format!("\\{}", other.unwrap_or(' '))),
            },
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                if !is_class_of_labels(&inside) {
                    return Some(format!("[{inside}]"));
                }
            }
            c if literal(c) => {}
            other => return Some(other.to_string()),
        }
    }
    None
}

/// What stands between the brackets of a class: ranges of letters or of digits, and single
/// characters.
fn is_class_of_labels(inside: &str) -> bool {
    let mut rest = inside.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = match behind {
            [b'-', last, behind @ ..] => {
                let kinds = [b'a'..=b'z', b'A'..=b'Z', b'0'..=b'9'];
                if !kinds
                    .iter()
                    .any(|kind| kind.contains(first) && kind.contains(last))
                {
                    return false;
                }
                behind
            }
            behind => {
                if !(first.is_ascii_alphanumeric() || b"-_.".contains(first)) {
                    return false;
                }
                behind
            }
        };
    }
    !inside.is_empty()
}

/// What a field must be whose blank stands in a host. Where a domain follows the blank, the host
/// is one of that domain. Where none does, the value says which host it is, and only an admin,
/// whose client secret goes there, may choose any.
pub(super) fn in_host(field: &Field, host: &str, member: &str, faults: &mut Faults) {
    let blank = format!("{{{}}}", field.name);
    let (before, behind) = host.rsplit_once(&blank).unwrap_or_default();
    let domain = behind.find('.').map_or("", |at| &behind[at + 1..]);
    if domain.contains('.') || field.asked == AskedOf::Admin && host == blank {
        return;
    }
    let is_end = behind.is_empty() && (before.is_empty() || before.ends_with('.'));
    faults.require(is_end, member, format!("no domain follows {blank}"));
    let Some(pattern) = field.pattern.as_deref().and_then(whole) else {
        return;
    };
    let mut strangers: Vec<String> = STRANGERS.map(str::to_owned).into();
    strangers.push(format!("{}.evil.com", field.example));
    if let Some((_, domain)) = field.example.split_once('.') {
        strangers.extend([format!("evil{domain}"), format!("evil.{domain}.evil.com")]);
    }
    if let Some(stranger) = strangers.iter().find(|host| pattern.is_match(host)) {
        let reason = format!("the pattern of {blank} lets secrets go to {stranger}");
        faults.require(false, member, reason);
    }
}
