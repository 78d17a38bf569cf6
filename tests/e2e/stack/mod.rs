//! The harness: one workspace of the deployed stack.

mod answer;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use testkit::fake_as::{Client, FakeAsControl, Redirects, consent};
use testkit::loopback;
use tokio::sync::{RwLock, RwLockWriteGuard};

pub(crate) use answer::Answer;
use answer::{append, send};

/// What `make test` says about the stack it deployed.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    pub(crate) public_url: String,
    pub(crate) issuer_url: String,
    pub(crate) provider_url: String,
    pub(crate) functions: BTreeMap<String, String>,
    pub(crate) ministack_pid: u32,
    seen_secrets: String,
    received: String,
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
    pub(crate) client_id: String,
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
        workspace
            .register("shop", json!({"name": "Shop", "return_urls": [RETURN]}))
            .await;
        let admin = workspace.admin().await;
        let key = json!({"name": "backend"});
        let key = workspace
            .call(Method::POST, "/v1/apps/shop/keys", &admin, Some(key))
            .await;
        workspace.key = key.expect(201).text("key");
        see(&workspace.key);
        workspace
    }

    /// Registers an app, or says anew how it is.
    pub(crate) async fn register(&self, app: &str, body: Value) {
        let admin = self.admin().await;
        let path = format!("/v1/apps/{app}");
        let answer = self.call(Method::PUT, &path, &admin, Some(body)).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
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
        self.connector_of(self.connector_body(name, scopes)).await
    }

    /// A connector that is as the body says.
    pub(crate) async fn connector_of(&self, body: Value) -> String {
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

    /// A user begins a flow. Answers the connect link.
    pub(crate) async fn begin(&self, user: &str, connector: &str) -> String {
        let begin = json!({"connector_id": connector, "return_url": RETURN});
        self.begin_as(&self.user(user).await, begin).await
    }

    /// As [`Workspace::begin`], for the user of a token and with the whole body.
    pub(crate) async fn begin_as(&self, jwt: &str, begin: Value) -> String {
        let begun = self
            .call(Method::POST, "/v1/me/connections", jwt, Some(begin))
            .await;
        let link = begun.expect(201).text("connect_url");
        see(link.rsplit('/').next().unwrap());
        link
    }

    /// A browser follows a connect link.
    pub(crate) async fn follow(&self, link: &str) -> Away {
        let away = send(self.http.get(link)).await.expect(303);
        let cookie = away.cookie();
        see(cookie.split('=').nth(1).unwrap());
        Away {
            authorize_url: away.headers["location"].clone(),
            cookie,
        }
    }

    /// A browser opens an address, with the cookies that it has.
    pub(crate) async fn open(&self, url: &str, cookies: &[&str]) -> Answer {
        let request = self.http.get(url);
        let request = match cookies {
            [] => request,
            cookies => request.header("cookie", cookies.join("; ")),
        };
        send(request).await
    }

    /// A user's flow from the start to the return URL: the completion code.
    pub(crate) async fn authorize(&self, user: &str, account: &str, connector: &str) -> String {
        let away = self.follow(&self.begin(user, connector).await).await;
        let callback = consent(&away.authorize_url, account).await;
        let back = self.open(&callback, &[&away.cookie]).await.expect(303);
        let told = back.told();
        assert_eq!(told["status"], "authorized", "{told:?}");
        see(&told["code"]);
        told["code"].clone()
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

    /// How many codes this workspace's client tried to redeem at the provider.
    pub(crate) async fn redemptions(&self) -> u64 {
        let counters = self.provider.counters().await;
        counters.client(&self.client_id).redemptions()
    }

    /// How often the live grant of a user's account was refreshed.
    pub(crate) async fn refreshes(&self, user: &str) -> u64 {
        let account = self.account(user);
        let grants = self.provider.grants().await;
        let own = grants.iter().filter(|grant| grant.account == account);
        own.map(|grant| grant.refreshes).sum()
    }
}

/// A browser that was sent to the provider.
#[derive(Clone, Debug)]
pub(crate) struct Away {
    pub(crate) authorize_url: String,
    /// The flow's cookie, name and value.
    pub(crate) cookie: String,
}

impl Away {
    /// The flow's state.
    pub(crate) fn state(&self) -> String {
        let url = url::Url::parse(&self.authorize_url).expect("a redirect has a URL");
        let state = url.query_pairs().find(|(name, _)| name == "state");
        state.expect("a flow has a state").1.into_owned()
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
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Remembers a secret for the search that follows these tests.
pub(crate) fn see(secret: &str) {
    append(&STACK.seen_secrets, secret);
}

/// Differs from process to process and call to call.
pub(crate) fn random() -> String {
    let draw = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", draw(), draw())
}

/// Members to set in a token answer.
pub(crate) fn set(member: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(member.to_owned(), value)])
}
