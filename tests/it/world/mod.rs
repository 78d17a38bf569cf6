//! The harness of the stories: all functions' routers over one reference store, a manual clock,
//! seeded randomness, a fake KMS, and a real authorization server on loopback.
//!
//! Requests go in as the gateway's events and come out as its answers, so that what a story
//! sees is what a client would see. A story reads:
//!
//! ```ignore
//! let world = World::start().await;
//! let connector = world.connector(&["read"]).await;
//! world.connect("alice", &connector).await;
//! assert_eq!(world.lookup("alice", &connector).await.status, 200);
//! ```

pub(crate) mod contract;
pub(crate) mod for_apps;
mod http;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use serde_json::{Value, json};
use shared::crypto::answer::AnswerVault;
use shared::crypto::vault::Vault;
use shared::domain::address::AddressRules;
use shared::domain::connection::{Connection, ConnectionKey};
use shared::domain::event::Event;
use shared::domain::ids::{AppId, ConnectorId, EventId, UserId, WorkspaceId};
use shared::domain::job::Job;
use shared::domain::plan::PlanGate;
use shared::domain::provider_hosts::ProviderHosts;
use shared::domain::rate::{Caps, Meter};
use shared::domain::subject::Subject;
use shared::events::Publisher;
use shared::http::idempotency::Once;
use shared::http::identity::{ClaimNames, IdentityRules};
use shared::http::on_behalf_of::OnBehalfOf;
use shared::id_token::{IdTokens, UserTokens};
use shared::oauth::documents::HttpDocuments;
use shared::oauth::http_client::HttpClient;
use shared::oauth::provider_api::HttpProviderApi;
use shared::ports::{
    Audit, Clock, Connections, ConnectorHealth, DueTable, EventSink, Idempotency, JobQueue as _,
    KeyTable, Lookup, Registry, Sessions,
};
use shared::refresh::RefreshEngine;
use shared::runtime::lambda::{self, JobReport, with_telemetry};
use shared::runtime::telemetry::Telemetry;
use testkit::clock::ManualClock;
use testkit::entropy::SeededEntropy;
use testkit::fake_as::{FakeAs, FakeAsConfig, consent};
use testkit::fake_kms::FakeKeyService;
use testkit::issuer::{AUDIENCE, Desk, Mint};
use testkit::job_queue::MemoryQueue;
use testkit::memory_store::MemoryStore;

pub(crate) use http::{Answer, Call, Delivered};

/// Where the stories' API answers.
pub(crate) const API: &str = "https://api.grantry.test";
/// Who signs in the stories' users.
pub(crate) const ISSUER: &str = "https://id.example";
/// The return URL of the stories' app.
pub(crate) const RETURN: &str = "https://shop.example/connected";
const SHARDS: u32 = 2;
/// How many providers a worker asks at a time.
const CONCURRENCY: usize = 25;
const STACK: &str = "stories";
/// The template's own.
const CAPS: Caps = Caps {
    credential: 6000,
    workspace: 30_000,
};
const BULK: u32 = 500;

/// A store that a world can live in.
pub(crate) trait Store:
    Registry
    + Sessions
    + Idempotency
    + Connections
    + DueTable
    + ConnectorHealth
    + Lookup
    + KeyTable
    + Audit
    + 'static
{
}

impl<
    S: Registry
        + Sessions
        + Idempotency
        + Connections
        + DueTable
        + ConnectorHealth
        + Lookup
        + KeyTable
        + Audit
        + 'static,
> Store for S
{
}

/// What an operator may set in a world.
pub(crate) struct Limits {
    /// How many tokens may be read a minute.
    pub(crate) caps: Caps,
    /// How many connections a key may read in an hour before that is told.
    pub(crate) bulk_connections: u32,
    /// The only hosts that providers may have.
    pub(crate) hosts: ProviderHosts,
}

impl Default for Limits {
    /// More than any story needs, but for those that are about them.
    fn default() -> Self {
        Self {
            caps: CAPS,
            bulk_connections: BULK,
            hosts: ProviderHosts::default(),
        }
    }
}

/// Everything a story needs.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) connections: Arc<dyn Connections>,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) kms: Arc<FakeKeyService>,
    pub(crate) provider: FakeAs,
    /// Signs in the users of all apps.
    pub(crate) issuer: Arc<Desk>,
    pub(crate) engine: RefreshEngine,
    pub(crate) publisher: Publisher,
    pub(crate) bus: Arc<RecordingBus>,
    pub(crate) jobs: Arc<MemoryQueue>,
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
    disconnect: disconnect::State,
    router: Router,
    keys: Mutex<BTreeMap<(String, String), String>>,
}

impl World {
    /// A world with workspace `acme` and its app `shop`, and a provider that rotates strictly
    /// and issues tokens for an hour.
    pub(crate) async fn start() -> Self {
        Self::on(MemoryStore::new(SHARDS), ManualClock::new()).await
    }

