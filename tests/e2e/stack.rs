//! The harness: one workspace of the deployed stack.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use testkit::fake_as::{Client, FakeAsControl, Redirects, consent};
use testkit::loopback;
use tokio::sync::{RwLock, RwLockWriteGuard};

/// What `make test` says about the stack it deployed.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    public_url: String,
    issuer_url: String,
    pub(crate) provider_url: String,
    pub(crate) functions: BTreeMap<String, String>,
    pub(crate) ministack_pid: u32,
    seen_secrets: String,
}

/// The stack under test.
#[expect(clippy::disallowed_methods, reason = "how make test names the stack")]
pub(crate) static STACK: LazyLock<Described> = LazyLock::new(|| {
    let path = std::env::var("GRANTRY_E2E_STACK").expect(
        "these tests need a deployed stack: run `make test`, or `make quick` for the others",
    );
    let description = std::fs::read(path).expect("the stack's description can be read");
    serde_json::from_slice(&description).expect("the stack's description is complete")
});

/// Held for reading by every look-up, and for writing by the story that kills the processes
/// which others' look-ups may be using.
static LOOKUPS: RwLock<()> = RwLock::const_new(());

/// The return URL of every story's app. Nothing listens there: the stories are the browser.
pub(crate) const RETURN: &str = "http://127.0.0.1:9/return";

/// One workspace with an app, an API key and an OAuth client at the provider.
pub(crate) struct Workspace {
    pub(crate) id: String,
    pub(crate) key: String,
    client_id: String,
    client_secret: String,
    http: reqwest::Client,
    pub(crate) provider: FakeAsControl,
}

impl Workspace {
    /// A workspace named after its story.
    pub(crate) async fn new(story: &str) -> Self {
        let provider = FakeAsControl::new(&STACK.provider_url);
        let client_id = format!("client-{story}");
        let client_secret = format!("cs_{}", random());
        let client = Client::new(&client_id, &client_secret)
            .redirecting(Redirects::PathContains("/oauth/callback/".into()));
        provider.add_client(client).await;
        see(&client_secret);
        let mut workspace = Self {
            id: story.to_owned(),
            key: String::new(),
            client_id,
            client_secret,
            http: loopback::client(),
            provider,
        };
        let admin = workspace.admin().await;
        let app = json!({"name": "Shop", "return_urls": [RETURN]});
        workspace
            .call(Method::PUT, "/v1/apps/shop", &admin, Some(app))
            .await
            .expect(201);
        let key = json!({"name": "backend"});
        let key = workspace
            .call(Method::POST, "/v1/apps/shop/keys", &admin, Some(key))
            .await;
        workspace.key = key.expect(201).text("key");
        see(&workspace.key);
        workspace
    }

    /// A token of the platform's issuer. Members of `mint` override what is usual.
    pub(crate) async fn mint(&self, mint: Value) -> String {
        let url = format!("{}/_mint", STACK.issuer_url);
        let answer = send(
            self.http
                .post(url)
                .body(mint.to_string())
                .header("content-type", "application/json"),
        )
        .await;
        let token = answer.expect(200).text("token");
        see(&token);
        token
    }

    /// The owner's token.
    pub(crate) async fn admin(&self) -> String {
        self.admin_on("builder").await
    }

    /// The owner's token, with the workspace on a plan.
    pub(crate) async fn admin_on(&self, plan: &str) -> String {
        let claims = json!({"workspace_id": self.id, "role": "owner", "plan": plan});
        self.mint(json!({"sub": "root", "claims": claims})).await
    }

    /// A user's token.
    pub(crate) async fn user(&self, user: &str) -> String {
        let claims = json!({"workspace_id": self.id, "app_id": "shop"});
        self.mint(json!({"sub": user, "claims": claims})).await
    }

