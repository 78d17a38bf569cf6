//! How a connector reads in an answer. The secret does not.

use std::collections::BTreeMap;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use shared::domain::connector::{Accounts, Connector, ConnectorKind, ConnectorStatus, ScopePolicy};
use shared::domain::health::{Cause, Health};
use shared::domain::ids::{AppId, ConnectorId, ProviderId};
use shared::domain::scopes::ScopeList;
use shared::domain::time::Timestamp;
use shared::http::respond;
use url::Url;

use crate::census::{Counted, ScopePlan};

#[derive(Debug, Serialize)]
pub(crate) struct ConnectorView<'a> {
    id: &'a ConnectorId,
    name: &'a str,
    provider: &'a ProviderId,
    kind: ConnectorKind,
    accounts: Accounts,
    client_id: &'a str,
    client_secret_set_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_last_four: Option<&'a str>,
    client_secrets: Vec<SecretView<'a>>,
    scopes: &'a ScopeList,
    scope_policy: ScopePolicy,
    config: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Value>,
    allowed_apps: Option<&'a [AppId]>,
    status: &'static str,
    redirect_uri: Url,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Only where one connector is asked for: in a list it would be a read a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<ConnectionsView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<ProgressView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<ProgressView>,
    /// Only where scopes were changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope_plan: Option<ScopePlan>,
}

/// How many connections stand how.
#[derive(Debug, Serialize)]
struct ConnectionsView {
    connected: u64,
    reconnect_required: u64,
    disconnecting: u64,
    counted_all: bool,
}

/// How far a deletion, or a revocation of everything, has come.
#[derive(Debug, Serialize)]
struct ProgressView {
    requested_at: Timestamp,
    /// Connections whose end is not settled yet.
    remaining: u64,
    counted_all: bool,
}

/// One of a connector's live secrets.
#[derive(Debug, Serialize)]
struct SecretView<'a> {
    role: &'static str,
    set_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_four: Option<&'a str>,
    /// When its provider was last seen to accept it. Noted while there are two, to tell when the
    /// previous one can go.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_worked_at: Option<Timestamp>,
}

impl<'a> SecretView<'a> {
    fn all(connector: &'a Connector) -> Vec<Self> {
        let current = connector.client_secret.as_ref();
        let previous = connector.previous_secret.as_ref();
        let all = [("current", current), ("previous", previous)];
        let live = all
            .into_iter()
            .filter_map(|(role, secret)| Some((role, secret?)));
        live.map(|(role, secret)| Self {
            role,
            set_at: secret.set_at,
            last_four: secret.last_four.as_deref(),
            last_worked_at: None,
        })
        .collect()
    }
}

/// How a connector is doing.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum HealthView {
    /// Its provider is asked.
    Ok,
    /// Its provider is left alone for a while. Nobody has to do anything.
    Paused {
        cause: &'static str,
        until: Timestamp,
    },
    /// It works again when an admin has changed it, or whatever the provider changed is undone.
    Misconfigured {
        cause: &'static str,
        since: Timestamp,
    },
}

impl HealthView {
    fn of(connector: &Connector, health: &Health, now: Timestamp) -> Self {
        let Some(breaker) = health.binding(connector.version) else {
            return Self::Ok;
        };
        let cause = breaker.cause.as_str();
        match breaker.cause {
            Cause::Misconfigured(_) => Self::Misconfigured {
                cause,
                since: breaker.since,
            },
            Cause::ProviderFailing | Cause::Throttled if breaker.open_until > now => Self::Paused {
                cause,
                until: breaker.open_until,
            },
            // Whoever needs a token next finds out.
            Cause::ProviderFailing | Cause::Throttled => Self::Ok,
        }
    }
}

impl<'a> ConnectorView<'a> {
    pub(crate) fn of(connector: &'a Connector, public_url: &Url) -> Self {
        let secret = connector.client_secret.as_ref();
        Self {
            id: &connector.id,
            name: &connector.name,
            provider: &connector.provider,
            kind: connector.kind,
            accounts: connector.accounts,
            client_id: &connector.client_id,
            client_secret_set_at: secret.map(|secret| secret.set_at),
            client_secret_last_four: secret.and_then(|secret| secret.last_four.as_deref()),
            client_secrets: SecretView::all(connector),
            scopes: &connector.scopes,
            scope_policy: connector.scope_policy,
            config: &connector.config,
            // It was JSON when it was stored.
            template: connector
                .template
                .as_deref()
                .and_then(|template| serde_json::from_str(template).ok()),
            allowed_apps: connector.allowed_apps.as_deref(),
            status: match connector.status {
                ConnectorStatus::Enabled => "enabled",
                ConnectorStatus::Disabled { .. } => "disabled",
                ConnectorStatus::Deleting { .. } => "deleting",
            },
            redirect_uri: connector.redirect_uri(public_url),
            created_at: connector.created_at,
            updated_at: connector.updated_at,
            health: None,
            connections: None,
            deletion: None,
            revocation: None,
            scope_plan: None,
        }
    }

    /// The same, with how the connector is doing.
    pub(crate) fn doing(mut self, connector: &Connector, health: &Health, now: Timestamp) -> Self {
        for secret in &mut self.client_secrets {
            secret.last_worked_at = health.secrets.get(&secret.set_at).copied();
        }
        Self {
            health: Some(HealthView::of(connector, health, now)),
            ..self
        }
    }

    /// The same, with its connections, and how far its deletion has come if it is being deleted,
    /// or the last revocation of everything.
    pub(crate) fn counted(self, connector: &Connector, counted: &Counted) -> Self {
        let Counted { census, all } = *counted;
        Self {
            connections: Some(ConnectionsView {
                connected: census.connected,
                reconnect_required: census.reconnect_required,
                disconnecting: census.disconnecting,
                counted_all: all,
            }),
            deletion: match connector.status {
                ConnectorStatus::Enabled | ConnectorStatus::Disabled { .. } => None,
                ConnectorStatus::Deleting { since } => Some(ProgressView {
                    requested_at: since,
                    remaining: census.all(),
                    counted_all: all,
                }),
            },
            revocation: connector.revoked.map(|last| ProgressView {
                requested_at: last.at,
                remaining: census.revoked,
                counted_all: all,
            }),
            ..self
        }
    }

    /// The same, with what a change of scopes does.
    pub(crate) fn planned(self, scope_plan: Option<ScopePlan>) -> Self {
        Self { scope_plan, ..self }
    }
}

/// A connector with its ETag.
pub(crate) fn respond_with(
    status: StatusCode,
    connector: &Connector,
    public_url: &Url,
) -> Response {
    respond_as(status, connector, &ConnectorView::of(connector, public_url))
}

/// A view of a connector with the connector's ETag.
pub(crate) fn respond_as(
    status: StatusCode,
    connector: &Connector,
    view: &ConnectorView<'_>,
) -> Response {
    let mut response = respond::json(status, view);
    let etag = HeaderValue::from_str(&etag(connector)).expect("digits and quotes");
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// The version of a connector as an entity tag (RFC 9110 section 8.8.3).
pub(crate) fn etag(connector: &Connector) -> String {
    format!("\"{}\"", connector.version)
}
