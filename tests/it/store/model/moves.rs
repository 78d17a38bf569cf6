//! The moves, and what can be seen of a store after each.

use shared::domain::audit::AuditFilter;
use shared::domain::connection::{
    Connection, LEASE, Lease, Readers, ReconnectReason, RevocationOutcome,
};
use shared::domain::connector::Connector;
use shared::domain::ending::Ending;
use shared::domain::ids::UserId;
use shared::domain::refresh_protocol::FailedAttempt;
use shared::domain::session::{Redirected, Returned, Stage};
use shared::domain::time::Timestamp;
use shared::ports::{ConnectWrite, DueWork, LeaseAnswer, RefreshedTokens, Revocation, StoreError};

use super::super::AnyStore;
use super::super::fixtures::{
    app_id, at, attempt, connector_id, entry, event, key, session, session_id, workspace,
};
use super::{SHARDS, USERS};

#[derive(Debug)]
pub(super) enum Move {
    AddConnector(Connector),
    Edit(Connector, u64),
    BeginDeletion(Connector, u64, Timestamp),
    FinishDeletion,
    AddSession(String, Stage),
    Redirect(String, u8, u8),
    Arrive(String, u8, u8, Timestamp),
    BeginExchange(String, u8),
    End(String),
    Connect(Box<ConnectWrite>),
    Acquire(String, String, Timestamp),
    Release(Lease),
    Store(Lease, RefreshedTokens, Timestamp),
    Rescue(Lease, RefreshedTokens, Timestamp),
    Fail(Lease, FailedAttempt),
    Dead(Lease, Timestamp),
    Disconnect(Connection, Option<Revocation>, Timestamp),
    Settle(Connection, RevocationOutcome, Timestamp),
    RecordRead(String, Timestamp),
    Reschedule(Connection, Timestamp),
    Postpone(usize, Timestamp),
    RemoveRevocation(usize),
    PublishAll(Timestamp),
}

/// Makes a move; what the store answered. Leases that were granted go to `leases`.
pub(super) async fn play(store: &dyn AnyStore, next: &Move, leases: &mut Vec<Lease>) -> String {
    let told = |name: &str, time: Timestamp| event(&format!("{name}-{}", time.millis()), time);
    match next {
        Move::AddConnector(new) => show(store.add_connector(new, &told("add", at(0))).await),
        Move::Edit(new, version) => show(
            store
                .replace_connector(new, *version, &told("edit", at(1)))
                .await,
        ),
        Move::BeginDeletion(new, version, due_at) => show(
            store
                .begin_connector_deletion(new, *version, *due_at, &entry())
                .await,
        ),
        Move::FinishDeletion => {
            let Some((work, ..)) = deletions(store).await.into_iter().next() else {
                return "nothing to finish".into();
            };
            let (of, id) = (workspace(), connector_id("c1"));
            let told = told("finish", work.due_at);
            show(
                store
                    .finish_connector_deletion(&of, &id, &work, &told)
                    .await,
            )
        }
        Move::AddSession(id, stage) => show(store.add(&session(id, stage.clone())).await),
        Move::Redirect(id, ticket, to) => {
            let to = redirected(*to);
            show(
                store
                    .redirect(&session_id(id), &[*ticket; 32], &[9; 32], &to)
                    .await,
            )
        }
        Move::Arrive(id, state, to, until) => {
            let (id, to) = (session_id(id), returned(*to));
            show(store.arrive(&id, &[*state; 32], &to, *until).await)
        }
        Move::BeginExchange(id, seed) => {
            show(store.begin_exchange(&session_id(id), &[*seed; 32]).await)
        }
        Move::End(id) => show(store.end(&session_id(id), Ending::Denied).await),
        Move::Connect(write) => {
            if store.session(&write.session).await.unwrap().is_none() {
                let completion = [1; 32];
                let exchanging = Stage::Exchanging { completion };
                let added = session(write.session.as_str(), exchanging);
                store.add(&added).await.unwrap();
            }
            show(store.connect(write).await)
        }
        Move::Acquire(user, name, now) => {
            let (key, name) = (key(user), attempt(name));
            let answer = store
                .acquire_lease(&key, &name, *now, now.after(LEASE))
                .await;
            if let Ok(LeaseAnswer::Granted(lease)) = &answer {
                leases.push((**lease).clone());
            }
            show(answer)
        }
        Move::Release(lease) => show(store.release_lease(lease).await),
        Move::Store(lease, tokens, now) => show(store.store_tokens(lease, tokens, *now).await),
        Move::Rescue(lease, tokens, now) => show(store.store_escrowed(lease, tokens, *now).await),
        Move::Fail(lease, failure) => show(store.record_failure(lease, failure).await),
        Move::Dead(lease, now) => {
            let (reason, told) = (ReconnectReason::GrantRevoked, told("dead", *now));
            show(store.require_reconnect(lease, reason, *now, &told).await)
        }
        Move::Disconnect(read, work, now) => {
            let told = told("gone", *now);
            show(store.disconnect(read, work.as_ref(), &told).await)
        }
        Move::Settle(read, outcome, now) => {
            let settled = store.settle_revocation(&read.key, &read.id, *outcome, *now);
            show(settled.await)
        }
        Move::RecordRead(user, now) => {
            show(store.record_read(&key(user), &Readers::new(), *now).await)
        }
        Move::Reschedule(read, now) => {
            store.add_refresh(&read.key, &read.id, *now).await.unwrap();
            let due_at = read.due_at.unwrap_or(*now);
            show(store.remove_refresh(&read.id, due_at).await)
        }
        Move::Postpone(nth, now) => match revocations(store).await.get(*nth) {
            Some((work, what)) => show(store.postpone_revocation(work, what, *now).await),
            None => "nothing to postpone".into(),
        },
        Move::RemoveRevocation(nth) => match revocations(store).await.get(*nth) {
            Some((work, _)) => show(store.remove_revocation(work).await),
            None => "nothing to remove".into(),
        },
        Move::PublishAll(now) => {
            for shard in 0..SHARDS {
                for (_, event) in store.unsent_events(shard, *now, 999).await.unwrap() {
                    store.remove_event(&event).await.unwrap();
                }
            }
            "published".into()
        }
    }
}

