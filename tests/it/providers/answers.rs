//! Answers of token endpoints as providers really give them, where that is another shape than
//! RFC 6749 section 5.1.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::{Value, json};
use shared::catalogue;
use shared::domain::address::AddressRules;
use shared::domain::ids::ProviderId;
use shared::domain::time::Timestamp;
use shared::domain::token::{TokenAnswer, TokenFailure};
use shared::oauth::read_answer;

const NOW: Timestamp = Timestamp::from_millis(1_795_366_800_000);

fn read(id: &str, status: u16, body: &Value) -> Result<TokenAnswer, TokenFailure> {
    let entry = super::entry(id);
    let mut config = entry.config(catalogue_format::AskedOf::Admin);
    config.extend(entry.config(catalogue_format::AskedOf::User));
    let id = ProviderId::parse(id).unwrap();
    let provider = catalogue::resolve(&id, &config, AddressRules::PublicHttps).unwrap();
    let mut response = Response::new(body.to_string().into_bytes());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    read_answer(&response, &provider, NOW)
}

#[track_caller]
fn refused(id: &str, status: u16, body: &Value) -> TokenFailure {
    read(id, status, body).expect_err("no tokens came")
}

/// What is to be read of an answer that brings tokens.
#[derive(Default)]
struct Wanted {
    access: &'static str,
    refresh: Option<&'static str>,
    seconds: Option<u64>,
    scopes: Option<&'static str>,
    config: &'static [(&'static str, &'static str)],
    account: Option<(&'static str, Option<&'static str>)>,
}

#[track_caller]
fn brings(id: &str, body: Value, wanted: &Wanted) {
    let answer = read(id, 200, &body).unwrap_or_else(|failure| panic!("{id}: {failure:?}"));
    assert_eq!(answer.access_token.expose(), wanted.access, "{id}");
    let refresh = answer.refresh_token.as_ref().map(|token| token.expose());
    assert_eq!(refresh, wanted.refresh, "{id}");
    assert_eq!(
        answer.lifetime,
        wanted.seconds.map(Duration::from_secs),
        "{id}"
    );
    let scopes = answer.scopes.map(|scopes| scopes.join(" "));
    assert_eq!(scopes.as_deref(), wanted.scopes, "{id}");
    let config = wanted.config.iter();
    let config: BTreeMap<_, _> = config.map(|(n, v)| ((*n).into(), (*v).into())).collect();
    assert_eq!(answer.connection_config, config, "{id}");
    let account = answer.account.as_ref();
    let account = account.map(|account| (account.id.as_str(), account.label.as_deref()));
    assert_eq!(account, wanted.account, "{id}");
}

#[test]
fn slack_nests_the_users_token_and_names_scopes_with_commas() {
    let body = json!({
        "ok": true, "app_id": "A07KX2M9Q", "team": {"id": "T024BE7LD", "name": "Acme"},
        "authed_user": {"id": "U061F7AUR", "scope": "channels:read,chat:write",
            "access_token": "xoxe.xoxp-1-secret", "token_type": "user",
            "refresh_token": "xoxe-1-refresh", "expires_in": 43200},
        "enterprise": null, "is_enterprise_install": false,
    });
    let wanted = Wanted {
        access: "xoxe.xoxp-1-secret",
        refresh: Some("xoxe-1-refresh"),
        seconds: Some(43_200),
        scopes: Some("channels:read chat:write"),
        config: &[("team_id", "T024BE7LD")],
        account: Some(("U061F7AUR", Some("Acme"))),
    };
    brings("slack", body, &wanted);
    let dead = json!({"ok": false, "error": "invalid_refresh_token"});
    assert_eq!(refused("slack", 200, &dead), TokenFailure::GrantRefused);
    let unknown = json!({"ok": false, "error": "something_new"});
    assert_eq!(
        refused("slack", 200, &unknown),
        TokenFailure::Unexpected { status: 200 }
    );
}

#[test]
fn github_says_200_to_what_it_refuses() {
    let body = json!({
        "access_token": "gho_16C7e42F292c6912E7710c838347Ae178B4a",
        "scope": "repo,gist", "token_type": "bearer",
    });
    let wanted = Wanted {
        access: "gho_16C7e42F292c6912E7710c838347Ae178B4a",
        scopes: Some("repo gist"),
        ..Wanted::default()
    };
    brings("github", body, &wanted);
    for (word, failure) in [
        ("bad_verification_code", TokenFailure::GrantRefused),
        ("incorrect_client_credentials", TokenFailure::ClientRefused),
        ("redirect_uri_mismatch", TokenFailure::RequestRefused),
    ] {
        let body = json!({"error": word, "error_description": "No.", "error_uri": "https://x"});
        assert_eq!(refused("github", 200, &body), failure, "{word}");
    }
}

