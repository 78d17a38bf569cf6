//! Facts about the data files.

use std::collections::BTreeSet;

use super::*;
use crate::domain::provider::is_protocol_param;
use regex_lite::Regex;
use serde_json::Value;

fn id(text: &str) -> ProviderId {
    ProviderId::parse(text).unwrap()
}

/// Every URL of a template, with the names its blanks may have.
fn urls(template: &Template) -> Vec<(String, &'static [&'static str])> {
    let mut urls: Vec<(String, &'static [&'static str])> = vec![
        (template.authorize.url.clone(), &[]),
        (template.token.url.clone(), &[]),
    ];
    urls.extend(template.issuer.clone().map(|url| (url, &[][..])));
    urls.extend(template.id_token.iter().flat_map(|id_token| {
        [
            (id_token.issuer.clone(), &["tenantid"][..]),
            (id_token.jwks_url.clone(), &[][..]),
        ]
    }));
    urls.extend(
        template
            .revoke
            .iter()
            .map(|revoke| (revoke.url.clone(), &["client_id", "token"][..])),
    );
    let exchange = template.refresh.exchange.iter();
    urls.extend(exchange.filter_map(|exchange| Some((exchange.url.clone()?, &[][..]))));
    let identity = template.identity.iter();
    urls.extend(identity.filter_map(|identity| Some((identity.url.clone()?, &[][..]))));
    urls
}

#[test]
fn every_file_is_a_template_named_after_its_provider() {
    let listed: Vec<&str> = FILES.iter().map(|file| file.id).collect();
    assert!(listed.is_sorted(), "template() searches by id");
    for file in &FILES {
        let template: Template = serde_json::from_str(file.json).expect(file.id);
        assert_eq!(template.id, file.id);
        assert!(id(file.id).as_str() != custom::ID);
        assert!(!template.sources.is_empty(), "{}", file.id);
        assert!(!template.setup_notes.is_empty(), "{}", file.id);
        let [year, month, day] = template.verified_on.split('-').collect::<Vec<_>>()[..] else {
            panic!("{}: verified_on", file.id)
        };
        assert!(year.len() == 4 && month.len() == 2 && day.len() == 2);
        for page in template.sources.iter().chain([&template.docs_url]) {
            assert!(page.starts_with("https://"), "{}", file.id);
        }
    }
}

#[test]
fn every_data_file_on_disk_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalogue/providers");
    let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let listed = FILES.iter().map(|file| format!("{}.json", file.id));
    assert_eq!(on_disk, listed.collect());
}

#[test]
fn h30_every_url_is_https_and_every_blank_has_a_field() {
    for file in &FILES {
        let template = file.template();
        for (url, reserved) in urls(template) {
            assert!(url.starts_with("https://"), "{}: {url}", file.id);
            assert!(!url.contains(['#', '@', '?']), "{}: {url}", file.id);
            for blank in Regex::new("\\{([^}]*)\\}").unwrap().captures_iter(&url) {
                let name = &blank[1];
                let field = template.fields.iter().find(|field| field.name == name);
                let filled = field.is_some_and(|field| field.required || field.default.is_some());
                assert!(filled || reserved.contains(&name), "{}: {url}", file.id);
            }
        }
        for field in &template.fields {
            let blank = format!("{{{}}}", field.name);
            assert!(
                urls(template).iter().any(|(url, _)| url.contains(&blank)),
                "{}: nothing uses field {}",
                file.id,
                field.name
            );
        }
    }
}

#[test]
fn h15_no_template_sets_a_parameter_of_the_protocol() {
    for file in &FILES {
        let template = file.template();
        let authorize = &template.authorize;
        for name in authorize.params.keys().chain(template.token.params.keys()) {
            assert!(!is_protocol_param(name), "{}: {name}", file.id);
            assert_ne!(*name, authorize.scope_param, "{}", file.id);
        }
        if let Some(exchange) = &template.refresh.exchange {
            assert!(!is_protocol_param(&exchange.token_param), "{}", file.id);
        }
        for header in template.headers.keys() {
            let name = header.to_ascii_lowercase();
            for own in [
                "authorization",
                "host",
                "cookie",
                "content-type",
                "content-length",
            ] {
                assert_ne!(name, own, "{}", file.id);
            }
        }
    }
}

#[test]
fn every_pattern_is_anchored_and_accepts_its_own_default_and_example() {
    let templates = FILES.iter().flat_map(|file| file.template().fields.clone());
    for field in templates.chain(custom::details().fields) {
        let Some(pattern) = &field.pattern else {
            assert!(
                field.name.contains("url") || field.name == "issuer",
                "{}",
                field.name
            );
            continue;
        };
        assert!(
            pattern.starts_with('^') && pattern.ends_with('$'),
            "{}",
            field.name
        );
        let pattern = Regex::new(pattern).expect(&field.name);
        for value in field.default.iter().chain([&field.example]) {
            assert!(pattern.is_match(value), "{}: {value}", field.name);
        }
        assert!(!pattern.is_match(""), "{}", field.name);
        assert!(
            !pattern.is_match(&format!("{}\n", field.example)),
            "{}",
            field.name
        );
    }
}

#[test]
fn every_pointer_is_a_json_pointer() {
    for file in &FILES {
        let template = file.template();
        let token = &template.token;
        let mut pointers: Vec<&String> = template.captured.values().collect();
        pointers.extend(token.error_path.iter());
        pointers.extend(Some(&token.token_path).filter(|path| !path.is_empty()));
        if let Some(identity) = &template.identity {
            pointers.push(&identity.id);
            pointers.extend(identity.label.iter());
        }
        for pointer in pointers {
            assert!(
                pointer.starts_with('/') && pointer.len() > 1,
                "{}: {pointer}",
                file.id
            );
        }
    }
}

#[test]
fn every_provider_resolves_with_its_defaults() {
    for provider in providers() {
        let outcome = resolve(
            &id(&provider.id),
            &BTreeMap::new(),
            AddressRules::PublicHttps,
        );
        if provider.id == custom::ID {
            assert_eq!(outcome.unwrap_err().field(), Some("authorize_url"));
        } else {
            let resolved = outcome.expect(&provider.id);
            assert_eq!(resolved.revocation.is_some(), provider.revocation);
            assert_eq!(resolved.id.as_str(), provider.id);
        }
    }
}

#[test]
fn the_catalogue_shows_what_an_admin_needs() {
    let ids: Vec<String> = providers()
        .into_iter()
        .map(|provider| provider.id)
        .collect();
    assert_eq!(ids.len(), 11);
    assert_eq!(ids.last().unwrap(), "custom");
    for provider in ids {
        let details = details(&id(&provider)).unwrap();
        let json = serde_json::to_value(&details).unwrap();
        assert_eq!(json["id"], Value::String(provider));
        assert!(
            json["redirect_uri_rule"]
                .as_str()
                .unwrap()
                .contains("exactly")
        );
        assert!(json["fields"].is_array());
    }
    assert!(details(&id("nobody")).is_none());
    assert!(template(&id("nobody")).is_none());
}
