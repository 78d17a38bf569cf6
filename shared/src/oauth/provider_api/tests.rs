use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::testserver::{Received, Reply, TestServer};
use super::*;
use crate::catalogue;
use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;
use crate::domain::provider::{BodyEncoding, ClientAuth, Identity};
use crate::domain::time::Timestamp;

mod after_code;
mod every_request;
mod grants;
mod revocation;
mod two_secrets;

struct Stopped;

#[async_trait]
impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_366_800_000) // 2026-11-22 17:00:00
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {}

    fn is_trusted(&self) -> bool {
        true
    }
}

/// What a test can foretell.
struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn api() -> HttpProviderApi {
    let http = HttpClient::new(AddressRules::LocalToo);
    HttpProviderApi::new(http, Arc::new(Stopped), Arc::new(Sevens))
}

fn client() -> ClientCredentials {
    ClientCredentials {
        client_id: "client:1".into(),
        client_secret: Secret::new("s3cret+&"),
        previous_secret: None,
    }
}

fn grant() -> CodeGrant {
    CodeGrant {
        code: Secret::new("the-code"),
        verifier: Some(Secret::new("the-verifier")),
        redirect_uri: "https://grantry.example/oauth/callback/c1".into(),
    }
}

/// A custom provider all of whose endpoints are at `server`.
fn provider(server: &TestServer) -> Provider {
    let config = [
        ("authorize_url", "/authorize"),
        ("token_url", "/token"),
        ("revoke_url", "/revoke"),
        ("userinfo_url", "/me"),
    ]
    .map(|(name, path)| (name.to_owned(), server.url(path)));
    let id = ProviderId::parse("custom").unwrap();
    catalogue::resolve(&id, &config.into(), AddressRules::LocalToo).unwrap()
}

async fn serving(replies: Vec<Reply>) -> (TestServer, Provider) {
    let server = TestServer::start(replies).await;
    let provider = provider(&server);
    (server, provider)
}

fn success() -> Reply {
    Reply::json(
        200,
        r#"{"access_token":"at1","refresh_token":"rt1","token_type":"Bearer","expires_in":60,
            "scope":"a b"}"#,
    )
}

fn lines(server: &TestServer) -> Vec<String> {
    let received = server.received();
    received
        .iter()
        .map(|request| request.line().to_owned())
        .collect()
}

async fn refresh(provider: &Provider) -> Result<TokenAnswer, TokenFailure> {
    api()
        .refresh(provider, &client(), &Secret::new("rt0"))
        .await
}

#[tokio::test]
async fn a_code_is_redeemed_with_everything_that_proves_it_is_ours() {
    let (server, mut provider) = serving(vec![success()]).await;
    provider.token.params = [("audience".to_owned(), "api".to_owned())].into();
    provider.headers = [("X-Version".to_owned(), "7".to_owned())].into();
    let answer = api()
        .exchange(&provider, &client(), &grant())
        .await
        .unwrap();
    assert_eq!(answer.access_token.expose(), "at1");
    assert_eq!(answer.refresh_token.unwrap().expose(), "rt1");
    assert_eq!(answer.lifetime, Some(Duration::from_secs(60)));
    assert_eq!(answer.scopes.unwrap().join(" "), "a b");

    let requests = server.received();
    let [request] = &requests[..] else {
        panic!("{} requests", requests.len())
    };
    assert_eq!(request.line(), "POST /token");
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("x-version"), Some("7"));
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("code_verifier", "the-verifier"),
        ("redirect_uri", "https://grantry.example/oauth/callback/c1"),
        ("client_id", "client:1"),
        ("client_secret", "s3cret+&"),
        ("audience", "api"),
    ] {
        assert_eq!(request.form(name).as_deref(), Some(value), "{name}");
    }
}