    /// One call of the API with a bearer credential; none when it is empty.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<Value>,
    ) -> Answer {
        self.call_with(method, path, bearer, &[], body).await
    }

    /// As [`Workspace::call`], with more headers.
    pub(crate) async fn call_with(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", STACK.public_url));
        if !bearer.is_empty() {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        send(request).await
    }

    /// What an admin sends to make a connector.
    pub(crate) fn connector_body(&self, name: &str, scopes: &[&str]) -> Value {
        let at = &STACK.provider_url;
        json!({
            "name": name, "provider": "custom",
            "client_id": self.client_id, "client_secret": self.client_secret, "scopes": scopes,
            "config": {
                "authorize_url": format!("{at}/authorize"), "token_url": format!("{at}/token"),
                "revoke_url": format!("{at}/revoke"), "userinfo_url": format!("{at}/userinfo"),
            },
        })
    }

    /// A connector. Answers its id.
    pub(crate) async fn connector(&self, name: &str, scopes: &[&str]) -> String {
        let body = self.connector_body(name, scopes);
        let admin = self.admin().await;
        let made = self
            .call(Method::POST, "/v1/connectors", &admin, Some(body))
            .await;
        made.expect(201).text("id")
    }

    /// Changes a connector as the admin.
    pub(crate) async fn update(&self, connector: &str, change: Value) -> Answer {
        let admin = self.admin().await;
        let path = format!("/v1/connectors/{connector}");
        let etag = self
            .call(Method::GET, &path, &admin, None)
            .await
            .expect(200);
        let etag = [("if-match", etag.headers["etag"].as_str())];
        self.call_with(Method::PATCH, &path, &admin, &etag, Some(change))
            .await
    }

    /// The account that a user of this workspace has at the provider.
    pub(crate) fn account(&self, user: &str) -> String {
        format!("{user}@{}", self.id)
    }

    /// A user's flow from the start to the return URL: the completion code.
    pub(crate) async fn authorize(&self, user: &str, account: &str, connector: &str) -> String {
        let begin = json!({"connector_id": connector, "return_url": RETURN});
        let jwt = self.user(user).await;
        let begun = self
            .call(Method::POST, "/v1/me/connections", &jwt, Some(begin))
            .await;
        let link = begun.expect(201).text("connect_url");
        see(link.rsplit('/').next().unwrap());
        let away = send(self.http.get(&link)).await.expect(303);
        let cookie = away.cookie();
        see(cookie.split('=').nth(1).unwrap());
        let callback = consent(&away.headers["location"], account).await;
        let back = send(self.http.get(callback).header("cookie", cookie))
            .await
            .expect(303);
        let location = url::Url::parse(&back.headers["location"]).unwrap();
        let params: BTreeMap<_, _> = location.query_pairs().into_owned().collect();
        assert_eq!(params["status"], "authorized", "{location}");
        see(&params["code"]);
        params["code"].clone()
    }

    /// Completes a flow as a user.
    pub(crate) async fn complete(&self, user: &str, code: &str) -> Answer {
        let jwt = self.user(user).await;
        let body = json!({"code": code});
        self.call(
            Method::POST,
            "/v1/me/connections/complete",
            &jwt,
            Some(body),
        )
        .await
    }

    /// A whole flow with the user's own account.
    pub(crate) async fn connect(&self, user: &str, connector: &str) -> Answer {
        let code = self.authorize(user, &self.account(user), connector).await;
        self.complete(user, &code).await.expect(200)
    }

    /// A look-up by the app's back end.
    pub(crate) async fn lookup(&self, user: &str, connector: &str) -> Answer {
        let _undisturbed = LOOKUPS.read().await;
        self.lookup_alone(user, connector).await
    }

    /// No other story looks anything up while the answer lives.
    pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
        LOOKUPS.write().await
    }

    /// A look-up by the story that is alone.
    pub(crate) async fn lookup_alone(&self, user: &str, connector: &str) -> Answer {
        let body = json!({"connector_id": connector, "user_id": user});
        self.call(Method::POST, "/v1/tokens", &self.key, Some(body))
            .await
    }

    /// The access token of a look-up that succeeds.
    pub(crate) async fn token(&self, user: &str, connector: &str) -> String {
        self.lookup(user, connector)
            .await
            .expect(200)
            .text("access_token")
    }

    /// Asks the provider whom a token belongs to; `None` when it is dead.
    pub(crate) async fn whose(&self, token: &str) -> Option<String> {
        let userinfo = self.http.get(format!("{}/userinfo", STACK.provider_url));
        let answer = send(userinfo.header("authorization", format!("Bearer {token}"))).await;
        (answer.status == 200).then(|| answer.text("sub"))
    }

    /// How often the live grant of a user's account was refreshed.
    pub(crate) async fn refreshes(&self, user: &str) -> u64 {
        let account = self.account(user);
        let grants = self.provider.grants().await;
        let own = grants.iter().filter(|grant| grant.account == account);
        own.map(|grant| grant.refreshes).sum()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Answer {
    /// This answer, if it has the status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless this is a problem with the status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status, &self.body["code"]),
            (status, &json!(code)),
            "{self:?}"
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self
    }

    /// A member of the body that is a string.
    #[track_caller]
    pub(crate) fn text(&self, member: &str) -> String {
        self.body[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member}: {self:?}"))
            .into()
    }

    #[track_caller]
    fn cookie(&self) -> String {
        self.headers["set-cookie"]
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("the stack answers");
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let body = response.bytes().await.expect("a whole answer");
    let text = || json!(String::from_utf8_lossy(&body));
    Answer {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_else(|_| text()),
    }
}

/// Asks until it is so. The stack is another process: there is nothing to be notified by.
#[expect(
    clippy::disallowed_methods,
    reason = "the deployed stack lives in real time"
)]
pub(crate) async fn eventually<F: Future<Output = bool>>(
    within: Duration,
    what: &str,
    mut is_so: impl FnMut() -> F,
) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Remembers a secret for the search that follows these tests.
pub(crate) fn see(secret: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&STACK.seen_secrets)
        .expect("secrets can be noted");
    writeln!(file, "{secret}").expect("secrets can be noted");
}

/// Differs from process to process and call to call.
fn random() -> String {
    let draw = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", draw(), draw())
}

/// Members to set in a token answer.
pub(crate) fn set(member: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(member.to_owned(), value)])
}
