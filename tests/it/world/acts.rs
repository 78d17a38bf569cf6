//! What happens in the stories: apps are registered, accounts connected, tokens looked up, time
//! passes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::connection::{Connection, ConnectionKey};
use shared::domain::ids::{AppId, ConnectorId, UserId, WorkspaceId};
use shared::domain::job::Job;
use shared::domain::subject::Subject;
use shared::ports::JobQueue as _;
use shared::runtime::lambda::{self, JobReport};
use shared::runtime::telemetry::Telemetry;
use testkit::fake_as::consent;
use testkit::issuer::Mint;

use super::http::{self, Answer, Call, Delivered};
use super::{API, RETURN, World};

impl World {
    /// Registers an app with the stories' return URL, and makes an API key for it.
    pub(crate) async fn register_app(&self, workspace: &str, app: &str) {
        let path = format!("/v1/apps/{app}");
        let body = json!({"name": "Shop", "return_urls": [RETURN]});
        let put = Call::put(&path).admin_of(workspace).json(&body);
        self.send(put).await.expect_status(201);
        let key = Call::post(&format!("{path}/keys"))
            .admin_of(workspace)
            .json(&json!({"name": "backend"}));
        let key = self.send(key).await.expect_status(201).text("key");
        self.keys
            .lock()
            .unwrap()
            .insert((workspace.into(), app.into()), key);
    }

    /// The API key of an app.
    pub(crate) fn key_of(&self, workspace: &str, app: &str) -> String {
        self.keys.lock().unwrap()[&(workspace.to_owned(), app.to_owned())].clone()
    }

    /// The JWT of any app's user, as their sign-in brought it.
    pub(crate) fn jwt_of(&self, [workspace, app, user]: [&str; 3]) -> String {
        let mint = Mint::new(user)
            .claim("workspace_id", workspace)
            .claim("app_id", app);
        self.issuer.mint(&mint)
    }

    /// The JWT of a user of `acme`'s `shop`.
    pub(crate) fn jwt(&self, user: &str) -> String {
        self.jwt_of(["acme", "shop", user])
    }

    /// A whole flow of any app's user. Answers the connection's id.
    pub(crate) async fn connect_as(&self, of: [&str; 3], connector: &str) -> String {
        let [workspace, app, user] = of;
        let body = json!({"connector_id": connector, "return_url": RETURN});
        let begin = Call::post("/v1/me/connections").json(&body);
        let begun = self.send(begin.user_of(workspace, app, user)).await;
        let link = begun.expect_status(201).text("connect_url");
        let link = link.strip_prefix(API).expect("a link to the API");
        let (authorize_url, cookie) = self.follow(link).await;
        let callback = self.consent(&authorize_url, user).await;
        let returned = self.send(Call::get(&callback).cookie(&cookie)).await;
        let code = returned.location_params()["code"].clone();
        let complete = Call::post("/v1/me/connections/complete").json(&json!({"code": code}));
        let completed = self.send(complete.user_of(workspace, app, user)).await;
        completed.expect_status(200).text("connection_id")
    }

    /// What an admin sends to make a connector at the stories' provider.
    pub(crate) fn connector_body(&self, scopes: &[&str]) -> Value {
        let at = self.provider.url();
        json!({
            "name": "Files",
            "provider": "custom",
            "client_id": "client",
            "client_secret": "client-secret",
            "scopes": scopes,
            "config": {
                "authorize_url": format!("{at}/authorize"),
                "token_url": format!("{at}/token"),
                "revoke_url": format!("{at}/revoke"),
                "userinfo_url": format!("{at}/userinfo"),
            },
        })
    }

    /// A connector of `acme` at the stories' provider. Answers its id.
    pub(crate) async fn connector(&self, scopes: &[&str]) -> String {
        self.connector_of("acme", scopes).await
    }

    /// A connector of any workspace.
    pub(crate) async fn connector_of(&self, workspace: &str, scopes: &[&str]) -> String {
        let create = Call::post("/v1/connectors")
            .admin_of(workspace)
            .json(&self.connector_body(scopes));
        self.send(create).await.expect_status(201).text("id")
    }

    /// A connector of `acme` as its admins see it.
    pub(crate) async fn view_connector(&self, connector: &str) -> Answer {
        let path = format!("/v1/connectors/{connector}");
        let view = self.send(Call::get(&path).admin_of("acme")).await;
        view.expect_status(200)
    }

    /// Changes what an admin of `acme` has just seen.
    pub(crate) async fn change_connector(&self, connector: &str, change: &Value) -> Answer {
        let etag = &self.view_connector(connector).await.headers["etag"];
        let patch = Call::patch(&format!("/v1/connectors/{connector}")).admin_of("acme");
        self.send(patch.header("if-match", etag).json(change)).await
    }

    /// Begins a flow of a user of `acme`'s `shop`. Answers the path of the connect URL.
    pub(crate) async fn begin(&self, user: &str, connector: &str) -> String {
        let body = json!({"connector_id": connector, "return_url": RETURN});
        let begin = Call::post("/v1/me/connections").user(user).json(&body);
        let url = self
            .send(begin)
            .await
            .expect_status(201)
            .text("connect_url");
        url.strip_prefix(API).expect("a link to the API").to_owned()
    }

