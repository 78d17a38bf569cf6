//! URLs of a description (H-30, H-35).

use url::Url;

use super::fields::{self, RESERVED};
use super::{Faults, UrlRule};
use crate::blank::{blanks, fill};
use crate::template::Template;
use crate::words::is_protocol_param;

/// Every URL, and the member that it is.
pub(super) fn urls(template: &Template) -> Vec<(String, &str)> {
    let mut urls = vec![
        ("authorize.url", Some(template.authorize.url.as_str())),
        ("token.url", Some(&template.token.url)),
        ("issuer", template.issuer.as_deref()),
    ];
    if let Some(id_token) = &template.id_token {
        urls.push(("id_token.issuer", Some(&id_token.issuer)));
        urls.push(("id_token.jwks_url", Some(&id_token.jwks_url)));
    }
    let request = template.refresh.request.as_ref();
    let identity = template.identity.as_ref();
    urls.extend([
        (
            "after_code.url",
            template.after_code.as_ref().map(|at| at.url.as_str()),
        ),
        (
            "refresh.request.url",
            request.and_then(|request| request.url.as_deref()),
        ),
        (
            "revoke.url",
            template.revoke.as_ref().map(|at| at.url.as_str()),
        ),
        (
            "identity.url",
            identity.and_then(|identity| identity.url.as_deref()),
        ),
    ]);
    let given = urls.into_iter();
    given
        .filter_map(|(member, url)| Some((member.to_owned(), url?)))
        .collect()
}

pub(super) fn check(template: &Template, allowed: &UrlRule<'_>, faults: &mut Faults) {
    for (member, text) in urls(template) {
        for name in blanks(text) {
            match template.fields.iter().find(|field| field.name == name) {
                Some(field) => fields::in_url(field, &member, faults),
                None => {
                    let here = may_hold(&member, name);
                    let reason = format!("{{{name}}} must not stand here");
                    faults.require(here || !RESERVED.contains(&name), &member, reason);
                    let captured = name.starts_with("captured.");
                    faults.require(
                        !captured,
                        &member,
                        format!("{{{name}}} must not stand in a URL"),
                    );
                }
            }
        }
        let host = host(text);
        faults.require(
            !blanks(text).next().is_some_and(|_| host.is_empty()),
            &member,
            "must name its scheme",
        );
        for name in blanks(host) {
            match template.fields.iter().find(|field| field.name == name) {
                Some(field) => fields::in_host(field, host, &member, faults),
                None => faults.require(
                    false,
                    &member,
                    format!("{{{name}}} must not stand in a host"),
                ),
            }
        }
        filled(template, &member, text, allowed, faults);
    }
}

/// The names beside the fields' that a URL may hold.
fn may_hold(member: &str, name: &str) -> bool {
    match name {
        "tenantid" => member == "id_token.issuer",
        "client_id" | "token" => member == "revoke.url",
        _ => false,
    }
}

/// The part of a URL between its scheme and its path. A port is part of it, so that no blank
/// stands in one.
fn host(text: &str) -> &str {
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme));
    let rest = scheme.map_or("", |scheme| &text[scheme.len()..]);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// What must hold once the blanks are filled with what the fields give for an example.
fn filled(
    template: &Template,
    member: &str,
    text: &str,
    allowed: &UrlRule<'_>,
    faults: &mut Faults,
) {
    let text = fill(text, |name| {
        let field = template.fields.iter().find(|field| field.name == name);
        field.map(|field| field.example.as_str()).or(Some("0"))
    });
    let Ok(url) = Url::parse(&text) else {
        faults.require(false, member, "must be a URL");
        return;
    };
    if let Err(rule) = allowed(&url) {
        faults.require(false, member, rule);
        return;
    }
    // RFC 6749 sections 3.1 and 3.2: endpoints have no fragment.
    faults.require(url.fragment().is_none(), member, "must not contain #");
    let same = url.as_str() == text || url.as_str().strip_suffix('/') == Some(&text);
    faults.require(
        same,
        member,
        format!("must be written as {}", shown(url.as_str())),
    );
    // RFC 8414 section 2.
    let is_issuer = member.ends_with("issuer");
    faults.require(
        !is_issuer || url.query().is_none(),
        member,
        "must not contain ?",
    );
    let mut params = url.query_pairs();
    if let Some((name, _)) = params.find(|(name, _)| is_protocol_param(name)) {
        faults.require(
            false,
            member,
            format!("must not contain the parameter {}", shown(&name)),
        );
    }
}

/// As much of what somebody wrote as a refusal has to repeat.
fn shown(text: &str) -> String {
    const MOST: usize = 200;
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