    /// The same over any store, whose time is `clock`.
    pub(crate) async fn on<S: Store>(store: S, clock: ManualClock) -> Self {
        let products = Arc::new(clock.clone());
        Self::timed(store, clock, products).await
    }

    /// The same with another clock for the product: one that runs, where it is measured. The
    /// world's own begins and moves it.
    pub(crate) async fn timed<S: Store>(
        store: S,
        clock: ManualClock,
        products: Arc<dyn Clock>,
    ) -> Self {
        Self::build(store, clock, products, Limits::default()).await
    }

    /// A world with other limits.
    pub(crate) async fn limited(limits: Limits) -> Self {
        let clock = ManualClock::new();
        let products = Arc::new(clock.clone());
        Self::build(MemoryStore::new(SHARDS), clock, products, limits).await
    }

    async fn build<S: Store>(
        store: S,
        clock: ManualClock,
        products: Arc<dyn Clock>,
        limits: Limits,
    ) -> Self {
        let provider = {
            let clock = clock.clone();
            let config = FakeAsConfig::new(Arc::new(move || clock.now().millis()));
            FakeAs::start(config).await
        };
        provider.configure(|settings| {
            settings.rotation = testkit::fake_as::Rotation::Strict;
            settings.access_token_lifetime_s = 3600;
        });
        let world = Self::wire(clock, products, provider, Arc::new(store), limits);
        world.register_app("acme", "shop").await;
        world
    }

