//! Facts about what the build has left of the data files. What is wrong with a file ends the
//! build; the rules for that are tested beside them, in `shared/catalogue`.

use serde_json::Value;

use super::*;

fn id(text: &str) -> ProviderId {
    ProviderId::parse(text).unwrap()
}

/// What an admin would tell of each field that has to be told.
fn examples(provider: &ProviderDetails) -> BTreeMap<String, String> {
    let fields = provider.fields.iter().filter(|field| field.required);
    let told = fields.map(|field| (field.name.clone(), field.example.clone()));
    told.collect()
}

#[test]
fn both_tables_hold_the_same_providers_in_the_order_of_their_ids() {
    let ids = |table: Table| table.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids(TEMPLATES), ids(NOTES));
    assert!(ids(TEMPLATES).is_sorted(), "they are searched by id");
    assert!(!ids(TEMPLATES).contains(&custom::ID));
    assert!(TEMPLATES.len() >= 10);
}

#[test]
fn every_provider_resolves_with_what_its_fields_give_for_an_example() {
    for provider in providers() {
        let details = details(&id(&provider.id)).unwrap();
        let rules = AddressRules::PublicHttps;
        if provider.id == custom::ID {
            let none = resolve(&id(&provider.id), &BTreeMap::new(), rules);
            assert_eq!(none.unwrap_err().field(), Some("authorize_url"));
            continue;
        }
        let resolved = resolve(&id(&provider.id), &examples(&details), rules);
        let resolved = resolved.expect(&provider.id);
        assert_eq!(resolved.revocation.is_some(), provider.revocation);
        assert_eq!(resolved.id.as_str(), provider.id);
        for endpoint in resolved.endpoints().into_iter().flatten() {
            assert!(
                endpoint.starts_with("https://"),
                "{}: {endpoint}",
                provider.id
            );
            assert!(
                !resolved.authorize.url.as_str().contains('{'),
                "{}",
                provider.id
            );
        }
    }
}

#[test]
fn the_fields_of_custom_take_what_they_give_for_an_example() {
    for field in custom::details().fields {
        let Some(pattern) = &field.pattern else {
            let name = &field.name;
            assert!(name.contains("url") || name == "issuer", "{name}");
            continue;
        };
        assert!(
            pattern.starts_with('^') && pattern.ends_with('$'),
            "{}",
            field.name
        );
        for value in field.default.iter().chain([&field.example]) {
            assert!(
                catalogue_format::matches(pattern, value),
                "{}: {value}",
                field.name
            );
        }
        for value in ["", &format!("{}\n", field.example)] {
            assert!(
                !catalogue_format::matches(pattern, value),
                "{}: {value:?}",
                field.name
            );
        }
    }
}

#[test]
fn the_catalogue_shows_what_an_admin_needs() {
    let ids: Vec<String> = providers()
        .into_iter()
        .map(|provider| provider.id)
        .collect();
    assert_eq!(ids.len(), TEMPLATES.len() + 1);
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
        assert!(!details.setup_notes.is_empty());
    }
    assert!(details(&id("nobody")).is_none());
}
