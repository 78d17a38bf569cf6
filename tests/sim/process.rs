//! A process: everything one machine has, with a clock of its own.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use shared::crypto::vault::{Vault, WorkspaceKeys};
use shared::domain::address::AddressRules;
use shared::domain::connection::ConnectionKey;
use shared::domain::connector::{
    Accounts, ClientSecret, Connector, ConnectorKind, ConnectorStatus, ScopePolicy,
};
use shared::domain::event::Event;
use shared::domain::ids::{
    AppId, ConnectorId, EventId, ProviderId, SessionId, UserId, WorkspaceId,
};
use shared::domain::plan::PlanGate;
use shared::domain::scopes::ScopeList;
use shared::domain::secret::{Secret, SecretBytes};
use shared::domain::subject::Subject;
use shared::domain::time::Timestamp;
use shared::events::Publisher;
use shared::http::identity::{ClaimNames, IdentityRules};
use shared::ports::{AnswerOf, EventSink, KeyService, KmsError, SessionField, WrappedRootKey};
use shared::refresh::RefreshEngine;
use testkit::entropy::SeededEntropy;

use super::clock::SkewedClock;
use super::provider::{Rotation, SimProvider};
use super::queue::Queue;
use super::store::SimStore;
use super::world::{STACK, World};

/// When a function is stopped.
pub(super) const HARD_LIMIT: u64 = 15_000;
/// By how much a clock may be wrong that nobody distrusts.
pub(super) const TRUSTED_SKEW: i64 = 1_000;

/// One of several.
pub(super) struct Process {
    pub(super) engine: RefreshEngine,
    pub(super) revoker: disconnect::State,
    /// By how many milliseconds its clock is ahead.
    pub(super) skew: Arc<AtomicI64>,
}

/// Any of them.
pub(super) fn any<'a>(world: &World, processes: &'a [Process]) -> &'a Process {
    &processes[world.sim.below(processes.len() as u64) as usize]
}

impl Process {
    /// One whose clock is wrong by up to a second.
    pub(super) fn new(world: &Arc<World>, all: Weak<Vec<Self>>) -> Self {
        let range = 2 * TRUSTED_SKEW as u64 + 1;
        let skew = world.sim.below(range) as i64 - TRUSTED_SKEW;
        let skew = Arc::new(AtomicI64::new(skew));
        let clock = SkewedClock {
            sim: world.sim.clone(),
            skew: Arc::clone(&skew),
        };
        let store = Arc::new(SimStore(Arc::clone(world)));
        let vault = Arc::new(Vault::new(
            STACK.into(),
            Arc::clone(&world.store) as _,
            Arc::new(SimKeyService(Arc::clone(world))),
            Arc::new(clock.clone()),
            Arc::clone(&world.entropy) as _,
        ));
        let publisher = Publisher::new(Arc::new(Bus), Arc::clone(&store) as _);
        let engine = RefreshEngine {
            clock: Arc::new(clock),
            entropy: Arc::clone(&world.entropy) as _,
            registry: Arc::clone(&store) as _,
            connections: Arc::clone(&store) as _,
            due: Arc::clone(&store) as _,
            health: Arc::clone(&store) as _,
            vault: Arc::clone(&vault),
            providers: Arc::new(SimProvider(Arc::clone(world))),
            jobs: Arc::new(Queue {
                world: Arc::clone(world),
                processes: all,
            }),
            publisher: publisher.clone(),
            address_rules: AddressRules::LocalToo,
            concurrency: 2,
            restored_at: None,
        };
        let revoker = disconnect::State {
            registry: Arc::clone(&engine.registry),
            connections: Arc::clone(&engine.connections),
            due: Arc::clone(&engine.due),
            audit: Arc::clone(&world.store) as _,
            vault,
            providers: Arc::clone(&engine.providers),
            publisher,
            clock: Arc::clone(&engine.clock),
            entropy: Arc::clone(&engine.entropy),
            identity: nobody(),
            address_rules: engine.address_rules,
        };
        Self {
            engine,
            revoker,
            skew,
        }
    }
}

/// The key service over a network that fails now and then.
struct SimKeyService(Arc<World>);

