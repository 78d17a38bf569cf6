//! Values that admins write, and the limits on them. Limits are in characters.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use shared::catalogue::{self, Account};
use shared::domain::connector::{Accounts, Connector, ConnectorKind};
use shared::domain::ids::{AppId, ProviderId};
use shared::domain::provider::{ClientAuth, Provider};
use shared::domain::scopes::ScopeList;
use shared::domain::secret::Secret;
use shared::http::problem::Problem;
use shared::oauth::is_signing_key;
use url::Url;

use crate::State;

const MAX_NAME: usize = 100;
const MAX_CLIENT_ID: usize = 512;
const MAX_CLIENT_SECRET: usize = 2048;
/// In bytes; RSA keys of 4096 bits take 3,300.
const MAX_KEY: usize = 8192;
const MAX_ALLOWED_APPS: usize = 100;

/// Scopes as a list, or as text with one scope a line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ScopesInput {
    List(Vec<String>),
    Text(String),
}

impl ScopesInput {
    pub(crate) fn checked(&self) -> Result<ScopeList, Problem> {
        let scopes = match self {
            Self::List(entries) => ScopeList::parse(entries.iter().map(String::as_str)),
            Self::Text(text) => ScopeList::parse(text.lines()),
        };
        scopes.map_err(|error| Problem::field("scopes", error.to_string()))
    }
}

/// A member that may be left out and, where it is sent, is not null: that would read like a change
/// and be none.
pub(crate) fn sent<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A name people see: trimmed, not empty, without control characters.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    let name = text.trim();
    if !(1..=MAX_NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        let rule = format!("must be 1 to {MAX_NAME} characters without control characters");
        return Err(Problem::field("name", rule));
    }
    Ok(name.to_owned())
}

/// An OAuth client identifier (RFC 6749 appendix A.1: printable ASCII).
pub(crate) fn client_id(text: &str) -> Result<String, Problem> {
    let id = text.trim();
    if !is_printable(id, MAX_CLIENT_ID) {
        let rule = format!("must be 1 to {MAX_CLIENT_ID} printable ASCII characters");
        return Err(Problem::field("client_id", rule));
    }
    Ok(id.to_owned())
}

/// An OAuth client secret (RFC 6749 appendix A.2), or the key that the client signs with. Blanks
/// around it are a slip of the paste.
pub(crate) fn client_secret(secret: &Secret, provider: &Provider) -> Result<Secret, Problem> {
    let text = secret.expose().trim();
    if provider.token.auth == ClientAuth::PrivateKeyJwt {
        let key = Secret::new(text);
        if text.len() > MAX_KEY || !is_signing_key(&key) {
            let rule = "must be a private key, RSA or P-256, in PEM";
            return Err(Problem::field("client_secret", rule));
        }
        return Ok(key);
    }
    if !is_printable(text, MAX_CLIENT_SECRET) {
        let rule = format!("must be 1 to {MAX_CLIENT_SECRET} printable ASCII characters");
        return Err(Problem::field("client_secret", rule));
    }
    Ok(Secret::new(text))
}

fn is_printable(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// How many accounts a user may connect. An account for a whole app is one.
pub(crate) fn accounts(accounts: Accounts, kind: ConnectorKind) -> Result<Accounts, Problem> {
    match (accounts, kind) {
        (Accounts::Several, ConnectorKind::App) => {
            let rule = "must be one where the kind is app";
            Err(Problem::field("accounts", rule))
        }
        (accounts, _) => Ok(accounts),
    }
}

/// The apps that may use a connector, each once.
pub(crate) fn allowed_apps(apps: Vec<AppId>) -> Result<Vec<AppId>, Problem> {
    if apps.len() > MAX_ALLOWED_APPS {
        let rule = format!("must name at most {MAX_ALLOWED_APPS} apps");
        return Err(Problem::field("allowed_apps", rule));
    }
    let mut seen = BTreeSet::new();
    Ok(apps
        .into_iter()
        .filter(|app| seen.insert(app.clone()))
        .collect())
}

/// The description of a `custom` provider, as it is to be stored.
pub(crate) fn template(
    description: &Value,
    provider: &ProviderId,
    state: &State,
) -> Result<String, Problem> {
    if !catalogue::is_custom(provider) {
        return Err(Problem::field(
            "template",
            "goes with the provider custom only",
        ));
    }
    catalogue::described(description, state.address_rules).map_err(|fault| {
        let member = if fault.member.is_empty() {
            "template".to_owned()
        } else {
            format!("template.{}", fault.member)
        };
        Problem::field(member, fault.reason)
    })
}

/// The provider with its placeholders filled, at hosts that the installation allows (H-39).
pub(crate) fn provider(connector: &Connector, state: &State) -> Result<Provider, Problem> {
    let provider = catalogue::of_connector(connector, Account::Example, state.address_rules);
    let provider = provider.map_err(|error| match error.field() {
        Some(field) => Problem::field(format!("config.{field}"), error.to_string()),
        None => Problem::field("provider", error.to_string()),
    })?;
    for endpoint in provider.endpoints().into_iter().flatten() {
        let url = Url::parse(endpoint).ok();
        if !url.is_some_and(|url| state.provider_hosts.allow(&url)) {
            let field = match (&connector.template, connector.config.is_empty()) {
                (Some(_), _) => "template",
                (None, true) => "provider",
                (None, false) => "config",
            };
            let rule = format!("uses {endpoint}, and this installation does not allow its host");
            return Err(Problem::field(field, rule));
        }
    }
    Ok(provider)
}