    /// Follows a connect link: the provider's authorize URL, and the browser's cookie.
    pub(crate) async fn follow(&self, link: &str) -> (String, String) {
        let answer = self.send(Call::get(link)).await.expect_status(303);
        let cookie = answer.cookie().expect("a cookie");
        (answer.location(), cookie)
    }

    /// Consents at the provider: the path of the callback.
    pub(crate) async fn consent(&self, authorize_url: &str, account: &str) -> String {
        let callback = consent(authorize_url, account).await;
        callback
            .strip_prefix(API)
            .expect("a callback to the API")
            .to_owned()
    }

    /// Start, consent and callback: the completion code that the app receives.
    pub(crate) async fn authorize(&self, user: &str, account: &str, connector: &str) -> String {
        let (authorize_url, cookie) = self.follow(&self.begin(user, connector).await).await;
        let callback = self.consent(&authorize_url, account).await;
        let answer = self
            .send(Call::get(&callback).cookie(&cookie))
            .await
            .expect_status(303);
        let params = answer.location_params();
        assert_eq!(params["status"], "authorized");
        params["code"].clone()
    }

    /// Completes a flow as a user.
    pub(crate) async fn complete(&self, user: &str, code: &str) -> Answer {
        let body = json!({"code": code});
        self.send(
            Call::post("/v1/me/connections/complete")
                .user(user)
                .json(&body),
        )
        .await
    }

    /// A whole flow. The account at the provider is called like the user.
    pub(crate) async fn connect(&self, user: &str, connector: &str) -> Answer {
        let code = self.authorize(user, user, connector).await;
        self.complete(user, &code).await.expect_status(200)
    }

    /// A look-up by the back end of `acme`'s `shop`.
    pub(crate) async fn lookup(&self, user: &str, connector: &str) -> Answer {
        self.lookup_with(json!({"connector_id": connector, "user_id": user}))
            .await
    }

    /// A look-up with a body of the story's own.
    pub(crate) async fn lookup_with(&self, body: Value) -> Answer {
        let key = self.key_of("acme", "shop");
        self.send(Call::post("/v1/tokens").bearer(&key).json(&body))
            .await
    }

    /// The access token of a look-up that succeeds.
    pub(crate) async fn token(&self, user: &str, connector: &str) -> String {
        self.lookup(user, connector)
            .await
            .expect_status(200)
            .text("access_token")
    }

    /// A user's disconnect.
    pub(crate) async fn disconnect(&self, user: &str, connector: &str) -> Answer {
        let path = format!("/v1/me/connections/{connector}");
        self.send(Call::delete(&path).user(user)).await
    }

    /// A user's own list: the item of one connector.
    pub(crate) async fn status(&self, user: &str, connector: &str) -> Value {
        let list = self
            .send(Call::get("/v1/me/connectors").user(user))
            .await
            .expect_status(200);
        let items = list.body["items"].as_array().expect("items").clone();
        items
            .into_iter()
            .find(|item| item["connector_id"] == connector)
            .unwrap_or(Value::Null)
    }

    /// A minute's work of the scheduled refresher: the tick, and every job that it and its
    /// workers hand over, but for retries: their queue holds them until their lease is over, and
    /// here until the next tick. Answers how many due entries ended how.
    pub(crate) async fn tick(&self) -> Value {
        self.tick_alone().await;
        let mut sum = BTreeMap::<String, u64>::new();
        let mut held = Vec::new();
        for round in 0..100 {
            let jobs = self.jobs.drain();
            if jobs.is_empty() {
                self.jobs.enqueue(&held).await.unwrap();
                return json!(sum);
            }
            for job in jobs {
                if round > 0 && matches!(job, Job::RetryRefresh { .. }) {
                    held.push(job);
                    continue;
                }
                let message = serde_json::to_string(&job).unwrap();
                let done = self.deliver(&[&message]).await;
                assert!(done.failed.is_empty(), "{job:?} failed");
                for (name, count) in done.counts {
                    *sum.entry(name).or_default() += count;
                }
            }
        }
        panic!("the jobs do not end");
    }

    /// One tick, whose jobs stay in the queue.
    pub(crate) async fn tick_alone(&self) -> JobReport {
        token_refresher::tick(&self.engine, &self.publisher)
            .await
            .unwrap()
    }

    /// Delivers messages with these bodies to the refresher as one batch.
    pub(crate) async fn deliver(&self, bodies: &[&str]) -> Delivered {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&lines);
        let sink = Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
        let telemetry = Telemetry::new("token-refresher".into(), sink);
        let work = |batch| token_refresher::work(&self.engine, batch);
        let answer = lambda::answer_batch(http::batch(bodies), &telemetry, &self.clock, &work);
        let answer = answer.await.unwrap();
        let told = lines.lock().unwrap().pop().expect("a line per invocation");
        Delivered::read(&answer, &told)
    }

    /// One run of the background revoker.
    pub(crate) async fn tick_revoker(&self) -> Value {
        Value::Object(disconnect::run(&self.disconnect).await.facts)
    }

    /// What is stored for a user of `acme`'s `shop`.
    pub(crate) async fn stored(&self, user: &str, connector: &str) -> Option<Connection> {
        let key = ConnectionKey {
            workspace: WorkspaceId::parse("acme").unwrap(),
            app: AppId::parse("shop").unwrap(),
            subject: Subject::User(UserId::parse(user).unwrap()),
            connector: ConnectorId::parse(connector).unwrap(),
            alias: None,
        };
        self.connections.connection(&key).await.unwrap()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}
