use std::time::Duration;

use super::*;
use crate::catalogue;
use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;

fn read(provider: &str, body: &str) -> Result<TokenAnswer, TokenFailure> {
    let id = ProviderId::parse(provider).unwrap();
    let provider = catalogue::resolve(&id, &BTreeMap::new(), AddressRules::PublicHttps).unwrap();
    let response = Response::new(body.as_bytes().to_vec());
    let path = &provider.token.token_path;
    let normal = normalise(path, &response, &provider, Timestamp::from_millis(0))?;
    let parsed: Parsed = serde_json::from_slice(&normal).unwrap();
    Ok(answer(&parsed, &provider))
}

fn with(member: &str) -> Result<TokenAnswer, TokenFailure> {
    read(
        "google",
        &format!(r#"{{"access_token":"at","token_type":"Bearer"{member}}}"#),
    )
}

fn exposed(secret: Option<Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

/// H-65, F18, F19.
#[test]
fn h65_an_empty_null_or_odd_refresh_token_is_a_missing_one() {
    for (member, expected) in [
        (r#","refresh_token":"rt1""#, Some("rt1")),
        ("", None),
        (r#","refresh_token":"""#, None),
        (r#","refresh_token":null"#, None),
        (r#","refresh_token":false"#, None),
        (r#","refresh_token":{}"#, None),
    ] {
        let answer = with(member).unwrap();
        assert_eq!(
            exposed(answer.refresh_token).as_deref(),
            expected,
            "{member}"
        );
    }
}

/// H-72, F20.
#[test]
fn h72_every_expires_in_gives_a_lifetime_between_zero_and_a_year() {
    let assumed = 3600;
    let year = 365 * 24 * 3600;
    for (expires_in, seconds) in [
        ("3599", 3599),
        ("\"3599\"", 3599),
        ("\" 60 \"", 60),
        ("3599.9", 3599),
        ("\"3599.9\"", 3599),
        ("0", 0),
        ("-0", 0),
        ("-1", 0),
        ("\"-1\"", 0),
        ("1000000000000", year),
        ("18446744073709551615", year),
        ("99999999999999999999999", year),
        ("1e300", year),
        ("\"1e300\"", year),
        ("\"inf\"", assumed),
        ("\"NaN\"", assumed),
        ("\"\"", assumed),
        ("\"soon\"", assumed),
        ("null", assumed),
        ("true", assumed),
        ("[3600]", assumed),
    ] {
        let answer = with(&format!(r#","expires_in":{expires_in}"#)).expect(expires_in);
        assert_eq!(
            answer.lifetime,
            Some(Duration::from_secs(seconds)),
            "{expires_in}"
        );
    }
    assert_eq!(
        with("").unwrap().lifetime,
        Some(Duration::from_secs(assumed))
    );
    let forever = read("notion", r#"{"access_token":"at"}"#).unwrap();
    assert_eq!(
        forever.lifetime, None,
        "where the profile says that tokens do not expire"
    );
}

#[test]
fn h72_the_life_of_a_refresh_token_is_read_where_the_profile_says() {
    let told = |body: &str| read("github", body).unwrap().refresh_lifetime;
    let with = |seconds: &str| {
        told(&format!(
            r#"{{"access_token":"at","refresh_token":"rt","refresh_token_expires_in":{seconds}}}"#
        ))
    };
    let ten_years = 10 * 365 * 24 * 3600;
    for (seconds, expected) in [
        ("15897600", Some(15_897_600)),
        ("\"15897600\"", Some(15_897_600)),
        ("157680000", Some(157_680_000)),
        ("1e300", Some(ten_years)),
        ("18446744073709551615", Some(ten_years)),
        // Tokens without an end, and what cannot be read.
        ("0", None),
        ("-1", None),
        ("null", None),
        ("\"never\"", None),
        ("[]", None),
    ] {
        let expected = expected.map(Duration::from_secs);
        assert_eq!(with(seconds), expected, "{seconds}");
    }
    assert_eq!(told(r#"{"access_token":"at","refresh_token":"rt"}"#), None);
    let elsewhere = r#"{"access_token":"at","refresh_token_expires_in":60}"#;
    assert_eq!(read("gitlab", elsewhere).unwrap().refresh_lifetime, None);
}

/// H-73.
#[test]
fn h73_bearer_in_any_case_is_taken_and_other_types_are_not() {
    for kind in [
        r#""Bearer""#,
        r#""bearer""#,
        r#""BEARER""#,
        r#""bEaReR""#,
        r#""""#,
        "null",
    ] {
        let body = format!(r#"{{"access_token":"at","token_type":{kind}}}"#);
        assert!(read("google", &body).is_ok(), "{kind}");
    }
    assert!(read("google", r#"{"access_token":"at"}"#).is_ok());
    for kind in [
        r#""mac""#,
        r#""DPoP""#,
        r#""user""#,
        r#""N_A""#,
        "1",
        "[\"bearer\"]",
    ] {
        let body = format!(r#"{{"access_token":"at","token_type":{kind}}}"#);
        assert_eq!(
            read("google", &body).unwrap_err(),
            TokenFailure::UnknownTokenType,
            "{kind}"
        );
    }
}

#[test]
fn h14_granted_scopes_are_read_from_text_or_array() {
    let list = |scopes: &[&str]| Some(ScopeList::reported(scopes.iter().map(|s| (*s).into())));
    for (member, expected) in [
        (r#","scope":"a b""#, list(&["a", "b"])),
        (r#","scope":" b  a b ""#, list(&["b", "a"])),
        (r#","scope":["a","b"]"#, list(&["a", "b"])),
        (r#","scope":"""#, None),
        (r#","scope":[]"#, None),
        (r#","scope":null"#, None),
        (r#","scope":7"#, None),
        ("", None),
    ] {
        assert_eq!(with(member).unwrap().scopes, expected, "{member}");
    }
    let github = read("github", r#"{"access_token":"at","scope":"repo,gist"}"#).unwrap();
    assert_eq!(github.scopes, list(&["repo", "gist"]));
}

#[test]
fn slacks_user_token_is_found_in_both_of_its_places() {
    let exchange = read(
        "slack",
        r#"{"ok":true,"token_type":"bot","team":{"id":"T1","name":"Acme"},
            "authed_user":{"id":"U1","scope":"channels:read,chat:write",
            "access_token":"xoxp","token_type":"user"}}"#,
    )
    .unwrap();
    assert_eq!(exchange.access_token.expose(), "xoxp");
    assert_eq!(
        exchange.lifetime, None,
        "without rotation it does not expire"
    );
    assert_eq!(exchange.connection_config["team_id"], "T1");
    let account = exchange.account.unwrap();
    assert_eq!(
        (account.id.as_str(), account.label.as_deref()),
        ("U1", Some("Acme"))
    );
    assert!(exchange.scopes.unwrap().contains("chat:write"));

    let refresh = read(
        "slack",
        r#"{"ok":true,"access_token":"xoxe.xoxp","expires_in":43200,
            "refresh_token":"xoxe-2","token_type":"user"}"#,
    )
    .unwrap();
    assert_eq!(refresh.access_token.expose(), "xoxe.xoxp");
    assert_eq!(exposed(refresh.refresh_token).as_deref(), Some("xoxe-2"));
    assert_eq!(refresh.account, None);
}

#[test]
fn a_bot_token_is_not_taken_for_a_users() {
    let body = r#"{"ok":true,"access_token":"xoxb","token_type":"bot","authed_user":{"id":"U1"}}"#;
    assert_eq!(
        read("slack", body).unwrap_err(),
        TokenFailure::UnknownTokenType
    );
}

#[test]
fn an_account_and_captured_values_come_with_the_tokens() {
    let salesforce = read(
        "salesforce",
        r#"{"access_token":"at","token_type":"Bearer","instance_url":"https://a.my.salesforce.com",
            "id":"https://login.salesforce.com/id/00D/005","issued_at":"1278448101416"}"#,
    )
    .unwrap();
    assert_eq!(
        salesforce.connection_config["instance_url"],
        "https://a.my.salesforce.com"
    );
    assert_eq!(salesforce.lifetime, Some(Duration::from_secs(7200)));
    let account = salesforce.account.unwrap();
    assert_eq!(account.id, "https://login.salesforce.com/id/00D/005");
}

/// F15: the provider may have rotated the token behind an answer nobody can read.
#[test]
fn f15_a_200_without_a_readable_token_is_an_unknown_outcome() {
    for body in [
        "",
        "null",
        "[]",
        "\"at\"",
        "{}",
        "<html>",
        r#"{"access_token":""}"#,
        r#"{"access_token":null}"#,
        r#"{"access_token":7}"#,
        r#"{"access_token":"a","access_token":"b"}"#,
        r#"{"access_token":"at","refr"#,
    ] {
        assert_eq!(
            read("google", body).unwrap_err(),
            TokenFailure::OutcomeUnknown,
            "{body}"
        );
    }
}

#[test]
fn r27_unknown_members_are_ignored_and_ours_cannot_be_forged() {
    let answer = with(r#","grantry":{"connection_config":{"a":"b"}},"x":[1]"#).unwrap();
    assert!(answer.connection_config.is_empty());
}
