//! The far end of `/_control`: a test of the deployed stack steers the provider as a test in
//! its process would.

use http::{Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::control::{Step, Whose};
use super::observe::{Counters, GrantState, GrantView, IssuedSecret, LoggedRequest, grant_state};
use super::script::{Behaviour, When};
use super::settings::{Client, Settings};
use crate::loopback::client;

/// The methods of [`FakeAs`](super::FakeAs) for a server in another process.
///
/// # Panics
/// Every method panics when the server does not answer or refuses: a test has nothing else to
/// do then.
#[derive(Clone, Debug)]
pub struct FakeAsControl {
    http: reqwest::Client,
    url: String,
}

impl FakeAsControl {
    /// Controls the server whose [`url`](super::FakeAs::url) this is.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            http: client(),
            url: url.trim_end_matches('/').to_owned(),
        }
    }

    /// The server's issuer identifier and the base of its endpoints.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The settings in force.
    pub async fn settings(&self) -> Settings {
        self.get("config").await
    }

    /// Changes settings for the requests to come. Only the members that differ are sent, so
    /// that two tests may change different ones.
    pub async fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let before = self.settings().await;
        let mut after = before.clone();
        change(&mut after);
        let (before, after) = (members(&before), members(&after));
        let changes: Map<_, _> = after
            .into_iter()
            .filter(|(name, value)| before.get(name) != Some(value))
            .collect();
        self.send(Method::PATCH, "config", &changes).await;
    }

    /// Registers a client, or replaces the one of that id.
    pub async fn add_client(&self, client: Client) {
        self.send(Method::POST, "clients", &client).await;
    }

    /// Adds a step for the next request that `when` covers.
    pub async fn push(&self, when: impl Into<When>, behaviour: Behaviour) {
        let step = Step {
            when: when.into(),
            behaviour,
            always: false,
        };
        self.send(Method::POST, "script", &step).await;
    }

    /// Adds a step for every request that `when` covers and no single step does.
    pub async fn always(&self, when: impl Into<When>, behaviour: Behaviour) {
        let step = Step {
            when: when.into(),
            behaviour,
            always: true,
        };
        self.send(Method::POST, "script", &step).await;
    }

    /// Forgets every step, single and standing.
    pub async fn clear_script(&self) {
        self.send(Method::DELETE, "script", &Value::Null).await;
    }

    /// Single steps that no request has used up.
    pub async fn steps_left(&self) -> usize {
        number(&self.get("script").await, "steps_left")
    }

    /// How many requests arrived.
    pub async fn counters(&self) -> Counters {
        self.get("counters").await
    }

    /// Every request to a token, revocation, userinfo or authorization endpoint, in order.
    pub async fn requests(&self) -> Vec<LoggedRequest> {
        self.get("requests").await
    }

    /// Every secret ever issued; a reset forgets none.
    pub async fn issued_secrets(&self) -> Vec<IssuedSecret> {
        self.get("secrets").await
    }

    /// Every grant ever made, oldest first.
    pub async fn grants(&self) -> Vec<GrantView> {
        self.get("grants").await
    }

    /// Whether `account` has a live grant, at any client.
    pub async fn grant_state(&self, account: &str) -> GrantState {
        grant_state(&self.grants().await, account)
    }

    /// The account withdraws its live grants; returns how many there were.
    pub async fn withdraw_grants(&self, account: &str) -> usize {
        let whose = Whose {
            account: account.to_owned(),
        };
        let answer = self.send(Method::POST, "grants/withdraw", &whose).await;
        number(&answer, "withdrawn")
    }

    /// Makes access tokens expire now, of one account or of all; returns how many.
    pub async fn expire_access_tokens(&self, account: Option<&str>) -> usize {
        let whose = Whose {
            account: account.map(str::to_owned),
        };
        let answer = self
            .send(Method::POST, "access-tokens/expire", &whose)
            .await;
        number(&answer, "expired")
    }

    /// How many requests are held.
    pub async fn held(&self) -> usize {
        number(&self.get("held").await, "held")
    }

    /// Waits until at least this many requests are held.
    pub async fn wait_until_held(&self, at_least: usize) {
        let path = format!("held?at_least={at_least}&wait_ms=20000");
        while number(&self.get(&path).await, "held") < at_least {}
    }

    /// Lets all held requests go; returns how many there were.
    pub async fn release(&self) -> usize {
        number(
            &self.send(Method::POST, "held/release", &Value::Null).await,
            "released",
        )
    }

    /// Back to the start: settings, script, counts and log; held requests are released.
    pub async fn reset(&self) {
        self.send(Method::POST, "reset", &Value::Null).await;
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.call(Method::GET, path, None).await;
        serde_json::from_value(answer).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn send<T: Serialize>(&self, method: Method, path: &str, body: &T) -> Value {
        self.call(method, path, Some(json!(body).to_string())).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>) -> Value {
        let mut request = self
            .http
            .request(method, format!("{}/_control/{path}", self.url));
        if let Some(body) = body {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body);
        }
        let response = request
            .send()
            .await
            .expect("the fake authorization server answers");
        let status = response.status();
        let text = response.text().await.expect("the answer is complete");
        assert!(
            status.is_success(),
            "{path} was refused with {status}: {text}"
        );
        match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).expect("the answer is JSON"),
        }
    }
}

fn members(settings: &Settings) -> Map<String, Value> {
    match json!(settings) {
        Value::Object(members) => members,
        other => panic!("settings are an object, not {other}"),
    }
}

fn number(answer: &Value, name: &str) -> usize {
    let number = answer[name]
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number.unwrap_or_else(|| panic!("{name} is missing in {answer}"))
}
