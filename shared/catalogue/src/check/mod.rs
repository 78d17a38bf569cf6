//! What a description must not say: contradictions, and whatever would send a secret astray.
//!
//! The build refuses a catalogue with a fault in it, connector-admin an admin's description.

mod fields;
mod requests;
mod urls;

use std::fmt;

use regex_lite::Regex;
use url::Url;

use crate::template::Template;
use crate::words::is_protocol_param;

/// Something that a description must not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which member, with dots between names.
    pub member: String,
    /// What is wrong with it, as the end of a sentence that begins with it.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(member: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            member: member.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.member.is_empty() {
            write!(f, "{}: ", self.member)?;
        }
        f.write_str(&self.reason)
    }
}

/// Whether a URL may be called. Answers what it must be if not.
pub type UrlRule<'a> = dyn Fn(&Url) -> Result<(), String> + 'a;

/// The rule of the catalogue's own files: `https` to a host with a name of at least two labels.
///
/// # Errors
/// What the URL must be.
pub fn public_https(url: &Url) -> Result<(), String> {
    let named = url.domain().is_some_and(|name| {
        name.trim_end_matches('.').contains('.') && !name.ends_with(".localhost")
    });
    let rules = [
        (url.scheme() == "https", "must begin with https://"),
        (
            url.username().is_empty() && url.password().is_none(),
            "must not contain a user name or password",
        ),
        (named, "must name a host on the public internet"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, rule)) => Err(rule.to_owned()),
    }
}

/// Everything that is wrong with a template. `allowed` says which URLs may be called.
pub fn check(template: &Template, allowed: &UrlRule<'_>) -> Vec<Fault> {
    let mut faults = Faults::default();
    fields::check(template, &mut faults);
    urls::check(template, allowed, &mut faults);
    requests::check(template, &mut faults);
    rest(template, &mut faults);
    faults.0
}

/// The faults found so far.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn require(&mut self, holds: bool, member: &str, reason: impl Into<String>) {
        if !holds {
            self.0.push(Fault::new(member, reason));
        }
    }
}

/// What concerns neither fields nor URLs nor requests.
fn rest(template: &Template, faults: &mut Faults) {
    let name = template.name.trim();
    faults.require(
        name == template.name && (1..=100).contains(&name.chars().count()),
        "name",
        "must be 1 to 100 characters without blanks around them",
    );
    faults.require(
        !template.iss_promised || template.issuer.is_some(),
        "iss_promised",
        "goes with an issuer only",
    );
    for (name, value) in &template.headers {
        let member = format!("headers.{name}");
        faults.require(is_header_name(name), &member, "is no name of a header");
        faults.require(
            !is_own_header(name),
            &member,
            "is a header that we set ourselves",
        );
        let printable = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        faults.require(
            printable && value.len() <= 256,
            &member,
            "must be printable ASCII",
        );
    }
    for (name, value) in &template.callback {
        let member = format!("callback.{name}");
        kept_name(name, &member, faults);
        pattern(&value.pattern, &format!("{member}.pattern"), faults);
        faults.require(
            !is_answer_param(&value.param) && value.param != template.authorize.code_param,
            &format!("{member}.param"),
            "is a parameter of the protocol",
        );
    }
    for (name, path) in &template.captured {
        let member = format!("captured.{name}");
        kept_name(name, &member, faults);
        pointer(path, &member, faults);
        faults.require(
            !template.callback.contains_key(name),
            &member,
            "is kept from the callback already",
        );
    }
    if let Some(identity) = &template.identity {
        pointer(&identity.id, "identity.id", faults);
        if let Some(label) = &identity.label {
            pointer(label, "identity.label", faults);
        }
        faults.require(
            !identity.id_token || template.id_token.is_some(),
            "identity.id_token",
            "goes with id_token only",
        );
        faults.require(
            identity.json.is_none() || identity.url.is_some(),
            "identity.json",
            "goes with a url only",
        );
    }
}

/// A name in a connection's `connection_config`.
fn kept_name(name: &str, member: &str, faults: &mut Faults) {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    faults.require(
        begins && name.len() <= 64 && name.chars().all(fits),
        member,
        "must be a name of lower-case letters, digits and _",
    );
}

/// A JSON pointer (RFC 6901) to something inside.
fn pointer(text: &str, member: &str, faults: &mut Faults) {
    let segments = text.strip_prefix('/').map(|rest| rest.split('/'));
    let fits = segments.is_some_and(|mut segments| segments.all(|segment| !segment.is_empty()));
    faults.require(
        fits && text.len() <= 512 && !text.contains(char::is_control),
        member,
        "must be a JSON pointer, such as /data/id",
    );
}

/// A pattern that the whole of a value has to match, ready to be asked.
fn pattern(pattern: &str, member: &str, faults: &mut Faults) -> Option<Regex> {
    let anchored = pattern.starts_with('^') && pattern.ends_with('$');
    faults.require(anchored, member, "must be anchored: ^…$");
    let ready = whole(pattern);
    faults.require(ready.is_some(), member, "is no pattern");
    let takes_nothing = ready.as_ref().is_some_and(|pattern| pattern.is_match(""));
    faults.require(!takes_nothing, member, "must not match an empty value");
    ready
}

/// Whether the whole of `value` matches; nothing does what is no pattern.
pub fn matches(pattern: &str, value: &str) -> bool {
    whole(pattern).is_some_and(|pattern| pattern.is_match(value))
}

fn whole(pattern: &str) -> Option<Regex> {
    // Whatever alternatives or flags a pattern has: these two are at the value's ends.
    Regex::new(&format!(r"\A(?:{pattern})\z")).ok()
}

/// RFC 9110 section 5.1.
fn is_header_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

fn is_own_header(name: &str) -> bool {
    const OWN: [&str; 8] = [
        "accept",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "transfer-encoding",
    ];
    OWN.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether a parameter of the callback is the protocol's own (RFC 6749 section 4.1.2, RFC 9207),
/// or one that a callback is refused for.
fn is_answer_param(name: &str) -> bool {
    let others = [
        "error",
        "error_description",
        "error_uri",
        "iss",
        "access_token",
        "id_token",
        "token",
    ];
    is_protocol_param(name) || others.contains(&name) || name.is_empty()
}

#[cfg(test)]
mod tests;