/// H-37, R24.
#[tokio::test]
async fn h37_the_client_secret_is_sent_in_the_configured_way_only() {
    let (server, mut provider) = serving(vec![success()]).await;
    refresh(&provider).await.unwrap();
    provider.token.auth = ClientAuth::Basic;
    refresh(&provider).await.unwrap();
    provider.token.body = BodyEncoding::Json;
    refresh(&provider).await.unwrap();

    let requests = server.received();
    let [post, basic, json] = &requests[..] else {
        panic!("{} requests", requests.len())
    };
    assert_eq!(post.form("client_secret").as_deref(), Some("s3cret+&"));
    assert_eq!(post.header("authorization"), None);

    let credentials = |request: &Received| {
        let value = request.header("authorization").unwrap().to_owned();
        BASE64_STANDARD
            .decode(value.strip_prefix("Basic ").unwrap())
            .unwrap()
    };
    assert_eq!(credentials(basic), b"client%3A1:s3cret%2B%26");
    assert_eq!(basic.form("client_secret"), None);
    assert_eq!(basic.form("refresh_token").as_deref(), Some("rt0"));

    assert_eq!(credentials(json), b"client%3A1:s3cret%2B%26");
    assert_eq!(json.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    let expected = serde_json::json!({"grant_type": "refresh_token", "refresh_token": "rt0"});
    assert_eq!(body, expected);
    for request in &requests {
        assert_eq!(request.line(), "POST /token", "never in the URL");
    }
}

#[tokio::test]
async fn a_token_request_is_called_and_read_as_the_provider_wants() {
    let reply = r#"{"data":{"accessToken":"at1","refreshToken":"rt1","expiresIn":60,
        "expires_in":1},"scopes":["a","b"],"access_token":"not this"}"#;
    let (server, mut provider) = serving(vec![Reply::json(200, reply)]).await;
    let names = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        let owned = pairs.map(|(name, own)| ((*name).to_owned(), (*own).to_owned()));
        owned.collect()
    };
    let profile = &mut provider.token;
    profile.rename = names(&[("client_id", "client_key"), ("code_verifier", "verifier")]);
    profile.omit = vec!["grant_type".into(), "redirect_uri".into()];
    profile.token_path = "/data".into();
    profile.scope_path = Some("/scopes".into());
    profile.members = names(&[
        ("access_token", "accessToken"),
        ("refresh_token", "refreshToken"),
        ("expires_in", "expiresIn"),
    ]);
    let answer = api()
        .exchange(&provider, &client(), &grant())
        .await
        .unwrap();
    assert_eq!(answer.access_token.expose(), "at1");
    assert_eq!(answer.refresh_token.unwrap().expose(), "rt1");
    assert_eq!(answer.lifetime, Some(Duration::from_secs(60)));
    assert_eq!(answer.scopes.unwrap().join(" "), "a b");
    let mut members: Vec<_> = server.received()[0]
        .body
        .split('&')
        .map(str::to_owned)
        .collect();
    members.sort();
    assert_eq!(
        members,
        [
            "client_key=client%3A1",
            "client_secret=s3cret%2B%26",
            "code=the-code",
            "verifier=the-verifier",
        ]
    );
}

