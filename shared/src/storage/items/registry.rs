//! Apps, API keys and connectors.

use aws_sdk_dynamodb::types::AttributeValue;
use url::Url;

use super::super::schema::{self, Key, attr, status};
use super::{Reader, Row, Writer, value};
use crate::domain::app::{AccountChange, ApiKey, App, AppStatus, Completion, KeyScope};
use crate::domain::connector::{
    Accounts, ClientSecret, Connector, ConnectorKind, ConnectorStatus, Revoked, ScopePolicy,
};
use crate::domain::ids::AppId;
use crate::ports::StoreError;

pub(in super::super) fn write_app(app: &App) -> Row {
    let deleting = match app.status {
        AppStatus::Active => None,
        AppStatus::Deleting { since } => Some(since),
    };
    Writer::new(schema::app(&app.workspace, &app.id))
        .with(attr::WORKSPACE, value::text(app.workspace.as_str()))
        .with(attr::APP, value::text(app.id.as_str()))
        .with(attr::NAME, value::text(&app.name))
        .with(
            attr::RETURN_URLS,
            value::list(app.return_urls.iter().map(Url::as_str)),
        )
        .with(
            attr::COMPLETION_MODE,
            value::text(completion(app.completion)),
        )
        .with(
            attr::ACCOUNT_CHANGE,
            value::text(account_change(app.account_change)),
        )
        .with_some(
            attr::STATUS,
            deleting.map(|_| value::text(status::DELETING)),
        )
        .with_some(attr::SINCE, deleting.map(value::time))
        .with(attr::CREATED_AT, value::time(app.created_at))
        .with(attr::UPDATED_AT, value::time(app.updated_at))
        .done()
}

pub(in super::super) fn read_app(row: &Row) -> Result<App, StoreError> {
    let item = Reader::new(row, "app");
    let urls = item.list(attr::RETURN_URLS)?;
    let urls = urls.iter().map(|url| Url::parse(url));
    Ok(App {
        workspace: item.id(attr::WORKSPACE)?,
        id: item.id(attr::APP)?,
        name: item.text(attr::NAME)?.to_owned(),
        return_urls: urls.collect::<Result<_, _>>().map_err(|_| item.corrupt())?,
        completion: item.word_or_default(attr::COMPLETION_MODE)?,
        account_change: item.word_or_default(attr::ACCOUNT_CHANGE)?,
        status: match item.maybe_text(attr::STATUS)? {
            None => AppStatus::Active,
            Some(status::DELETING) => AppStatus::Deleting {
                since: item.time(attr::SINCE)?,
            },
            Some(_) => return Err(item.corrupt()),
        },
        created_at: item.time(attr::CREATED_AT)?,
        updated_at: item.time(attr::UPDATED_AT)?,
    })
}

/// The key's record under `at`: the listing and the look-up record differ in nothing else.
pub(in super::super) fn write_api_key(at: Key, key: &ApiKey) -> Row {
    Writer::new(at)
        .with(attr::WORKSPACE, value::text(key.workspace.as_str()))
        .with(attr::APP, value::text(key.app.as_str()))
        .with(attr::ID, value::text(key.id.as_str()))
        .with(attr::NAME, value::text(&key.name))
        .with(attr::HASH, value::bytes(&key.hash))
        .with(
            attr::SCOPES,
            value::list(key.scopes.iter().map(|scope| scope.as_str())),
        )
        .with(
            attr::ON_BEHALF_OF_ONLY,
            AttributeValue::Bool(key.on_behalf_of_only),
        )
        .with(attr::CREATED_AT, value::time(key.created_at))
        .done()
}