    fn wire<S: Store>(
        clock: ManualClock,
        clock_port: Arc<dyn Clock>,
        provider: FakeAs,
        store: Arc<S>,
        limits: Limits,
    ) -> Self {
        let kms = Arc::new(FakeKeyService::new(STACK));
        let bus = Arc::new(RecordingBus::default());
        let entropy = Arc::new(SeededEntropy::new(1));
        let vault = Arc::new(Vault::new(
            STACK.into(),
            Arc::clone(&store) as _,
            Arc::clone(&kms) as _,
            Arc::clone(&clock_port),
            Arc::clone(&entropy) as _,
        ));
        let publisher = Publisher::new(Arc::clone(&bus) as _, Arc::clone(&store) as _);
        let jobs = Arc::new(MemoryQueue::default());
        let address_rules = AddressRules::LocalToo;
        let http = HttpClient::new(address_rules).limited_to(limits.hosts.clone());
        let documents = Arc::new(HttpDocuments::new(http.clone()));
        let providers = Arc::new(HttpProviderApi::new(http, Arc::clone(&clock_port)));
        let engine = RefreshEngine {
            clock: Arc::clone(&clock_port),
            entropy: Arc::clone(&entropy) as _,
            registry: Arc::clone(&store) as _,
            connections: Arc::clone(&store) as _,
            due: Arc::clone(&store) as _,
            health: Arc::clone(&store) as _,
            vault: Arc::clone(&vault),
            providers: Arc::clone(&providers) as _,
            jobs: Arc::clone(&jobs) as _,
            publisher: publisher.clone(),
            address_rules,
            concurrency: CONCURRENCY,
        };
        let issuer = {
            let clock = clock.clone();
            Arc::new(Desk::of(ISSUER, Arc::new(move || clock.now().millis())))
        };
        let tokens = UserTokens::new(
            Arc::clone(&issuer) as _,
            Arc::clone(&clock_port),
            ISSUER.into(),
            AUDIENCE.into(),
        );
        let on_behalf_of = OnBehalfOf::new(Arc::new(tokens), identity().claims);
        let once = |function| Once {
            runs: Arc::clone(&store) as _,
            registry: Arc::clone(&store) as _,
            answers: Arc::new(AnswerVault::new(
                STACK.into(),
                function,
                Arc::clone(&kms) as _,
                Arc::clone(&entropy) as _,
            )),
            clock: Arc::clone(&clock_port),
            entropy: Arc::clone(&entropy) as _,
            identity: identity(),
        };
        let disconnect = disconnect::State {
            registry: Arc::clone(&store) as _,
            connections: Arc::clone(&store) as _,
            due: Arc::clone(&store) as _,
            audit: Arc::clone(&store) as _,
            vault: Arc::clone(&vault),
            providers: Arc::clone(&providers) as _,
            publisher: publisher.clone(),
            clock: Arc::clone(&clock_port),
            entropy: Arc::clone(&entropy) as _,
            identity: identity(),
            address_rules,
        };
        let routers = [
            connector_admin::router(
                connector_admin::State {
                    registry: Arc::clone(&store) as _,
                    connections: Arc::clone(&store) as _,
                    health: Arc::clone(&store) as _,
                    audit: Arc::clone(&store) as _,
                    documents: Arc::clone(&documents) as _,
                    vault: Arc::clone(&vault),
                    publisher: publisher.clone(),
                    clock: Arc::clone(&clock_port),
                    entropy: Arc::clone(&entropy) as _,
                    identity: identity(),
                    public_url: API.parse().unwrap(),
                    address_rules,
                    provider_hosts: limits.hosts,
                },
                once("connector-admin"),
            ),
            oauth_start::router(
                oauth_start::State {
                    registry: Arc::clone(&store) as _,
                    sessions: Arc::clone(&store) as _,
                    keys: Arc::clone(&kms) as _,
                    clock: Arc::clone(&clock_port),
                    entropy: Arc::clone(&entropy) as _,
                    identity: identity(),
                    public_url: API.parse().unwrap(),
                    address_rules,
                },
                once("oauth-start"),
                on_behalf_of.clone(),
            ),
            oauth_callback::router(oauth_callback::State {
                registry: Arc::clone(&store) as _,
                sessions: Arc::clone(&store) as _,
                keys: Arc::clone(&kms) as _,
                clock: Arc::clone(&clock_port),
                entropy: Arc::clone(&entropy) as _,
                public_url: API.parse().unwrap(),
            }),
            oauth_complete::router(
                oauth_complete::State {
                    registry: Arc::clone(&store) as _,
                    sessions: Arc::clone(&store) as _,
                    connections: Arc::clone(&store) as _,
                    due: Arc::clone(&store) as _,
                    jobs: Arc::clone(&jobs) as _,
                    audit: Arc::clone(&store) as _,
                    keys: Arc::clone(&kms) as _,
                    vault: Arc::clone(&vault),
                    providers: Arc::clone(&providers) as _,
                    id_tokens: Arc::new(IdTokens::new(documents, Arc::clone(&clock_port))),
                    publisher: publisher.clone(),
                    clock: Arc::clone(&clock_port),
                    entropy: Arc::clone(&entropy) as _,
                    identity: identity(),
                    public_url: API.parse().unwrap(),
                    address_rules,
                },
                once("oauth-complete"),
            ),
            connections::router(
                connections::State {
                    registry: Arc::clone(&store) as _,
                    connections: Arc::clone(&store) as _,
                    audit: Arc::clone(&store) as _,
                    clock: Arc::clone(&clock_port),
                    identity: identity(),
                },
                on_behalf_of.clone(),
            ),
            disconnect::router(disconnect.clone(), once("disconnect"), on_behalf_of.clone()),
            token_lookup::router(token_lookup::State {
                lookup: Arc::clone(&store) as _,
                audit: Arc::clone(&store) as _,
                engine: engine.clone(),
                meter: Arc::new(Mutex::new(Meter::new(limits.caps))),
                on_behalf_of,
                bulk_connections: limits.bulk_connections,
            }),
        ];
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&lines);
        let sink = Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
        let router = routers.into_iter().fold(Router::new(), Router::merge);
        let router = with_telemetry(router, Telemetry::new("stories".into(), sink), clock_port);
        Self {
            clock,
            connections: Arc::clone(&store) as _,
            sessions: store,
            kms,
            provider,
            engine,
            publisher,
            issuer,
            bus,
            jobs,
            lines,
            disconnect,
            router,
            keys: Mutex::default(),
        }
    }

    /// Sends a call through the routers. The answer is one that the OpenAPI document foresees.
    pub(crate) async fn send(&self, call: Call) -> Answer {
        let (method, path) = call.target();
        let answer = http::send(self.router.clone(), call).await;
        contract::check(method, &path, &answer);
        answer
    }

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

fn identity() -> IdentityRules {
    let plans = ["free", "starter", "builder", "pro", "elite"]
        .map(String::from)
        .to_vec();
    IdentityRules {
        claims: ClaimNames {
            workspace: "workspace_id".into(),
            app: "app_id".into(),
            role: "role".into(),
            plan: "plan".into(),
            label: "email".into(),
        },
        plans: PlanGate::new(plans, "builder".into()).unwrap(),
    }
}

/// A bus that remembers what it took, and can be down.
#[derive(Default)]
pub(crate) struct RecordingBus {
    taken: Mutex<Vec<Event>>,
    down: Mutex<bool>,
}

impl RecordingBus {
    /// The types of the events it took, oldest first.
    pub(crate) fn types(&self) -> Vec<&'static str> {
        self.taken
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.change.detail_type())
            .collect()
    }

    /// The events it took, oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.taken.lock().unwrap().clone()
    }

    /// Takes nothing from now on, or everything again.
    pub(crate) fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }
}

#[async_trait]
impl EventSink for RecordingBus {
    async fn publish(&self, events: &[Event]) -> Vec<EventId> {
        if *self.down.lock().unwrap() {
            return Vec::new();
        }
        events.iter().for_each(contract::check_event);
        self.taken.lock().unwrap().extend_from_slice(events);
        events.iter().map(|event| event.id.clone()).collect()
    }
}