#[test]
fn twitch_gives_scopes_as_an_array_and_a_message_for_an_error() {
    let body = json!({
        "access_token": "rfx2uswqe8l4g1mkagrvg5tv0ks3", "expires_in": 14124,
        "refresh_token": "5b93chm6hdve3mycz05zfzatkfdenfspp1h1ar2xxdalen01",
        "scope": ["channel:moderate", "chat:read"], "token_type": "bearer",
    });
    let wanted = Wanted {
        access: "rfx2uswqe8l4g1mkagrvg5tv0ks3",
        refresh: Some("5b93chm6hdve3mycz05zfzatkfdenfspp1h1ar2xxdalen01"),
        seconds: Some(14_124),
        scopes: Some("channel:moderate chat:read"),
        ..Wanted::default()
    };
    brings("twitch", body, &wanted);
    let body = json!({"status": 400, "message": "Invalid refresh token"});
    assert_eq!(refused("twitch", 400, &body), TokenFailure::GrantRefused);
}

#[test]
fn tiktok_tells_how_long_a_refresh_token_lives() {
    let body = json!({
        "access_token": "act.example", "expires_in": 86400, "open_id": "afd97af1-b87b",
        "refresh_expires_in": 31_536_000, "refresh_token": "rft.example",
        "scope": "user.info.basic,video.list", "token_type": "Bearer",
    });
    let wanted = Wanted {
        access: "act.example",
        refresh: Some("rft.example"),
        seconds: Some(86_400),
        scopes: Some("user.info.basic video.list"),
        config: &[("open_id", "afd97af1-b87b")],
        ..Wanted::default()
    };
    brings("tiktok", body.clone(), &wanted);
    let answer = read("tiktok", 200, &body).unwrap();
    let year = Duration::from_secs(31_536_000);
    assert_eq!(answer.refresh_lifetime, Some(year));
    // Its errors come with 200 too.
    let body = json!({"error": "invalid_grant", "error_description": "Expired.", "log_id": "2"});
    assert_eq!(refused("tiktok", 200, &body), TokenFailure::GrantRefused);
}

#[test]
fn salesforce_tells_no_lifetime_and_where_the_organisation_is() {
    let body = json!({
        "access_token": "00Dx0000000BV7z!AR8AQBM8J_xr9kLqmZIRyQxZgLcM4HVi41aGtW0qW3JCzf5xdTGGGSo",
        "instance_url": "https://acme.my.salesforce.com", "token_type": "Bearer",
        "id": "https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P",
        "issued_at": "1795366800000", "signature": "SSSbLO/gBhmmyNUvN18ODBDFYHzakxOMgqYtu+hDPsc=",
        "refresh_token": "5Aep8614iLM.Dq661ePDmPEgaAW9Oh_L3JKkDpB4xReb54_pZfVti1dPEk8aimw4Hr9ne7V",
        "scope": "api refresh_token",
    });
    let answer = read("salesforce", 200, &body).unwrap();
    assert_eq!(answer.lifetime, Some(Duration::from_secs(7200)));
    assert_eq!(
        answer.connection_config["instance_url"],
        "https://acme.my.salesforce.com"
    );
    let body =
        json!({"error": "invalid_grant", "error_description": "expired access/refresh token"});
    assert_eq!(
        refused("salesforce", 400, &body),
        TokenFailure::GrantRefused
    );
}

#[test]
fn notion_gives_a_workspace_with_the_token() {
    let body = json!({
        "access_token": "ntn_e8d4", "refresh_token": "nrt_4991", "token_type": "bearer",
        "bot_id": "b3414d65", "workspace_id": "33ab4ac1", "workspace_name": "Acme",
        "workspace_icon": null, "duplicated_template_id": null,
        "owner": {"type": "user", "user": {"object": "user", "id": "e79a0b74"}},
    });
    let answer = read("notion", 200, &body).unwrap();
    assert_eq!(answer.access_token.expose(), "ntn_e8d4");
    assert_eq!(answer.refresh_token.unwrap().expose(), "nrt_4991");
    assert_eq!(answer.connection_config["workspace_id"], "33ab4ac1");
    assert_eq!(answer.connection_config["bot_id"], "b3414d65");
    assert!(answer.account.is_some());
}

