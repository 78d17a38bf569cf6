use serde_json::json;

use super::*;

fn file(name: &str, text: impl ToString) -> File {
    File {
        name: name.into(),
        text: text.to_string(),
    }
}

fn acme() -> Value {
    json!({
        "name": "Acme",
        "docs_url": "https://acme.example.com/apps",
        "verified_on": "2026-11-23",
        "sources": ["https://acme.example.com/docs"],
        "setup_notes": ["Register an app."],
        "scopes_help": "Scopes such as read.",
        "scopes": [{"scope": "read", "says": "Read everything"}],
        "authorize": {"url": "https://acme.example.com/authorize", "pkce": "required"},
        "token": {"url": "https://acme.example.com/token", "auth": "basic"},
        "refresh": {"rotation": "strict", "assumed_lifetime": "never"}
    })
}

fn patched(patch: Value) -> Value {
    let mut acme = acme();
    merge::merge(&mut acme, patch);
    acme
}

#[track_caller]
fn refused(providers: &[File], families: &[File], expected: &str) {
    let refused = load(providers, families).unwrap_err();
    let refused: Vec<_> = refused.iter().map(Refused::to_string).collect();
    assert!(
        refused.iter().any(|one| one.contains(expected)),
        "{expected:?} is not in {refused:#?}"
    );
}

#[test]
fn a_provider_is_carried_in_two_parts_and_notes_are_in_one_of_them() {
    let files = [
        file("zeta", patched(json!({"name": "Zeta"}))),
        file("acme", acme()),
    ];
    let loaded = load(&files, &[]).unwrap();
    let ids: Vec<_> = loaded.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["acme", "zeta"]);
    let template: Template = serde_json::from_str(&loaded[0].template).unwrap();
    assert_eq!(template.name, "Acme");
    let notes: Notes = serde_json::from_str(&loaded[0].notes).unwrap();
    assert_eq!(notes.setup_notes, ["Register an app."]);
    for note in notes::NOTES {
        assert!(!loaded[0].template.contains(note), "{note}");
    }
    assert!(!loaded[0].template.contains(": ") && !loaded[0].template.contains('\n'));
}

#[test]
fn a_member_of_a_family_says_what_is_different() {
    let member = json!({"extends": "acme", "name": "Acme Mail", "verified_on": null, "sources": [],
        "unchecked": ["everything"], "token": {"auth": "post"}, "scopes": []});
    let base = patched(
        json!({"name": null, "revoke": {"url": "https://acme.example.com/revoke",
        "token": "access", "send": "bearer", "auth": "none"}}),
    );
    let loaded = load(&[file("acme_mail", &member)], &[file("acme", &base)]).unwrap();
    let template: Template = serde_json::from_str(&loaded[0].template).unwrap();
    assert_eq!(template.name, "Acme Mail");
    assert_eq!(template.token.url, "https://acme.example.com/token");
    assert_eq!(template.token.auth, crate::ClientAuth::Post);
    assert!(!template.revoke.unwrap().takes_either());

    refused(
        &[file("a", &member)],
        &[],
        "providers/a.json:1: extends: there is no family \"acme\"",
    );
    let circle = [file("acme", patched(json!({"extends": "acme"})))];
    refused(
        &[file("a", &member)],
        &circle,
        "families/acme.json:1: extends: is not for a family",
    );
    refused(
        &[file("acme", acme())],
        &[file("base", base)],
        "is extended by no provider",
    );
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let bad = patched(json!({"token": {"url": "http://acme.example.com/token"}}));
    let text = pretty(&bad);
    let line = 1 + text
        .lines()
        .position(|line| line.contains("\"http://"))
        .unwrap();
    let expected = format!("providers/acme.json:{line}: token.url: must begin with https://");
    refused(&[file("acme", &text)], &[], &expected);

    let base = pretty(&patched(json!({"name": null, "token": {"auth": "bsic"}})));
    let line = 1 + base.lines().position(|line| line.contains("bsic")).unwrap();
    let member = json!({"extends": "acme", "name": "Acme Mail"});
    let expected = format!("families/acme.json:{line}: token.auth: unknown variant `bsic`");
    refused(
        &[file("acme_mail", member)],
        &[file("acme", base)],
        &expected,
    );

    refused(
        &[file("acme", "{\n\"name\": \"Acme\",\n}")],
        &[],
        "providers/acme.json:3: ",
    );
}

#[test]
fn ids_and_names_are_one_providers() {
    for id in ["Acme", "acme-mail", "acme.mail", ""] {
        refused(&[file(id, acme())], &[], "has a name of other characters");
    }
    refused(
        &[file("acme", acme()), file("acme2", acme())],
        &[],
        "is another provider's too",
    );
}

#[test]
fn notes_say_where_the_facts_are_from() {
    for (patch, expected) in [
        (json!({"docs_url": null}), "docs_url: must be a page"),
        (
            json!({"docs_url": "http://acme.example.com"}),
            "docs_url: must be a page",
        ),
        (
            json!({"sources": ["acme.example.com"]}),
            "sources: must be pages",
        ),
        (
            json!({"sources": []}),
            "sources: must not be empty with verified_on",
        ),
        (
            json!({"verified_on": "23.11.2026"}),
            "verified_on: must be a day",
        ),
        (
            json!({"verified_on": null}),
            "unchecked: must be [\"everything\"]",
        ),
        (
            json!({"unchecked": ["everything"]}),
            "must not be everything with verified_on",
        ),
        (json!({"setup_notes": []}), "setup_notes: must not be empty"),
        (
            json!({"setup_notes": [" Register."]}),
            "must be single lines",
        ),
        (
            json!({"scopes_help": null}),
            "scopes_help: must not be empty",
        ),
        (
            json!({"scopes": [{"scope": "a", "says": ""}]}),
            "must say something",
        ),
        (
            json!({"scopes": [{"scope": "a", "says": "x"}, {"scope": "a", "says": "y"}]}),
            "must name a scope once",
        ),
        (json!({"scopes": [{"scope": "a"}]}), "missing field `says`"),
    ] {
        refused(&[file("acme", patched(patch))], &[], expected);
    }
}
