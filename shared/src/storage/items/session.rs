//! Authorization sessions.

use aws_sdk_dynamodb::types::AttributeValue;
use url::Url;

use super::super::schema::{self, TTL, attr, stage};
use super::registry::{account_change, completion};
use super::{Reader, Row, Writer, value};
use crate::domain::session::{
    AuthorizationSession, Callback, Display, Redirected, Returned, Stage, Starter,
};
use crate::ports::StoreError;

pub(in super::super) fn write_session(session: &AuthorizationSession) -> Row {
    let item = Writer::new(schema::session(&session.id))
        .with(attr::ID, value::text(session.id.as_str()))
        .with(attr::WORKSPACE, value::text(session.workspace.as_str()))
        .with(attr::APP, value::text(session.app.as_str()))
        .with(
            starter_attr(&session.starter),
            value::text(session.starter.id().as_str()),
        )
        .with(attr::CONNECTOR, value::text(session.connector.as_str()))
        .with_some(
            attr::ALIAS,
            session
                .alias
                .as_ref()
                .map(|alias| value::text(alias.as_str())),
        )
        .with(
            attr::CONNECTOR_GENERATION,
            value::number(session.connector_generation),
        )
        .with_some(attr::ISSUER, session.issuer.as_ref().map(value::text))
        .with(
            attr::ISS_PROMISED,
            AttributeValue::Bool(session.iss_promised),
        )
        .with(attr::RETURN_URL, value::text(session.return_url.as_str()))
        .with(
            attr::RESPONSE_MODE,
            value::text(session.response_mode.as_str()),
        )
        .with_some(attr::CALLBACK, write_callback(&session.callback))
        .with_some(attr::CONFIG, value::texts(&session.config))
        .with(attr::DISPLAY, value::text(display(session.display)))
        .with_some(
            attr::USER_LABEL,
            session.starter_label.as_ref().map(value::text),
        )
        .with(
            attr::COMPLETION_MODE,
            value::text(completion(session.completion)),
        )
        .with(
            attr::ACCOUNT_CHANGE,
            value::text(account_change(session.account_change)),
        )
        .with_some(
            attr::COOKIE,
            session.cookie.as_ref().map(|hash| value::bytes(hash)),
        )
        .with_some(
            attr::LOGIN_HINT,
            session.login_hint.as_ref().map(value::text),
        )
        .with(attr::CREATED_AT, value::time(session.created_at))
        .with(attr::EXPIRES_AT, value::time(session.expires_at))
        .with(TTL, value::ttl(session.expires_at));
    write_stage(item, &session.stage).done()
}

/// An attribute each, so that nobody who reads one kind for the other finds a name there.
fn starter_attr(starter: &Starter) -> &'static str {
    match starter {
        Starter::User(_) => attr::USER,
        Starter::Admin(_) => attr::ADMIN,
    }
}

fn read_starter(item: &Reader<'_>) -> Result<Starter, StoreError> {
    match item.maybe_id(attr::ADMIN)? {
        Some(admin) => Ok(Starter::Admin(admin)),
        None => item.id(attr::USER).map(Starter::User),
    }
}

fn write_stage(item: Writer, at: &Stage) -> Writer {
    let item = item.with(attr::STAGE, value::text(stage_name(at)));
    match at {
        Stage::Started { ticket } => item.with(attr::TICKET, value::bytes(ticket)),
        Stage::Redirected(at) => item
            .with(attr::STATE, value::bytes(&at.state))
            .with_some(
                attr::VERIFIER,
                at.verifier.as_ref().map(|sealed| value::bytes(sealed)),
            )
            .with_some(
                attr::NONCE,
                at.nonce.as_ref().map(|hash| value::bytes(hash)),
            ),
        Stage::Returned(at) => item
            .with(attr::COMPLETION, value::bytes(&at.completion))
            .with(attr::CODE, value::bytes(&at.code))
            .with_some(attr::KEPT, value::texts(&at.kept))
            .with_some(
                attr::VERIFIER,
                at.verifier.as_ref().map(|sealed| value::bytes(sealed)),
            )
            .with_some(
                attr::NONCE,
                at.nonce.as_ref().map(|hash| value::bytes(hash)),
            ),
        Stage::Exchanging { completion } => item.with(attr::COMPLETION, value::bytes(completion)),
        Stage::Completed {
            completion,
            connection,
        } => item
            .with(attr::COMPLETION, value::bytes(completion))
            .with(attr::CONNECTION, value::text(connection.as_str())),
        Stage::Ended(ending) => item.with(attr::ENDING, value::text(ending.code())),
    }
}

