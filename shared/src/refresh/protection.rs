//! Protection of a provider from us and of connections from their provider: whether a connector
//! may be used now, and what its requests show. The decisions are in `domain/health.rs`; here is
//! what is read and written for them.
//!
//! The invariant: protection must not become the outage. Where the table of health does not
//! answer, everybody may ask.

use std::time::Duration;

use super::RefreshEngine;
use crate::crypto::hash::random_id;
use crate::domain::connector::Connector;
use crate::domain::event::Change;
use crate::domain::health::{
    Admission, Breaker, Cause, Health, Observation, Seen, Tally, Verdict, minute_of,
};
use crate::domain::ids::BreakerId;
use crate::domain::time::Timestamp;
use crate::events::connector_event;

/// How old it is at most what is known of which of two client secrets works.
const SECRET_NOTED_EVERY: Duration = Duration::from_secs(3600);

/// Whether a connector's provider may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Yes; what comes of it is to be [observed](RefreshEngine::observe).
    Go(Watch),
    /// Not before this instant.
    Paused {
        /// When to come back.
        until: Timestamp,
    },
}

/// What was known of a connector when its provider began to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    health: Health,
    probe: bool,
}

impl Watch {
    /// Whether this is the one try that decides whether everybody else may: one request is
    /// enough.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// Until when everybody but the probe is to leave the connector alone.
    pub(super) fn paused_until(&self) -> Option<Timestamp> {
        self.health
            .breaker
            .as_ref()
            .map(|breaker| breaker.open_until)
    }
}

impl RefreshEngine {
    /// Asks whether requests may be made for this connector. Where a breaker's time is over, one
    /// caller gets the right to probe; everybody else stays paused until that is settled.
    pub async fn admit(&self, connector: &Connector) -> Admitted {
        self.admit_past(connector, None).await
    }

    /// The same for one retry of a lost answer, which a failing provider does not keep waiting:
    /// its grace may be over before its breaker closes. One more request for each answer that was
    /// lost is what it costs.
    pub(super) async fn admit_retry(&self, connector: &Connector) -> Admitted {
        self.admit_past(connector, Some(Cause::ProviderFailing))
            .await
    }

    async fn admit_past(&self, connector: &Connector, passed: Option<Cause>) -> Admitted {
        let now = self.clock.now();
        let (workspace, id) = (&connector.workspace, &connector.id);
        let health = match self.health.health(workspace, id, now).await {
            Ok(health) => health,
            Err(error) => {
                tracing::warn!(connector.id = %id, error = %error, "connector health could not be read");
                Health::default()
            }
        };
        match health.admission(connector.version, now) {
            Admission::Open => Admitted::Go(Watch {
                health,
                probe: false,
            }),
            Admission::Probe(due) => self.claim_probe(connector, health, &due, now).await,
            Admission::Paused { until } => {
                let cause = health.breaker.as_ref().map(|breaker| breaker.cause);
                if cause.is_some() && cause == passed {
                    let probe = false;
                    return Admitted::Go(Watch { health, probe });
                }
                Admitted::Paused { until }
            }
        }
    }

    async fn claim_probe(
        &self,
        connector: &Connector,
        health: Health,
        due: &Breaker,
        now: Timestamp,
    ) -> Admitted {
        let (workspace, id) = (&connector.workspace, &connector.id);
        let claimed = due.claimed(self.breaker_id(), now);
        match self
            .health
            .trip(workspace, id, &claimed, Some(due), None)
            .await
        {
            Ok(true) => Admitted::Go(Watch {
                health: Health {
                    breaker: Some(claimed),
                    ..health
                },
                probe: true,
            }),
            Ok(false) => Admitted::Paused {
                until: claimed.open_until,
            },
            Err(error) => {
                tracing::warn!(connector.id = %id, error = %error, "probe could not be claimed");
                Admitted::Go(Watch {
                    health,
                    probe: true,
                })
            }
        }
    }

