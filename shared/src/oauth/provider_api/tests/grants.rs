//! Access tokens that are exchanged for the next ones.

use std::io::Write;
use std::sync::Mutex;

use super::*;
use crate::domain::provider::{RefreshGrant, RefreshProfile};

fn exchanging(method: Method, mut provider: Provider) -> Provider {
    let auth = match method {
        Method::Get => RequestAuth::None,
        Method::Post | Method::Delete => RequestAuth::Post,
    };
    provider.refresh.grant = RefreshGrant::AccessToken {
        min_age: Duration::ZERO,
    };
    provider.refresh.request = Some(GrantRequest {
        url: provider.token.url.clone(),
        method,
        grant_type: "x_exchange".into(),
        token_param: "x_token".into(),
        auth,
        body: BodyEncoding::Form,
        params: BTreeMap::new(),
        token_path: String::new(),
    });
    provider
}

fn request(refresh: &mut RefreshProfile) -> &mut GrantRequest {
    refresh.request.as_mut().unwrap()
}

async fn spend(provider: &Provider, token: &str) -> Result<TokenAnswer, TokenFailure> {
    api()
        .refresh(provider, &client(), &Secret::new(token))
        .await
}

#[tokio::test]
async fn an_exchange_by_post_is_a_token_request_with_the_access_token() {
    let (server, provider) = serving(vec![success()]).await;
    let mut provider = exchanging(Method::Post, provider);
    request(&mut provider.refresh).params = [("audience".to_owned(), "api".to_owned())].into();
    provider.headers = [("X-Version".to_owned(), "7".to_owned())].into();
    let answer = spend(&provider, "at0+&").await.unwrap();
    assert_eq!(answer.access_token.expose(), "at1");
    assert_eq!(answer.lifetime, Some(Duration::from_secs(60)));
    request(&mut provider.refresh).auth = RequestAuth::Basic;
    spend(&provider, "at0").await.unwrap();
    request(&mut provider.refresh).body = BodyEncoding::Json;
    spend(&provider, "at0").await.unwrap();

    let requests = server.received();
    let [post, basic, json] = &requests[..] else {
        panic!("{} requests", requests.len())
    };
    for request in &requests {
        assert_eq!(request.line(), "POST /token");
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.header("x-version"), Some("7"));
    }
    for (name, value) in [
        ("grant_type", "x_exchange"),
        ("x_token", "at0+&"),
        ("audience", "api"),
        ("client_id", "client:1"),
        ("client_secret", "s3cret+&"),
    ] {
        assert_eq!(post.form(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(post.header("authorization"), None);
    assert_eq!(basic.form("client_secret"), None);
    assert!(basic.header("authorization").unwrap().starts_with("Basic "));
    let body: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(body["x_token"], "at0");
}

#[tokio::test]
async fn an_exchange_by_get_names_the_token_and_nothing_of_the_client() {
    let (server, provider) = serving(vec![success()]).await;
    let mut provider = exchanging(Method::Get, provider);
    spend(&provider, "at0").await.unwrap();
    request(&mut provider.refresh).url = server.url("/renew?v=2").parse().unwrap();
    spend(&provider, "a&b=c/ä").await.unwrap();
    let requests = server.received();
    assert_eq!(
        lines(&server),
        [
            "GET /token?grant_type=x_exchange&x_token=at0",
            "GET /renew?v=2&grant_type=x_exchange&x_token=a%26b%3Dc%2F%C3%A4",
        ]
    );
    for request in requests {
        assert_eq!(request.body, "");
        assert_eq!(request.header("authorization"), None);
        assert!(!request.head.contains("client") && !request.head.contains("s3cret"));
    }
}

/// With everything that a description can say of it.
#[tokio::test]
async fn a_refresh_token_can_be_spent_in_a_providers_own_way_too() {
    let reply = || {
        Reply::json(
            200,
            r#"{"data":{"access_token":"at1","refresh_token":"rt1"}}"#,
        )
    };
    let (server, provider) = serving(vec![reply(), reply()]).await;
    let mut provider = exchanging(Method::Get, provider);
    provider.refresh.grant = RefreshGrant::RefreshToken;
    provider.token.rename = [("client_id", "client_key"), ("grant_type", "type")]
        .map(|(name, own)| (name.to_owned(), own.to_owned()))
        .into();
    provider.token.omit = vec!["redirect_uri".into()];
    let asked = request(&mut provider.refresh);
    asked.auth = RequestAuth::Query;
    asked.token_param = "refresh_token".into();
    asked.token_path = "/data".into();
    let answer = spend(&provider, "rt0").await.unwrap();
    assert_eq!(answer.refresh_token.unwrap().expose(), "rt1");
    request(&mut provider.refresh).method = Method::Post;
    request(&mut provider.refresh).auth = RequestAuth::SecretBasic;
    spend(&provider, "rt0").await.unwrap();

    let requests = server.received();
    assert_eq!(
        requests[0].line(),
        "GET /token?type=x_exchange&refresh_token=rt0&client_key=client%3A1&client_secret=s3cret%2B%26"
    );
    assert_eq!(requests[1].body, "type=x_exchange&refresh_token=rt0");
    let basic = format!("Basic {}", BASE64_STANDARD.encode("s3cret+&:"));
    assert_eq!(requests[1].header("authorization"), Some(basic.as_str()));
}

/// H-33, H-34: as every token request.
#[tokio::test]
async fn h33_an_exchange_is_sent_once_and_follows_nothing() {
    let large = "x".repeat(70_000);
    for method in [Method::Post, Method::Get] {
        for (reply, expected) in [
            (
                Reply::json(400, r#"{"error":"invalid_grant"}"#),
                TokenFailure::GrantRefused,
            ),
            (
                Reply::status(302, "location: /token\r\n", ""),
                TokenFailure::Redirected,
            ),
            (Reply::status(200, "", &large), TokenFailure::OutcomeUnknown),
            (
                Reply::status(200, "", "<html>"),
                TokenFailure::OutcomeUnknown,
            ),
            (Reply::Bytes(Vec::new()), TokenFailure::OutcomeUnknown),
            (
                Reply::json(200, r#"{"access_token":"at","token_type":"mac"}"#),
                TokenFailure::UnknownTokenType,
            ),
        ] {
            let (server, provider) = serving(vec![reply]).await;
            let provider = exchanging(method, provider);
            assert_eq!(spend(&provider, "at0").await.unwrap_err(), expected);
            assert_eq!(server.received().len(), 1, "{method:?}");
        }
    }
}

/// A place for everything that is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// H-50. At every level, and in the words of every library on the way.
#[tokio::test]
async fn h50_a_token_in_a_query_is_in_no_line_of_the_log() {
    let lines = Lines::default();
    let kept = lines.clone();
    let everything = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || kept.clone())
        .finish();
    let guard = tracing::subscriber::set_default(everything);
    let (_server, provider) = serving(vec![
        Reply::Bytes(Vec::new()),
        Reply::Bytes(b"HTTP/1.1 200 X\r\n".to_vec()),
        Reply::status(302, "location: /token\r\n", ""),
        success(),
    ])
    .await;
    let mut provider = exchanging(Method::Get, provider);
    let mut failures = String::new();
    for _ in 0..4 {
        let answer = spend(&provider, "canary").await;
        failures.push_str(&format!("{answer:?} {:?}", answer.as_ref().err()));
    }
    for unreachable in ["http://127.0.0.1:1/token", "http://example.com/token"] {
        request(&mut provider.refresh).url = unreachable.parse().unwrap();
        let failure = spend(&provider, "canary").await.unwrap_err();
        failures.push_str(&format!("{failure} {failure:?}"));
    }
    drop(guard);
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the provider gave no answer"), "{logged}");
    assert!(!logged.contains("canary") && !failures.contains("canary"));
}