/// As a server sees it; what the assertion says is tested beside the code that signs it.
#[tokio::test]
async fn h23_a_client_that_signs_shows_an_assertion_and_never_its_key() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let body = BASE64_STANDARD.encode(pair.to_pkcs8v1().unwrap().as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
    let signing = ClientCredentials {
        client_secret: Secret::new(pem),
        ..client()
    };
    let (server, mut provider) = serving(vec![success()]).await;
    provider.issuer = Some("https://as.example".into());
    provider.token.auth = ClientAuth::PrivateKeyJwt;
    let rt = Secret::new("rt0");
    api().exchange(&provider, &signing, &grant()).await.unwrap();
    api().refresh(&provider, &signing, &rt).await.unwrap();
    for request in server.received() {
        assert_eq!(request.form("client_id").as_deref(), Some("client:1"));
        assert_eq!(request.form("client_secret"), None);
        assert!(request.form("client_assertion").unwrap().starts_with("ey"));
        assert!(!request.body.contains("PRIVATE") && request.header("authorization").is_none());
    }
    // A secret that is no key signs nothing, and so nothing is sent.
    let failure = api().refresh(&provider, &client(), &rt).await.unwrap_err();
    assert_eq!(failure, TokenFailure::ClientRefused);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn an_account_can_be_asked_for_with_a_question() {
    let reply = Reply::json(200, r#"{"data":{"me":{"id":"7"}}}"#);
    let (server, mut provider) = serving(vec![reply]).await;
    let identity = provider.identity.as_mut().unwrap();
    identity.json = Some(r#"{"query":"{ me { id } }"}"#.into());
    identity.id = "/data/me/id".into();
    let account = api().account(&provider, &Secret::new("at1")).await.unwrap();
    assert_eq!(account.id, "7");
    let request = &server.received()[0];
    assert_eq!(request.line(), "POST /me");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, r#"{"query":"{ me { id } }"}"#);
}

/// B-classes of refresh.md: a repeated token request may spend a refresh token twice.
#[tokio::test]
async fn a_token_request_is_sent_once_whatever_comes_of_it() {
    let large = "x".repeat(70_000);
    let later = |seconds| TokenFailure::TryLater {
        after: Some(Duration::from_secs(seconds)),
    };
    for (reply, expected) in [
        (
            Reply::json(400, r#"{"error":"invalid_grant"}"#),
            TokenFailure::GrantRefused,
        ),
        (
            Reply::json(200, r#"{"error":"invalid_grant"}"#),
            TokenFailure::GrantRefused,
        ),
        (
            Reply::json(401, r#"{"error":"invalid_client"}"#),
            TokenFailure::ClientRefused,
        ),
        (Reply::status(500, "", ""), TokenFailure::OutcomeUnknown),
        (
            Reply::status(200, "", "<html>"),
            TokenFailure::OutcomeUnknown,
        ),
        (Reply::status(200, "", &large), TokenFailure::OutcomeUnknown),
        (Reply::Bytes(Vec::new()), TokenFailure::OutcomeUnknown),
        (
            Reply::Bytes(b"HTTP/1.1 200 X\r\n".to_vec()),
            TokenFailure::OutcomeUnknown,
        ),
        (
            Reply::status(307, "location: /token\r\n", ""),
            TokenFailure::Redirected,
        ),
        (
            Reply::status(404, "", ""),
            TokenFailure::Unexpected { status: 404 },
        ),
        (Reply::status(429, "retry-after: 120\r\n", ""), later(120)),
        (
            Reply::status(429, "retry-after: Sun, 22 Nov 2026 17:01:00 GMT\r\n", ""),
            later(60),
        ),
        (
            Reply::json(200, r#"{"access_token":"at","token_type":"mac"}"#),
            TokenFailure::UnknownTokenType,
        ),
    ] {
        let (server, provider) = serving(vec![reply]).await;
        assert_eq!(refresh(&provider).await.unwrap_err(), expected);
        let exchange = api().exchange(&provider, &client(), &grant()).await;
        assert_eq!(exchange.unwrap_err(), expected);
        assert_eq!(lines(&server), ["POST /token"; 2], "one request a call");
    }
}

#[tokio::test]
async fn what_the_content_type_says_does_not_matter() {
    for (status, content_type) in [
        (200, "text/html"),
        (201, "application/x-www-form-urlencoded"),
    ] {
        let body = r#"{"access_token":"at1"}"#;
        let headers = format!("content-type: {content_type}\r\n");
        let (_server, provider) = serving(vec![Reply::status(status, &headers, body)]).await;
        let answer = refresh(&provider).await.unwrap();
        assert_eq!(answer.access_token.expose(), "at1");
        assert_eq!(answer.lifetime, provider.refresh.assumed_lifetime);
    }
}

/// H-31, F13.
#[tokio::test]
async fn f13_an_endpoint_that_cannot_or_may_not_be_reached_spends_nothing() {
    let (_server, mut provider) = serving(vec![success()]).await;
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for (url, expected) in [
        (
            format!("http://127.0.0.1:{port}/token"),
            TokenFailure::NotSent,
        ),
        (
            "https://10.0.0.1/token".into(),
            TokenFailure::AddressRefused,
        ),
        (
            "http://example.com/token".into(),
            TokenFailure::AddressRefused,
        ),
    ] {
        provider.token.url = url.parse().unwrap();
        assert_eq!(refresh(&provider).await.unwrap_err(), expected, "{url}");
    }
}

#[tokio::test]
async fn h16_the_account_is_read_with_the_fresh_token() {
    let (server, mut provider) = serving(vec![Reply::json(
        200,
        r#"{"sub":42,"email":"a@b.example"}"#,
    )])
    .await;
    provider.identity.as_mut().unwrap().label = Some("/email".into());
    let account = api().account(&provider, &Secret::new("at1")).await.unwrap();
    assert_eq!(account.id, "42");
    assert_eq!(account.label.as_deref(), Some("a@b.example"));
    let request = &server.received()[0];
    assert_eq!(request.line(), "GET /me");
    assert_eq!(request.header("authorization"), Some("Bearer at1"));
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_none() {
    for reply in [
        Reply::json(401, r#"{"sub":"1"}"#),
        Reply::status(302, "location: /me2\r\n", r#"{"sub":"1"}"#),
        Reply::json(200, "{}"),
        Reply::json(200, "<html>"),
        Reply::Bytes(Vec::new()),
    ] {
        let (server, provider) = serving(vec![reply]).await;
        assert_eq!(api().account(&provider, &Secret::new("at1")).await, None);
        assert_eq!(server.received().len(), 1);
    }
    let (server, mut provider) = serving(vec![success()]).await;
    provider.identity = Some(Identity {
        id_token: false,
        url: None,
        json: None,
        id: "/user".into(),
        label: None,
    });
    assert_eq!(api().account(&provider, &Secret::new("at1")).await, None);
    provider.identity = None;
    assert_eq!(api().account(&provider, &Secret::new("at1")).await, None);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_account_in_the_token_response_comes_with_the_tokens() {
    let (_server, mut provider) = serving(vec![Reply::json(
        200,
        r#"{"access_token":"at1","team":{"id":"T1"},"user":{"id":"U1","name":"Ada"}}"#,
    )])
    .await;
    provider.identity = Some(Identity {
        id_token: false,
        url: None,
        json: None,
        id: "/user/id".into(),
        label: Some("/user/name".into()),
    });
    provider.captured = [("team".to_owned(), "/team/id".to_owned())].into();
    let answer = api()
        .exchange(&provider, &client(), &grant())
        .await
        .unwrap();
    assert_eq!(answer.account.unwrap().id, "U1");
    assert_eq!(answer.connection_config["team"], "T1");
}
