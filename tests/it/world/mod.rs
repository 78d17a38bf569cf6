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

mod acts;
mod bus;
pub(crate) mod contract;
pub(crate) mod for_apps;
mod http;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use shared::crypto::answer::AnswerVault;
use shared::crypto::vault::Vault;
use shared::domain::address::AddressRules;
use shared::domain::plan::PlanGate;
use shared::domain::provider_hosts::ProviderHosts;
use shared::domain::rate::{Caps, Meter};
use shared::domain::time::Timestamp;
use shared::events::Publisher;
use shared::http::idempotency::Once;
use shared::http::identity::{ClaimNames, IdentityRules};
use shared::http::on_behalf_of::OnBehalfOf;
use shared::id_token::{IdTokens, UserTokens};
use shared::oauth::documents::HttpDocuments;
use shared::oauth::http_client::HttpClient;
use shared::oauth::provider_api::HttpProviderApi;
use shared::ports::{
    Audit, Clock, Connections, ConnectorHealth, Documents, DueTable, Idempotency, KeyTable, Lookup,
    ProviderApi, Registry, Sessions,
};
use shared::refresh::RefreshEngine;
use shared::runtime::lambda::with_telemetry;
use shared::runtime::telemetry::Telemetry;
use testkit::clock::ManualClock;
use testkit::entropy::SeededEntropy;
use testkit::fake_as::{FakeAs, FakeAsConfig};
use testkit::fake_kms::FakeKeyService;
use testkit::issuer::{AUDIENCE, Desk};
use testkit::job_queue::MemoryQueue;
use testkit::memory_store::MemoryStore;
use testkit::peer::{Peer, PeerApi, PeerDocuments};

use self::bus::RecordingBus;

pub(crate) use http::{Answer, Call};

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
    /// When the connections were restored from a backup.
    pub(crate) restored_at: Option<Timestamp>,
    /// Where the providers of the catalogue are played.
    pub(crate) peer: Option<String>,
}

impl Default for Limits {
    /// More than any story needs, but for those that are about them.
    fn default() -> Self {
        Self {
            caps: CAPS,
            bulk_connections: BULK,
            hosts: ProviderHosts::default(),
            restored_at: None,
            peer: None,
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
        Self::limited_on(MemoryStore::new(SHARDS), limits).await
    }

    /// The same over any store.
    pub(crate) async fn limited_on<S: Store>(store: S, limits: Limits) -> Self {
        let clock = ManualClock::new();
        let products = Arc::new(clock.clone());
        Self::build(store, clock, products, limits).await
    }

    /// A world beside a peer, at which every provider of the catalogue is.
    pub(crate) async fn with_peer() -> (Self, Peer) {
        let clock = ManualClock::new();
        let peers = clock.clone();
        let peer = Peer::start(Arc::new(move || peers.now().millis())).await;
        let limits = Limits {
            peer: Some(peer.url().to_owned()),
            ..Limits::default()
        };
        let products = Arc::new(clock.clone());
        let world = Self::build(MemoryStore::new(SHARDS), clock, products, limits).await;
        (world, peer)
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
        let documents = HttpDocuments::new(http.clone());
        let providers =
            HttpProviderApi::new(http, Arc::clone(&clock_port), Arc::clone(&entropy) as _);
        let (documents, providers): (Arc<dyn Documents>, Arc<dyn ProviderApi>) = match &limits.peer
        {
            None => (Arc::new(documents), Arc::new(providers)),
            Some(peer) => (
                Arc::new(PeerDocuments::new(documents, peer)),
                Arc::new(PeerApi::new(providers, peer)),
            ),
        };
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
            restored_at: limits.restored_at,
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
                audit: Arc::clone(&store) as _,
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
                    address_rules,
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