    /// Takes note of what came of the requests that `watch` stood for, in one write for any
    /// number of them and in none while all is well, and opens or closes the breaker.
    ///
    /// A write that fails is logged and no more: the requests are made, and whoever makes the
    /// next ones comes to the same verdict.
    pub async fn observe(&self, connector: &Connector, watch: &Watch, seen: &[Seen]) {
        self.note_secrets(connector, watch, seen).await;
        let tally = Tally::of(seen);
        if seen.is_empty() || tally.is_clean() && watch.health.is_calm() {
            return;
        }
        let now = self.clock.now();
        let health = self.counted(connector, watch, tally, now).await;
        let observation = Observation {
            connector_version: connector.version,
            configured_at: connector.updated_at,
            seen,
            at: now,
        };
        match health.verdict(&observation, self.breaker_id()) {
            Verdict::Stay => {}
            Verdict::Trip(breaker) => {
                self.trip(connector, &breaker, health.breaker.as_ref(), now)
                    .await;
            }
            Verdict::Close(breaker) => self.close(connector, &breaker, now).await,
        }
    }

    /// While a connector has two secrets, writes down which of them its provider accepts: about
    /// once an hour each, because nobody drops the old one by the minute.
    async fn note_secrets(&self, connector: &Connector, watch: &Watch, seen: &[Seen]) {
        let secrets = connector.client_secret.as_ref();
        let Some((current, previous)) = secrets.zip(connector.previous_secret.as_ref()) else {
            return;
        };
        let now = self.clock.now();
        for (secret, worked) in [(current, Seen::Tokens), (previous, Seen::TokensByPrevious)] {
            let noted = watch.health.secrets.get(&secret.set_at);
            let is_news = noted.is_none_or(|at| now.since(*at) >= SECRET_NOTED_EVERY);
            if !is_news || !seen.contains(&worked) {
                continue;
            }
            let (workspace, id) = (&connector.workspace, &connector.id);
            let noted = self.health.secret_worked(workspace, id, secret.set_at, now);
            if let Err(error) = noted.await {
                tracing::warn!(connector.id = %id, error = %error, "it was not noted which secret works");
            }
        }
    }

    /// Whether nobody may be declared dead now, by what is known at this moment (H-78). Also
    /// where that cannot be read: a grant that is tried again tomorrow costs one request, one
    /// declared dead by mistake a user.
    pub async fn holds_flips(&self, connector: &Connector) -> bool {
        let (workspace, id) = (&connector.workspace, &connector.id);
        match self.health.health(workspace, id, self.clock.now()).await {
            Ok(health) => health.holds_flips(),
            Err(error) => {
                tracing::warn!(connector.id = %id, error = %error, "connector health could not be read");
                true
            }
        }
    }

    /// The health with `tally` in it, and with what others have counted by now.
    async fn counted(
        &self,
        connector: &Connector,
        watch: &Watch,
        tally: Tally,
        now: Timestamp,
    ) -> Health {
        let (workspace, id) = (&connector.workspace, &connector.id);
        let mut health = watch.health.clone();
        let minute = health.minutes.entry(minute_of(now)).or_default();
        *minute = match self.health.count(workspace, id, now, &tally).await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::warn!(connector.id = %id, error = %error, "token requests were not counted");
                *minute + tally
            }
        };
        health
    }

    async fn trip(
        &self,
        connector: &Connector,
        breaker: &Breaker,
        replacing: Option<&Breaker>,
        now: Timestamp,
    ) {
        let (workspace, id) = (&connector.workspace, &connector.id);
        let event = breaker.news().map(|cause| {
            let change = Change::ConnectorMisconfigured { cause };
            connector_event(&*self.entropy, connector, change, now)
        });
        match self
            .health
            .trip(workspace, id, breaker, replacing, event.as_ref())
            .await
        {
            Ok(true) => {
                tracing::error!(
                    connector.id = %id, breaker.cause = breaker.cause.as_str(),
                    breaker.open_until = %breaker.open_until, breaker.openings,
                    "the connector is paused"
                );
                if let Some(event) = &event {
                    self.publisher.publish(event).await;
                }
            }
            // Another worker has seen the same and was first.
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(connector.id = %id, error = %error, "breaker was not opened");
            }
        }
    }

    async fn close(&self, connector: &Connector, breaker: &Breaker, now: Timestamp) {
        let (workspace, id) = (&connector.workspace, &connector.id);
        match self.health.close(workspace, id, breaker, now).await {
            Ok(true) => tracing::info!(
                connector.id = %id, breaker.cause = breaker.cause.as_str(),
                breaker.since = %breaker.since, "the connector works again"
            ),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(connector.id = %id, error = %error, "breaker was not closed");
            }
        }
    }

    fn breaker_id(&self) -> BreakerId {
        BreakerId::parse(random_id(&*self.entropy)).expect("base64url is an id")
    }
}
