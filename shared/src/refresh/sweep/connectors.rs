//! The connectors of one run: each read once, asked for admission once, and told together what
//! came of its requests, so that a healthy sweep writes nothing about health.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OnceCell};

use super::super::RefreshEngine;
use super::super::protection::{Admitted, Watch};
use super::fair::Place;
use crate::domain::connection::ConnectionKey;
use crate::domain::connector::Connector;
use crate::domain::health::Seen;
use crate::domain::time::Timestamp;
use crate::ports::StoreError;

/// After how many requests a run tells what came of them: the least number a breaker decides by.
/// Whether it may go on it asks again only where not all of them brought tokens.
const TELL_AFTER: usize = 20;

/// What a run knows of connectors.
#[derive(Default)]
pub(super) struct Connectors(Mutex<BTreeMap<Place, Arc<Known>>>);

/// One connector in a run.
#[derive(Default)]
pub(super) struct Known {
    read: OnceCell<Option<Connector>>,
    standing: AsyncMutex<Standing>,
}

#[derive(Default)]
struct Standing {
    admitted: Option<Admitted>,
    /// Requests that are not told yet.
    seen: Vec<Seen>,
    /// Whether the one request of a probe is under way or over.
    probed: bool,
}

impl Connectors {
    pub(super) fn of(&self, key: &ConnectionKey) -> Arc<Known> {
        let place = (key.workspace.clone(), key.connector.clone());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(place).or_default())
    }

    /// Tells what is not told yet, at the end of a run.
    pub(super) async fn tell_all(&self, engine: &RefreshEngine) {
        let all: Vec<_> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.values().cloned().collect()
        };
        for known in all {
            if let Some(Some(connector)) = known.read.get() {
                let mut standing = known.standing.lock().await;
                standing.tell(engine, connector).await;
            }
        }
    }
}

impl Known {
    /// The connector; `None` when it is gone.
    pub(super) async fn connector(
        &self,
        engine: &RefreshEngine,
        key: &ConnectionKey,
    ) -> Result<Option<&Connector>, StoreError> {
        let read = || engine.registry.connector(&key.workspace, &key.connector);
        Ok(self.read.get_or_try_init(read).await?.as_ref())
    }

    /// Until when the connector is to be left alone; `None` when its provider may be asked now.
    pub(super) async fn paused(
        &self,
        engine: &RefreshEngine,
        connector: &Connector,
    ) -> Option<Timestamp> {
        let mut standing = self.standing.lock().await;
        if standing.admitted.is_none() {
            standing.admitted = Some(engine.admit(connector).await);
            standing.probed = false;
        }
        match &standing.admitted {
            Some(Admitted::Paused { until }) => Some(*until),
            // The others wait for what the one request shows.
            Some(Admitted::Go(watch)) if watch.is_probe() && standing.probed => {
                Some(watch.paused_until().unwrap_or_else(|| engine.clock.now()))
            }
            Some(Admitted::Go(_)) | None => {
                standing.probed = true;
                None
            }
        }
    }

    /// Takes note of what came of a request.
    pub(super) async fn saw(&self, engine: &RefreshEngine, connector: &Connector, seen: Seen) {
        let mut standing = self.standing.lock().await;
        standing.seen.push(seen);
        let probing = standing.watch().is_some_and(Watch::is_probe);
        if probing || standing.seen.len() >= TELL_AFTER {
            let trouble = standing.seen.iter().any(|seen| !seen.is_success());
            standing.tell(engine, connector).await;
            if probing || trouble {
                standing.admitted = None;
            }
        }
    }
}

impl Standing {
    fn watch(&self) -> Option<&Watch> {
        match &self.admitted {
            Some(Admitted::Go(watch)) => Some(watch),
            Some(Admitted::Paused { .. }) | None => None,
        }
    }

    async fn tell(&mut self, engine: &RefreshEngine, connector: &Connector) {
        let seen = std::mem::take(&mut self.seen);
        // Requests that were under way when a breaker opened count as little as those before it.
        if let Some(watch) = self.watch() {
            engine.observe(connector, watch, &seen).await;
        }
    }
}