/// The callback as RFC 6749 has it is not written.
fn write_callback(callback: &Callback) -> Option<AttributeValue> {
    (*callback != Callback::default())
        .then(|| value::text(serde_json::to_string(callback).expect("it is texts and flags")))
}

fn read_callback(item: &Reader<'_>) -> Result<Callback, StoreError> {
    match item.maybe_text(attr::CALLBACK)? {
        None => Ok(Callback::default()),
        Some(text) => serde_json::from_str(text).map_err(|_| item.corrupt()),
    }
}

fn display(display: Display) -> &'static str {
    match display {
        Display::Redirect => "redirect",
        Display::Popup => "popup",
    }
}

fn stage_name(at: &Stage) -> &'static str {
    match at {
        Stage::Started { .. } => stage::STARTED,
        Stage::Redirected(_) => stage::REDIRECTED,
        Stage::Returned(_) => stage::RETURNED,
        Stage::Exchanging { .. } => stage::EXCHANGING,
        Stage::Completed { .. } => stage::COMPLETED,
        Stage::Ended(_) => stage::ENDED,
    }
}

pub(in super::super) fn read_session(row: &Row) -> Result<AuthorizationSession, StoreError> {
    let item = Reader::new(row, "authorization session");
    Ok(AuthorizationSession {
        id: item.id(attr::ID)?,
        workspace: item.id(attr::WORKSPACE)?,
        app: item.id(attr::APP)?,
        starter: read_starter(&item)?,
        connector: item.id(attr::CONNECTOR)?,
        alias: item.maybe_id(attr::ALIAS)?,
        connector_generation: item.number(attr::CONNECTOR_GENERATION)?,
        issuer: item.maybe_text(attr::ISSUER)?.map(str::to_owned),
        iss_promised: item.flag(attr::ISS_PROMISED)?,
        return_url: Url::parse(item.text(attr::RETURN_URL)?).map_err(|_| item.corrupt())?,
        response_mode: item.word_or_default(attr::RESPONSE_MODE)?,
        callback: read_callback(&item)?,
        config: item.map_or_empty(attr::CONFIG)?,
        display: item.word_or_default(attr::DISPLAY)?,
        starter_label: item.maybe_text(attr::USER_LABEL)?.map(str::to_owned),
        completion: item.word_or_default(attr::COMPLETION_MODE)?,
        account_change: item.word_or_default(attr::ACCOUNT_CHANGE)?,
        cookie: item.maybe_hash(attr::COOKIE)?,
        login_hint: item.maybe_text(attr::LOGIN_HINT)?.map(str::to_owned),
        created_at: item.time(attr::CREATED_AT)?,
        expires_at: item.time(attr::EXPIRES_AT)?,
        stage: read_stage(&item)?,
    })
}

fn read_stage(item: &Reader<'_>) -> Result<Stage, StoreError> {
    Ok(match item.text(attr::STAGE)? {
        stage::STARTED => Stage::Started {
            ticket: item.hash(attr::TICKET)?,
        },
        stage::REDIRECTED => Stage::Redirected(Redirected {
            state: item.hash(attr::STATE)?,
            verifier: item.maybe_bytes(attr::VERIFIER)?,
            nonce: item.maybe_hash(attr::NONCE)?,
        }),
        stage::RETURNED => Stage::Returned(Returned {
            completion: item.hash(attr::COMPLETION)?,
            code: item.bytes(attr::CODE)?,
            kept: item.map_or_empty(attr::KEPT)?,
            verifier: item.maybe_bytes(attr::VERIFIER)?,
            nonce: item.maybe_hash(attr::NONCE)?,
        }),
        stage::EXCHANGING => Stage::Exchanging {
            completion: item.hash(attr::COMPLETION)?,
        },
        stage::COMPLETED => Stage::Completed {
            completion: item.hash(attr::COMPLETION)?,
            connection: item.id(attr::CONNECTION)?,
        },
        stage::ENDED => Stage::Ended(item.word(attr::ENDING)?),
        _ => return Err(item.corrupt()),
    })
}