impl SimKeyService {
    async fn call(&self) -> Result<(), KmsError> {
        let sim = &self.0.sim;
        sim.sleep(sim.below(50)).await;
        let fault = self.0.faults().at_keys(sim);
        match fault {
            None => Ok(()),
            Some(throttled) => {
                sim.tell(|| format!("key service: throttled {throttled}"));
                Err(match throttled {
                    true => KmsError::Unavailable("simulated".into()),
                    false => KmsError::Refused("simulated".into()),
                })
            }
        }
    }
}

#[async_trait]
impl KeyService for SimKeyService {
    async fn generate_root_key(&self, version: u32) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        self.call().await?;
        self.0.kms.generate_root_key(version).await
    }

    async fn open_root_key(&self, key: &WrappedRootKey) -> Result<SecretBytes, KmsError> {
        self.call().await?;
        self.0.kms.open_root_key(key).await
    }

    async fn seal_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        plaintext: &Secret,
    ) -> Result<Vec<u8>, KmsError> {
        self.call().await?;
        self.0.kms.seal_for_session(session, field, plaintext).await
    }

    async fn generate_answer_key(
        &self,
        of: AnswerOf<'_>,
    ) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        self.call().await?;
        self.0.kms.generate_answer_key(of).await
    }

    async fn open_answer_key(
        &self,
        of: AnswerOf<'_>,
        wrapped: &[u8],
    ) -> Result<SecretBytes, KmsError> {
        self.call().await?;
        self.0.kms.open_answer_key(of, wrapped).await
    }

    async fn open_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        sealed: &[u8],
    ) -> Result<Secret, KmsError> {
        self.call().await?;
        self.0.kms.open_for_session(session, field, sealed).await
    }
}

/// A bus that takes every event.
struct Bus;

#[async_trait]
impl EventSink for Bus {
    async fn publish(&self, events: &[Event]) -> Vec<EventId> {
        events.iter().map(|event| event.id.clone()).collect()
    }
}

/// Nobody calls over HTTP here.
fn nobody() -> IdentityRules {
    let claim = String::new;
    IdentityRules {
        claims: ClaimNames {
            workspace: claim(),
            app: claim(),
            role: claim(),
            plan: claim(),
            label: claim(),
        },
        plans: PlanGate::new(vec![claim()], claim()).expect("the one plan"),
    }
}

pub(super) fn workspace() -> WorkspaceId {
    WorkspaceId::parse("acme").expect("an id")
}

pub(super) fn key(user: u64) -> ConnectionKey {
    ConnectionKey {
        workspace: workspace(),
        app: AppId::parse("shop").expect("an id"),
        subject: Subject::User(UserId::parse(format!("user-{user}")).expect("an id")),
        connector: ConnectorId::parse("files").expect("an id"),
        alias: None,
    }
}

/// The one connector of these stories, whose profile says of the provider what is true.
pub(super) fn connector(
    rotation: Rotation,
    idle_days: Option<u64>,
    keys: &WorkspaceKeys,
    entropy: &SeededEntropy,
    now: Timestamp,
) -> Connector {
    let id = ConnectorId::parse("files").expect("an id");
    let urls = ["authorize", "token", "revoke", "userinfo"];
    let config = urls.map(|name| (format!("{name}_url"), format!("https://as.example/{name}")));
    let mut config = BTreeMap::from(config);
    let name = match rotation {
        Rotation::Strict => "strict",
        Rotation::Grace(seconds) => {
            config.insert("grace_seconds".into(), seconds.to_string());
            "grace"
        }
        Rotation::Sliding => "sliding",
        Rotation::Fixed => "none",
    };
    config.insert("rotation".into(), name.into());
    if let Some(days) = idle_days {
        config.insert("idle_days".into(), days.to_string());
    }
    let secret = Secret::new("client-secret");
    Connector {
        workspace: workspace(),
        name: "Files".into(),
        provider: ProviderId::parse("custom").expect("an id"),
        kind: ConnectorKind::User,
        accounts: Accounts::One,
        client_id: "client".into(),
        client_secret: Some(ClientSecret {
            sealed: keys.seal_client_secret(entropy, &id, 1, &secret),
            set_at: now,
            last_four: None,
        }),
        previous_secret: None,
        id,
        scopes: ScopeList::parse(["read"]).expect("a scope"),
        scope_policy: ScopePolicy::Widening,
        config,
        template: None,
        allowed_apps: None,
        status: ConnectorStatus::Enabled,
        generation: 1,
        client_generation: 1,
        revoked: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}