pub(in super::super) fn read_api_key(row: &Row) -> Result<ApiKey, StoreError> {
    let item = Reader::new(row, "API key");
    // A key from before there were scopes may do everything; a scope that this version does not
    // know allows nothing that it does.
    let scopes = item.maybe_list(attr::SCOPES)?.map(|scopes| {
        let scopes = scopes.iter();
        scopes.filter_map(|text| KeyScope::parse(text)).collect()
    });
    Ok(ApiKey {
        workspace: item.id(attr::WORKSPACE)?,
        app: item.id(attr::APP)?,
        id: item.id(attr::ID)?,
        name: item.text(attr::NAME)?.to_owned(),
        hash: item.hash(attr::HASH)?,
        on_behalf_of_only: item.maybe_flag(attr::ON_BEHALF_OF_ONLY)?,
        scopes: scopes.unwrap_or_else(KeyScope::all),
        created_at: item.time(attr::CREATED_AT)?,
    })
}

pub(in super::super) fn write_connector(connector: &Connector) -> Row {
    let (status, since) = match connector.status {
        ConnectorStatus::Enabled => (status::ENABLED, None),
        ConnectorStatus::Disabled { since } => (status::DISABLED, Some(since)),
        ConnectorStatus::Deleting { since } => (status::DELETING, Some(since)),
    };
    let config = connector.config.iter();
    let config = config.map(|(name, text)| (name.clone(), value::text(text)));
    let apps = connector.allowed_apps.as_ref();
    let item = Writer::new(schema::connector(&connector.workspace, &connector.id));
    let item = write_client_secret(item, CURRENT, connector.client_secret.as_ref());
    write_client_secret(item, PREVIOUS, connector.previous_secret.as_ref())
        .with(attr::WORKSPACE, value::text(connector.workspace.as_str()))
        .with(attr::CONNECTOR, value::text(connector.id.as_str()))
        .with(attr::NAME, value::text(&connector.name))
        .with(attr::PROVIDER, value::text(connector.provider.as_str()))
        .with(attr::KIND, value::text(kind(connector.kind)))
        .with(attr::ACCOUNTS, value::text(accounts(connector.accounts)))
        .with(attr::CLIENT_ID, value::text(&connector.client_id))
        .with(attr::SCOPES, value::scopes(&connector.scopes))
        .with(
            attr::SCOPE_POLICY,
            value::text(scope_policy(connector.scope_policy)),
        )
        .with(attr::CONFIG, AttributeValue::M(config.collect()))
        .with_some(attr::TEMPLATE, connector.template.as_ref().map(value::text))
        .with_some(
            attr::ALLOWED_APPS,
            apps.map(|apps| value::list(apps.iter().map(AppId::as_str))),
        )
        .with(attr::STATUS, value::text(status))
        .with_some(attr::SINCE, since.map(value::time))
        .with(attr::GENERATION, value::number(connector.generation))
        .with(
            attr::CLIENT_GENERATION,
            value::number(connector.client_generation),
        )
        .with_some(
            attr::REVOKED_AT,
            connector.revoked.map(|last| value::time(last.at)),
        )
        .with_some(
            attr::REVOKED_BEFORE,
            connector.revoked.map(|last| value::number(last.before)),
        )
        .with(attr::VERSION, value::number(connector.version))
        .with(attr::CREATED_AT, value::time(connector.created_at))
        .with(attr::UPDATED_AT, value::time(connector.updated_at))
        .done()
}

