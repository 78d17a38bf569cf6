//! A `custom` connector of which only the issuer was given: the rest is what the issuer says.

use std::collections::BTreeMap;

use shared::catalogue::{self, MetadataFault};
use shared::domain::connector::Connector;
use shared::domain::provider::Provider;
use shared::http::problem::{Code, Problem};
use shared::ports::DocumentError;
use url::Url;

use crate::State;
use crate::input;

/// Why an issuer's metadata is of no use.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Unread(#[from] DocumentError),
    #[error(transparent)]
    Unusable(#[from] MetadataFault),
}

/// The provider of a connector that is to be stored: checked, and with the endpoints of its issuer
/// in its `config` where that leaves them to the issuer (H-36).
pub(crate) async fn complete(
    state: &State,
    connector: &mut Connector,
) -> Result<Provider, Problem> {
    let (provider, config) = (&connector.provider, &connector.config);
    let issuer = catalogue::issuer_to_ask(provider, config);
    let Some(issuer) = issuer.filter(|_| connector.template.is_none()) else {
        return input::provider(connector, state);
    };
    let url = issuer_url(state, issuer)?;
    let found = discover(state, &url, issuer, config).await;
    let found = found.map_err(|fault| {
        tracing::warn!(issuer, error = %fault, "discovery_failed");
        failed(issuer, &fault)
    })?;
    catalogue::resolve(provider, &found, state.address_rules).map_err(|error| {
        let field = error.field().unwrap_or("issuer");
        if config.contains_key(field) {
            Problem::field(format!("config.{field}"), error.to_string())
        } else {
            failed(issuer, &error)
        }
    })?;
    connector.config = found;
    input::provider(connector, state)
}

/// The issuer as a URL that may be called (RFC 8414 section 2: neither query nor fragment).
fn issuer_url(state: &State, issuer: &str) -> Result<Url, Problem> {
    let invalid = |rule: String| Problem::field("config.issuer", rule);
    let url = Url::parse(issuer).map_err(|_| invalid("must be a URL".to_owned()))?;
    let rules = state.address_rules;
    rules
        .check(&url)
        .map_err(|refused| invalid(refused.to_string()))?;
    if !state.provider_hosts.allow(&url) {
        return Err(invalid(
            "this installation does not allow its host".to_owned(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("must contain neither ? nor #".to_owned()));
    }
    Ok(url)
}

/// Asks at both places. What is told of, if neither helps, is the document that is there.
async fn discover(
    state: &State,
    url: &Url,
    issuer: &str,
    config: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Fault> {
    let [first, second] = catalogue::metadata_urls(url);
    let first = match read(state, &first, issuer, config).await {
        Err(fault) => fault,
        found => return found,
    };
    match (read(state, &second, issuer, config).await, first) {
        (Err(Fault::Unread(_)), first) => Err(first),
        (found, _) => found,
    }
}

async fn read(
    state: &State,
    url: &Url,
    issuer: &str,
    config: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Fault> {
    let document = state.documents.read(url).await?;
    Ok(catalogue::discovered(issuer, &document, config)?)
}

fn failed(issuer: &str, fault: &dyn std::fmt::Display) -> Problem {
    Problem::new(
        Code::DiscoveryFailed,
        format!(
            "the metadata of {issuer} cannot be used: {fault}; check the issuer, or give the endpoints themselves"
        ),
    )
}
