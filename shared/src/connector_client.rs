//! A connector made ready to talk to its provider: endpoints filled in, client secret opened.

use std::collections::BTreeMap;

use crate::catalogue::{self, Account, ConfigError};
use crate::crypto::envelope::OpenError;
use crate::crypto::vault::WorkspaceKeys;
use crate::domain::address::AddressRules;
use crate::domain::connector::Connector;
use crate::domain::provider::Provider;
use crate::ports::ClientCredentials;

/// What every request to a connector's provider needs.
#[derive(Clone, Debug)]
pub struct ConnectorClient {
    /// The provider with its endpoints.
    pub provider: Provider,
    /// The connector's client there.
    pub credentials: ClientCredentials,
}

/// Why a connector cannot talk to its provider. Not the fault of anybody who calls.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It has no client secret yet.
    #[error("the connector has no client secret")]
    NoSecret,
    /// Its client secret does not open.
    #[error("the client secret does not open")]
    Secret(#[from] OpenError),
    /// Its configuration does not fit its provider any more.
    #[error("the configuration does not fit the provider")]
    Config(#[from] ConfigError),
}

impl ConnectorClient {
    /// Makes `connector` ready for an account whose user has told `told`, among other things.
    ///
    /// # Errors
    /// [`Unusable`], which an admin has to look at.
    pub fn open(
        connector: &Connector,
        keys: &WorkspaceKeys,
        told: &BTreeMap<String, String>,
        rules: AddressRules,
    ) -> Result<Self, Unusable> {
        let provider = catalogue::of_connector(connector, Account::Told(told), rules)?;
        let secret = connector.client_secret.as_ref();
        let secret = secret.ok_or(Unusable::NoSecret)?;
        let credentials = ClientCredentials {
            client_id: connector.client_id.clone(),
            client_secret: keys.open_client_secret(connector, secret)?,
            previous_secret: match &connector.previous_secret {
                Some(previous) => Some(keys.open_client_secret(connector, previous)?),
                None => None,
            },
        };
        Ok(Self {
            provider,
            credentials,
        })
    }
}