#[test]
fn hubspot_names_its_errors_by_status() {
    let body = json!({"access_token": "CJSP5", "refresh_token": "na1-6a", "expires_in": 1800,
        "token_type": "bearer"});
    let wanted = Wanted {
        access: "CJSP5",
        refresh: Some("na1-6a"),
        seconds: Some(1800),
        ..Wanted::default()
    };
    brings("hubspot", body, &wanted);
    let body = json!({"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token",
        "correlationId": "db0deaf3-3f4c"});
    assert_eq!(refused("hubspot", 400, &body), TokenFailure::GrantRefused);
}

#[test]
fn quickbooks_tells_of_the_refresh_token_in_a_member_of_its_own() {
    let body = json!({"access_token": "eyJlbmMiOiJ", "refresh_token": "AB11", "expires_in": 3600,
        "x_refresh_token_expires_in": 8_726_400, "token_type": "bearer"});
    let answer = read("quickbooks", 200, &body).unwrap();
    let told = Duration::from_secs(8_726_400);
    assert_eq!(answer.refresh_lifetime, Some(told));
    // The company comes with the callback, and only as a number.
    let realm = &super::entry("quickbooks").template.callback["realm_id"];
    assert!(catalogue_format::matches(
        &realm.pattern,
        "9130347950000000"
    ));
    for odd in ["", "12a", "1/../2", "123456789012345678901", "1\n"] {
        assert!(!catalogue_format::matches(&realm.pattern, odd), "{odd:?}");
    }
}

#[test]
fn zoho_says_which_data_centre_and_200_to_what_it_refuses() {
    let body = json!({"access_token": "1000.8cb9", "refresh_token": "1000.2a5d",
        "api_domain": "https://www.zohoapis.eu", "token_type": "Bearer", "expires_in": 3600});
    let wanted = Wanted {
        access: "1000.8cb9",
        refresh: Some("1000.2a5d"),
        seconds: Some(3600),
        config: &[("api_domain", "https://www.zohoapis.eu")],
        ..Wanted::default()
    };
    brings("zoho_crm", body, &wanted);
    let body = json!({"error": "invalid_code"});
    assert_eq!(refused("zoho_crm", 200, &body), TokenFailure::GrantRefused);
}

#[test]
fn shopify_gives_tokens_that_expire_where_it_is_asked_to() {
    let body = json!({"access_token": "shpat_x", "scope": "write_orders,read_customers",
        "expires_in": 3600, "refresh_token": "shprt_y", "refresh_token_expires_in": 7_776_000});
    let wanted = Wanted {
        access: "shpat_x",
        refresh: Some("shprt_y"),
        seconds: Some(3600),
        scopes: Some("write_orders read_customers"),
        ..Wanted::default()
    };
    brings("shopify", body, &wanted);
}

#[test]
fn meta_gives_no_refresh_token_and_an_object_for_an_error() {
    let body = json!({"access_token": "EAAJ", "token_type": "bearer", "expires_in": 5_183_944});
    let wanted = Wanted {
        access: "EAAJ",
        seconds: Some(5_183_944),
        ..Wanted::default()
    };
    brings("facebook", body, &wanted);
    let error = |code: u32| {
        json!({"error": {"message": "No.", "type": "OAuthException",
        "code": code, "fbtrace_id": "A2"}})
    };
    for (code, failure) in [
        (190, TokenFailure::GrantRefused),
        (101, TokenFailure::ClientRefused),
        (4, TokenFailure::TryLater { after: None }),
    ] {
        assert_eq!(refused("facebook", 400, &error(code)), failure, "{code}");
    }
}

#[test]
fn withings_and_bitbucket_put_tokens_and_scopes_elsewhere() {
    let body = json!({"status": 0, "body": {"userid": "363", "access_token": "a075f8c14fb8df40",
        "refresh_token": "5d3f", "expires_in": 10800, "scope": "user.info,user.metrics",
        "csrf_token": "PACnnxwHTaBQOzF7bQqwFUUotIuvtzSM", "token_type": "Bearer"}});
    let wanted = Wanted {
        access: "a075f8c14fb8df40",
        refresh: Some("5d3f"),
        seconds: Some(10_800),
        scopes: Some("user.info user.metrics"),
        account: Some(("363", None)),
        ..Wanted::default()
    };
    brings("withings", body, &wanted);
    let body = json!({"access_token": "Yk1", "refresh_token": "eD2", "expires_in": 7200,
        "scopes": "account repository", "token_type": "bearer", "state": "authorization_code"});
    let wanted = Wanted {
        access: "Yk1",
        refresh: Some("eD2"),
        seconds: Some(7200),
        scopes: Some("account repository"),
        ..Wanted::default()
    };
    brings("bitbucket", body, &wanted);
}