fn show<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    format!("{:?}", answer.unwrap())
}

async fn deletions(store: &dyn AnyStore) -> Vec<(DueWork, String)> {
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        for (work, of, id) in store.due_deletions(shard, at(1_000_000), 99).await.unwrap() {
            found.push((work, format!("{of} {id:?}")));
        }
    }
    found.sort_by(|a, b| (a.0.due_at, &a.1).cmp(&(b.0.due_at, &b.1)));
    found
}

async fn revocations(store: &dyn AnyStore) -> Vec<(DueWork, Revocation)> {
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        found.extend(
            store
                .due_revocations(shard, at(1_000_000), 99)
                .await
                .unwrap(),
        );
    }
    found.sort_by_key(|(work, what)| (work.due_at, what.key.clone(), what.sealed.clone()));
    found
}

/// Everything the store shows. In which shard work is kept is the store's own affair.
pub(super) async fn contents(store: &dyn AnyStore) -> Vec<String> {
    let end = at(1_000_000);
    let (of, id) = (workspace(), connector_id("c1"));
    let mut seen = vec![show(store.connectors(&of, None, 9).await)];
    seen.push(show(store.of_connector(&of, &id, None, 2).await));
    for user in USERS {
        let user = UserId::parse(user).unwrap();
        seen.push(show(store.of_user(&of, &app_id(), &user).await));
    }
    for n in 0..4 {
        seen.push(show(store.session(&session_id(&format!("s{n}"))).await));
    }
    let mut work = Vec::new();
    for shard in 0..SHARDS {
        let due = store.due_refreshes(shard, end, None, 99).await.unwrap();
        for (due, key) in due.items {
            work.push(format!("{} refresh {key:?}", due.due_at));
        }
        for (_, event) in store.unsent_events(shard, end, 999).await.unwrap() {
            work.push(format!("{event:?}"));
        }
    }
    for (due, what) in revocations(store).await {
        work.push(format!("{} revoke {what:?}", due.due_at));
    }
    for (due, what) in deletions(store).await {
        work.push(format!("{} delete {what}", due.due_at));
    }
    work.sort();
    seen.extend(work);
    let every = AuditFilter::default();
    seen.push(show(store.entries(&of, &every, None, 999).await));
    seen
}

pub(super) fn redirected(seed: u8) -> Redirected {
    Redirected {
        state: [seed; 32],
        verifier: (seed > 0).then(|| vec![seed]),
        nonce: None,
    }
}

pub(super) fn returned(seed: u8) -> Returned {
    Returned {
        completion: [seed; 32],
        code: vec![seed],
        verifier: None,
        nonce: None,
        kept: Default::default(),
    }
}
