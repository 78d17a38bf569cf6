//! The real adapters, built once at cold start. A function takes from here what it uses.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;

use super::config::{Config, ConfigError};
use super::system::{SystemClock, SystemEntropy};
use super::telemetry::Telemetry;
use crate::crypto::answer::AnswerVault;
use crate::crypto::kms::KmsKeyService;
use crate::crypto::vault::Vault;
use crate::events::Publisher;
use crate::events::eventbridge::EventBridgeSink;
use crate::http::idempotency::Once;
use crate::http::on_behalf_of::OnBehalfOf;
use crate::id_token::UserTokens;
use crate::oauth::documents::HttpDocuments;
use crate::oauth::http_client::HttpClient;
use crate::oauth::provider_api::HttpProviderApi;
use crate::ports::{Clock, Entropy};
use crate::refresh::RefreshEngine;
use crate::storage::dynamodb::DynamoStore;
use crate::storage::dynamodb::server_time::ServerTime;

/// The adapters of one execution environment.
pub struct Wiring {
    /// The deployment's configuration.
    pub config: Config,
    /// Log lines and metrics.
    pub telemetry: Telemetry,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    system: SystemClock,
    aws: aws_config::SdkConfig,
}

impl Wiring {
    /// Reads the configuration and finds the function's credentials.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub async fn start() -> Result<Self, ConfigError> {
        let config = Config::from_env()?;
        let telemetry = Telemetry::to_stdout(config.function.clone());
        let system = SystemClock::start();
        Ok(Self {
            config,
            telemetry,
            clock: Arc::new(system.clone()),
            system,
            entropy: Arc::new(SystemEntropy),
            aws: aws_config::defaults(BehaviorVersion::latest())
                .timeout_config(aws_timeouts())
                .load()
                .await,
        })
    }

    /// The tables.
    pub fn store(&self) -> Arc<DynamoStore> {
        let compared = ServerTime::new(self.system.clone(), self.system.off());
        let config = aws_sdk_dynamodb::config::Builder::from(&self.aws)
            .interceptor(compared)
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let Config {
            tables, due_shards, ..
        } = &self.config;
        let store = DynamoStore::new(client, tables.clone(), *due_shards);
        Arc::new(store.keeping_audit_for(self.config.audit_retention))
    }

    /// The stack's KMS key.
    pub fn kms(&self) -> Arc<KmsKeyService> {
        let client = aws_sdk_kms::Client::new(&self.aws);
        let Config {
            kms_key_arn, stack, ..
        } = &self.config;
        Arc::new(KmsKeyService::new(
            client,
            kms_key_arn.clone(),
            stack.clone(),
        ))
    }

    /// The keys of the workspaces.
    pub fn vault(&self, store: &Arc<DynamoStore>) -> Arc<Vault> {
        Arc::new(Vault::new(
            self.config.stack.clone(),
            Arc::clone(store) as _,
            self.kms(),
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
        ))
    }

    /// What makes the routes of `function` do once what they are asked twice. The envelope key's
    /// policy knows it by that name.
    pub fn once(&self, store: &Arc<DynamoStore>, function: &'static str) -> Once {
        let (stack, entropy) = (self.config.stack.clone(), Arc::clone(&self.entropy));
        let answers = AnswerVault::new(stack, function, self.kms(), entropy);
        Once {
            runs: Arc::clone(store) as _,
            registry: Arc::clone(store) as _,
            answers: Arc::new(answers),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            identity: self.config.identity.clone(),
        }
    }

    /// Tells of what happened.
    pub fn publisher(&self, store: &Arc<DynamoStore>) -> Publisher {
        Publisher::new(self.bus(), Arc::clone(store) as _)
    }

    /// The stack's event bus.
    pub fn bus(&self) -> Arc<EventBridgeSink> {
        let config = aws_sdk_eventbridge::config::Builder::from(&self.aws)
            .timeout_config(bus_timeouts())
            .build();
        let client = aws_sdk_eventbridge::Client::from_conf(config);
        Arc::new(EventBridgeSink::new(client, self.config.event_bus.clone()))
    }

    /// The providers.
    pub fn providers(&self) -> Arc<HttpProviderApi> {
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Arc::new(HttpProviderApi::new(self.http(), clock, entropy))
    }

    /// What issuers publish.
    pub fn documents(&self) -> Arc<HttpDocuments> {
        Arc::new(HttpDocuments::new(self.http()))
    }

    /// Verifies who rides along with an app's back end. The platform's issuer is none of the
    /// hosts that providers may have.
    pub fn on_behalf_of(&self) -> OnBehalfOf {
        let http = HttpClient::new(self.config.address_rules);
        let tokens = UserTokens::new(
            Arc::new(HttpDocuments::new(http)),
            Arc::clone(&self.clock),
            self.config.jwt_issuer.clone(),
            self.config.jwt_audience.clone(),
        );
        OnBehalfOf::new(Arc::new(tokens), self.config.identity.claims.clone())
    }

    fn http(&self) -> HttpClient {
        let client = HttpClient::new(self.config.address_rules);
        client.limited_to(self.config.provider_hosts.clone())
    }

    /// The refresh engine.
    pub fn engine(&self, store: &Arc<DynamoStore>, vault: &Arc<Vault>) -> RefreshEngine {
        RefreshEngine {
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            registry: Arc::clone(store) as _,
            connections: Arc::clone(store) as _,
            due: Arc::clone(store) as _,
            health: Arc::clone(store) as _,
            vault: Arc::clone(vault),
            providers: self.providers(),
            jobs: self.bus(),
            publisher: self.publisher(store),
            address_rules: self.config.address_rules,
            concurrency: usize::try_from(self.config.refresh_concurrency).unwrap_or(usize::MAX),
            restored_at: self.config.restored_at,
        }
    }
}

/// Tokens that the table did not take have to be in escrow before the function is stopped; what
/// else goes to the bus stands in the outbox.
fn bus_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_timeout(Duration::from_millis(1500))
        .build()
}

/// A connection that died while the sandbox was frozen must cost a retry and not the function's
/// whole time: 8 s for a provider's answer and one of these operations fit into the 15 s after
/// which a function that refreshes is stopped.
fn aws_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(6))
        .build()
}
