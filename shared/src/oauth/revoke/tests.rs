use std::collections::BTreeMap;

use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};

use super::*;
use crate::catalogue;
use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;
use crate::oauth::client_auth::Prover;
use crate::ports::Entropy;

fn provider(id: &str) -> Provider {
    let id = ProviderId::parse(id).unwrap();
    catalogue::resolve(&id, &BTreeMap::new(), AddressRules::PublicHttps).unwrap()
}

/// Of a client that has the time and chance it needs.
fn proof(revocation: &Revocation) -> Proof {
    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }
    let prover = Prover {
        issuer: None,
        entropy: &Sevens,
        now: Timestamp::from_millis(0),
    };
    prover.prove(auth(revocation), &client()).unwrap()
}

fn client() -> ClientCredentials {
    ClientCredentials {
        client_id: "id/1".into(),
        client_secret: Secret::new("s&1"),
        previous_secret: None,
    }
}

const NOTHING: &BTreeMap<String, String> = &BTreeMap::new();

fn named(token: &Secret, kind: RevokedToken) -> Named<'_> {
    Named {
        token,
        kind,
        captured: NOTHING,
    }
}

/// Method, URL, authorization, content type and body of the request for a provider.
fn sent(id: &str, kind: RevokedToken) -> [String; 5] {
    let provider = provider(id);
    let revocation = provider.revocation.clone().unwrap();
    let token = Secret::new("to/ken+1");
    let named = named(&token, kind);
    let request = request(
        &provider,
        &revocation,
        &client(),
        &proof(&revocation),
        &named,
    )
    .unwrap();
    let header = |name| {
        let value = request.headers().get(name);
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    [
        request.method().to_string(),
        request.uri().to_string(),
        header(AUTHORIZATION),
        header(CONTENT_TYPE),
        String::from_utf8(request.body().clone()).unwrap(),
    ]
}

/// `id%2F1:s%261` in base64.
const BASIC: &str = "Basic aWQlMkYxOnMlMjYx";
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
const JSON_TYPE: &str = "application/json";

#[test]
fn every_way_names_the_token_as_its_provider_wants() {
    let refresh = RevokedToken::Refresh;
    let access = RevokedToken::Access;
    for (id, kind, expected) in [
        (
            "gitlab",
            refresh,
            [
                "POST",
                "https://gitlab.com/oauth/revoke",
                "",
                FORM_TYPE,
                "token=to%2Fken%2B1&token_type_hint=refresh_token&client_id=id%2F1&client_secret=s%261",
            ],
        ),
        (
            "airtable",
            access,
            [
                "POST",
                "https://airtable.com/oauth2/v1/revoke",
                BASIC,
                FORM_TYPE,
                "token=to%2Fken%2B1&token_type_hint=access_token",
            ],
        ),
        (
            "google",
            refresh,
            [
                "POST",
                "https://oauth2.googleapis.com/revoke",
                "",
                FORM_TYPE,
                "token=to%2Fken%2B1",
            ],
        ),
        (
            "notion",
            access,
            [
                "POST",
                "https://api.notion.com/v1/oauth/revoke",
                BASIC,
                JSON_TYPE,
                r#"{"token":"to/ken+1"}"#,
            ],
        ),
        (
            "dropbox",
            access,
            [
                "POST",
                "https://api.dropboxapi.com/2/auth/token/revoke",
                "Bearer to/ken+1",
                "",
                "",
            ],
        ),
        (
            "hubspot",
            refresh,
            [
                "DELETE",
                "https://api.hubapi.com/oauth/v1/refresh-tokens/to%2Fken%2B1",
                "",
                "",
                "",
            ],
        ),
        (
            "github",
            access,
            [
                "DELETE",
                "https://api.github.com/applications/id%2F1/token",
                BASIC,
                JSON_TYPE,
                r#"{"access_token":"to/ken+1"}"#,
            ],
        ),
    ] {
        assert_eq!(sent(id, kind), expected.map(str::to_owned), "{id}");
    }
}

#[test]
fn a_provider_gets_the_headers_it_wants() {
    let provider = provider("notion");
    let revocation = provider.revocation.clone().unwrap();
    let token = Secret::new("t");
    let named = named(&token, RevokedToken::Access);
    let request = request(
        &provider,
        &revocation,
        &client(),
        &proof(&revocation),
        &named,
    )
    .unwrap();
    assert_eq!(request.headers()["notion-version"], "2022-06-28");
}

#[test]
fn an_admins_url_has_no_blanks() {
    let config = BTreeMap::from(
        [
            ("authorize_url", "https://p.example/authorize"),
            ("token_url", "https://p.example/token"),
            ("revoke_url", "https://p.example/{token}/{client_id}"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let id = ProviderId::parse("custom").unwrap();
    let provider = catalogue::resolve(&id, &config, AddressRules::PublicHttps).unwrap();
    let revocation = provider.revocation.clone().unwrap();
    let token = Secret::new("secret");
    let named = named(&token, RevokedToken::Refresh);
    let request = request(
        &provider,
        &revocation,
        &client(),
        &proof(&revocation),
        &named,
    )
    .unwrap();
    assert_eq!(
        request.uri(),
        "https://p.example/%7Btoken%7D/%7Bclient_id%7D"
    );
}

fn judged(id: &str, status: u16, body: &str) -> Verdict {
    let provider = provider(id);
    let mut response = Response::new(body.as_bytes().to_vec());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("30"));
    verdict(
        &response,
        &provider.revocation.unwrap(),
        &provider.token,
        Timestamp::from_millis(0),
    )
}

/// R31, K3 to K6.
#[test]
fn r31_answers_mean_what_rfc_7009_says_and_in_doubt_the_token_lives() {
    use Verdict::{Refused, Revoked, Unknown, WrongKind};
    let later = Verdict::TryLater {
        after: Some(Duration::from_secs(30)),
    };
    for (id, status, body, expected) in [
        // RFC 7009 section 2.2: also for a token it never knew.
        ("gitlab", 200, "", Revoked),
        ("gitlab", 200, "{}", Revoked),
        ("gitlab", 204, "", Revoked),
        ("gitlab", 200, r#"{"error":"invalid_client"}"#, later),
        ("gitlab", 503, "", later),
        ("gitlab", 500, r#"{"error":"invalid_token"}"#, later),
        ("gitlab", 429, "", later),
        ("gitlab", 408, "", later),
        (
            "gitlab",
            400,
            r#"{"error":"unsupported_token_type"}"#,
            WrongKind,
        ),
        ("google", 400, r#"{"error":"invalid_token"}"#, Unknown),
        ("gitlab", 400, r#"{"error":"invalid_grant"}"#, Unknown),
        ("gitlab", 401, r#"{"error":"invalid_client"}"#, later),
        ("gitlab", 400, r#"{"error":"unauthorized_client"}"#, later),
        (
            "gitlab",
            400,
            r#"{"error":"temporarily_unavailable"}"#,
            later,
        ),
        ("gitlab", 400, r#"{"error":"invalid_request"}"#, Refused),
        ("gitlab", 400, "", Refused),
        ("gitlab", 401, "", later),
        ("gitlab", 403, "", Refused),
        ("gitlab", 404, "<html>", Refused),
        ("gitlab", 405, "", Refused),
        ("gitlab", 302, "", Refused),
        ("hubspot", 204, "", Revoked),
        ("hubspot", 404, r#"{"status":"error"}"#, Unknown),
        ("hubspot", 410, "", Unknown),
        ("hubspot", 400, r#"{"status":"BAD_REFRESH_TOKEN"}"#, Unknown),
        ("hubspot", 403, "", Refused),
        ("github", 204, "", Revoked),
        ("github", 404, r#"{"message":"Not Found"}"#, Unknown),
        ("github", 422, "", WrongKind),
        ("github", 401, "", later),
        ("dropbox", 200, "null", Revoked),
        (
            "dropbox",
            401,
            r#"{"error":{".tag":"expired_access_token"}}"#,
            Unknown,
        ),
        ("dropbox", 400, "", Refused),
        ("slack", 200, r#"{"ok":true,"revoked":true}"#, Revoked),
        (
            "slack",
            200,
            r#"{"ok":false,"error":"token_expired"}"#,
            Unknown,
        ),
        ("slack", 200, r#"{"ok":false,"error":"ratelimited"}"#, later),
        ("slack", 200, r#"{"ok":false,"error":"fatal_error"}"#, later),
        ("slack", 200, r#"{"ok":false,"error":"banana"}"#, Refused),
    ] {
        assert_eq!(judged(id, status, body), expected, "{id} {status} {body}");
    }
}

/// With everything that a description can say of it.
#[test]
fn a_revocation_may_say_more_and_in_other_places() {
    let mut provider = provider("gitlab");
    provider.token.rename = [("client_id".to_owned(), "client_key".to_owned())].into();
    let token = Secret::new("to/ken");
    let captured = BTreeMap::from([("account".to_owned(), "acct&1".to_owned())]);
    let sent = |change: &dyn Fn(&mut Revocation)| {
        let mut revocation = provider.revocation.clone().unwrap();
        revocation.params = ["{captured.account}", "{captured.unknown}", "{client_id}!"]
            .iter()
            .zip(["account", "unknown", "client"])
            .map(|(value, name)| (name.to_owned(), (*value).to_owned()))
            .collect();
        change(&mut revocation);
        let named = Named {
            captured: &captured,
            ..named(&token, RevokedToken::Refresh)
        };
        let request = request(
            &provider,
            &revocation,
            &client(),
            &proof(&revocation),
            &named,
        )
        .unwrap();
        let header = request.headers().get(AUTHORIZATION);
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(request.body().clone()).unwrap();
        (
            format!("{} {}", request.method(), request.uri()),
            header,
            body,
        )
    };
    let said = "token_type_hint=refresh_token&account=acct%261&client=id%2F1%21";
    let url = "https://gitlab.com/oauth/revoke";
    assert_eq!(
        sent(&|_| {}),
        (
            format!("POST {url}"),
            None,
            format!("token=to%2Fken&{said}&client_key=id%2F1&client_secret=s%261")
        )
    );
    let in_query = sent(&|revocation| {
        (revocation.method, revocation.send) = (Method::Get, TokenCarrier::Query);
        (revocation.auth, revocation.param) = (RevocationAuth::None, "t".into());
    });
    assert_eq!(
        in_query,
        (format!("GET {url}?t=to%2Fken&{said}"), None, String::new())
    );
    let by_header = sent(&|revocation| {
        revocation.auth = RevocationAuth::ClientHeader;
        (revocation.hint, revocation.send) = (false, TokenCarrier::Json);
    });
    assert_eq!(
        by_header,
        (
            format!("POST {url}"),
            Some("Client s&1".into()),
            r#"{"account":"acct&1","client":"id/1!","token":"to/ken"}"#.into()
        )
    );
}