pub(in super::super) fn read_connector(row: &Row) -> Result<Connector, StoreError> {
    let item = Reader::new(row, "connector");
    let apps = item.maybe_list(attr::ALLOWED_APPS)?.map(|apps| {
        let apps = apps.into_iter().map(AppId::parse);
        apps.collect::<Result<Vec<_>, _>>()
            .map_err(|_| item.corrupt())
    });
    let generation = item.number(attr::GENERATION)?;
    let revoked = match item.maybe_time(attr::REVOKED_AT)? {
        None => None,
        Some(at) => Some(Revoked {
            at,
            before: item.number(attr::REVOKED_BEFORE)?,
        }),
    };
    Ok(Connector {
        workspace: item.id(attr::WORKSPACE)?,
        id: item.id(attr::CONNECTOR)?,
        name: item.text(attr::NAME)?.to_owned(),
        provider: item.id(attr::PROVIDER)?,
        kind: item.word(attr::KIND)?,
        accounts: item.word_or_default(attr::ACCOUNTS)?,
        client_id: item.text(attr::CLIENT_ID)?.to_owned(),
        client_secret: read_client_secret(&item, CURRENT)?,
        previous_secret: read_client_secret(&item, PREVIOUS)?,
        scopes: item.scopes(attr::SCOPES)?,
        scope_policy: item.word(attr::SCOPE_POLICY)?,
        config: item.map(attr::CONFIG)?,
        template: item.maybe_text(attr::TEMPLATE)?.map(str::to_owned),
        allowed_apps: apps.transpose()?,
        status: match item.text(attr::STATUS)? {
            status::ENABLED => ConnectorStatus::Enabled,
            status::DISABLED => ConnectorStatus::Disabled {
                since: item.time(attr::SINCE)?,
            },
            status::DELETING => ConnectorStatus::Deleting {
                since: item.time(attr::SINCE)?,
            },
            _ => return Err(item.corrupt()),
        },
        generation,
        // Until connections could be revoked, each generation was another client's.
        client_generation: item
            .maybe_number(attr::CLIENT_GENERATION)?
            .unwrap_or(generation),
        revoked,
        version: item.number(attr::VERSION)?,
        created_at: item.time(attr::CREATED_AT)?,
        updated_at: item.time(attr::UPDATED_AT)?,
    })
}

/// Where a client secret stands on its connector: envelope, time and tail.
type SecretAttributes = [&'static str; 3];
const CURRENT: SecretAttributes = [attr::SECRET, attr::SECRET_SET_AT, attr::SECRET_LAST_FOUR];
const PREVIOUS: SecretAttributes = [
    attr::PREVIOUS_SECRET,
    attr::PREVIOUS_SECRET_SET_AT,
    attr::PREVIOUS_SECRET_LAST_FOUR,
];

fn write_client_secret(
    item: Writer,
    [sealed, set_at, last_four]: SecretAttributes,
    secret: Option<&ClientSecret>,
) -> Writer {
    let Some(secret) = secret else {
        return item;
    };
    item.with(sealed, value::bytes(&secret.sealed))
        .with(set_at, value::time(secret.set_at))
        .with_some(last_four, secret.last_four.as_ref().map(value::text))
}

fn read_client_secret(
    item: &Reader<'_>,
    [sealed, set_at, last_four]: SecretAttributes,
) -> Result<Option<ClientSecret>, StoreError> {
    let Some(sealed) = item.maybe_bytes(sealed)? else {
        return Ok(None);
    };
    Ok(Some(ClientSecret {
        sealed,
        set_at: item.time(set_at)?,
        last_four: item.maybe_text(last_four)?.map(str::to_owned),
    }))
}

/// Whose an id of a connector is, for good.
pub(in super::super) fn write_reservation(connector: &Connector) -> Row {
    Writer::new(schema::reservation(&connector.id))
        .with(attr::WORKSPACE, value::text(connector.workspace.as_str()))
        .done()
}

pub(super) fn completion(completion: Completion) -> &'static str {
    match completion {
        Completion::App => "app",
        Completion::Screen => "screen",
    }
}

pub(super) fn account_change(change: AccountChange) -> &'static str {
    match change {
        AccountChange::Refuse => "refuse",
        AccountChange::Allow => "allow",
    }
}

fn kind(kind: ConnectorKind) -> &'static str {
    match kind {
        ConnectorKind::User => "user",
        ConnectorKind::App => "app",
    }
}

fn accounts(accounts: Accounts) -> &'static str {
    match accounts {
        Accounts::One => "one",
        Accounts::Several => "several",
    }
}

fn scope_policy(policy: ScopePolicy) -> &'static str {
    match policy {
        ScopePolicy::Widening => "widening",
        ScopePolicy::Strict => "strict",
    }
}
