//! The server against itself: what it promises the tests that rely on it.

mod behaviours;
mod controls;
mod grants;
mod rotation;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use serde_json::Value;
use url::Url;

use super::token::s256;
use super::{Client, FakeAs, FakeAsConfig, Redirects, Rotation, consent};
use crate::loopback::client;

pub(super) const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
pub(super) const RETURN: &str = "https://grantry.example/oauth/callback/c1";

/// A server on a clock that only the test moves, with a client whose redirect URI is exact.
pub(super) struct Provider {
    pub(super) fake: FakeAs,
    now: Arc<AtomicI64>,
}

/// The answer to a form post.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn text(&self, name: &str) -> String {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {self:?}"))
            .to_owned()
    }

    pub(super) fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap_or_default())
    }
}

impl Provider {
    pub(super) async fn start() -> Self {
        let now = Arc::new(AtomicI64::new(1_800_000_000_000));
        let clock = Arc::clone(&now);
        let mut config = FakeAsConfig::new(Arc::new(move || clock.load(Ordering::SeqCst)));
        let exact = Redirects::Exactly(vec![RETURN.to_owned()]);
        config.clients = vec![
            Client::new("client", "s3cret:&+").redirecting(exact),
            Client::new("other", "o"),
        ];
        Self {
            fake: FakeAs::start(config).await,
            now,
        }
    }

    pub(super) async fn rotating(rotation: Rotation) -> Self {
        let provider = Self::start().await;
        provider
            .fake
            .configure(|settings| settings.rotation = rotation);
        provider
    }

    pub(super) fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(super) fn authorize_url(&self) -> Url {
        let mut url = Url::parse(&format!("{}/authorize", self.fake.url())).unwrap();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", "client")
            .append_pair("redirect_uri", RETURN)
            .append_pair("scope", "mail calendar mail")
            .append_pair("state", "st&te")
            .append_pair("code_challenge", &s256(VERIFIER))
            .append_pair("code_challenge_method", "S256");
        url
    }

    pub(super) async fn code(&self, account: &str) -> String {
        let location = consent(self.authorize_url().as_str(), account).await;
        param(&location, "code").unwrap()
    }

    pub(super) async fn redeem(&self, code: &str) -> Reply {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", RETURN),
            ("code_verifier", VERIFIER),
        ];
        self.token(&fields).await
    }

    pub(super) async fn connect(&self, account: &str) -> Reply {
        let code = self.code(account).await;
        self.redeem(&code).await
    }

    pub(super) async fn refresh(&self, token: &str) -> Reply {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    pub(super) async fn token(&self, fields: &[(&str, &str)]) -> Reply {
        reply(self.post("/token", fields).await).await
    }

    /// Posts as `client`, authenticated in the body.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::Response {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", "client")
            .append_pair("client_secret", "s3cret:&+");
        let body = form.extend_pairs(fields).finish();
        self.request(path, body).send().await.unwrap()
    }

    pub(super) fn request(&self, path: &str, body: String) -> reqwest::RequestBuilder {
        let kind = "application/x-www-form-urlencoded";
        let url = format!("{}{path}", self.fake.url());
        client()
            .post(url)
            .header(header::CONTENT_TYPE, kind)
            .body(body)
    }

    pub(super) async fn userinfo(&self, access_token: &str) -> Reply {
        let url = format!("{}/userinfo", self.fake.url());
        let request = client().get(url).bearer_auth(access_token);
        reply(request.send().await.unwrap()).await
    }
}

pub(super) async fn reply(response: reqwest::Response) -> Reply {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    Reply {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}

pub(super) fn param(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

pub(super) fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))
    )
}
