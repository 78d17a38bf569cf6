//! A provider in memory, in the four ways that providers treat refresh tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shared::domain::connection::ConnectionKey;
use shared::domain::provider::Provider;
use shared::domain::secret::Secret;
use shared::domain::token::{Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet};
use shared::ports::{ClientCredentials, CodeGrant, ProviderApi};

use super::faults::Fate;
use super::user;
use super::world::World;

/// When the caller of a token request gives up.
const TIMEOUT: u64 = 8_000;
/// The latest a request can arrive, however long it lay about: before the lease that it was made
/// under ends. What arrives later than that no protocol can tell from a theft (F9).
const LATEST_ARRIVAL: u64 = 14_000;

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// Replaced, and dead at once; using it again ends the grant.
    Strict,
    /// Replaced, and good for so many seconds more; each use makes a new pair, and of those only
    /// the latest is good. Using it later ends the grant.
    Grace(u64),
    /// Replaced, and as good as ever.
    Sliding,
    /// Not replaced.
    Fixed,
}

/// One consent.
struct Grant {
    user: ConnectionKey,
    live: bool,
    /// The number of the pair that was issued last.
    latest: u64,
    /// When each replaced refresh token was first used.
    used: BTreeMap<u64, u64>,
    /// When each access token expires.
    expiries: Vec<u64>,
    /// Whether it was refused without reason since it last issued tokens.
    refused: bool,
}

/// All consents.
pub(super) struct Grants {
    rotation: Rotation,
    lifetime: u64,
    all: Vec<Grant>,
}

/// Which pair of which grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) grant: usize,
    pub(super) number: u64,
}

impl Pair {
    /// Reads what [`Pair::access_token`] and [`Pair::refresh_token`] write.
    pub(super) fn of(token: &Secret) -> Option<Self> {
        let mut parts = token.expose().split('-').skip(1);
        let grant = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        Some(Self { grant, number })
    }

    fn access_token(self) -> Secret {
        Secret::new(format!("at-{}-{}", self.grant, self.number))
    }

    fn refresh_token(self) -> Secret {
        Secret::new(format!("rt-{}-{}", self.grant, self.number))
    }
}

impl Grants {
    pub(super) fn new(rotation: Rotation, lifetime: u64) -> Self {
        let all = Vec::new();
        Self {
            rotation,
            lifetime,
            all,
        }
    }

    /// A user consents.
    pub(super) fn consent(&mut self, user: &ConnectionKey, now: u64) -> TokenSet {
        let grant = self.all.len();
        self.all.push(Grant {
            user: user.clone(),
            live: true,
            latest: 0,
            used: BTreeMap::new(),
            expiries: vec![now + self.lifetime],
            refused: false,
        });
        let pair = Pair { grant, number: 0 };
        TokenSet {
            access_token: pair.access_token(),
            refresh_token: Some(pair.refresh_token()),
            connection_config: BTreeMap::new(),
        }
    }

    /// A grant is withdrawn at the provider.
    pub(super) fn withdraw(&mut self, grant: usize) {
        self.all[grant].live = false;
    }

    /// Whose grant it is.
    fn user(&self, grant: usize) -> ConnectionKey {
        self.all[grant].user.clone()
    }

    /// When the access token of a pair expires.
    pub(super) fn expiry(&self, pair: Pair) -> u64 {
        self.all[pair.grant].expiries[pair.number as usize]
    }

    /// Whether this refresh token is good and not replaced.
    pub(super) fn is_current(&self, refresh: Pair) -> bool {
        let grant = &self.all[refresh.grant];
        let replaced = match self.rotation {
            Rotation::Strict | Rotation::Grace(_) => refresh.number != grant.latest,
            Rotation::Sliding | Rotation::Fixed => false,
        };
        grant.live && !replaced
    }

    fn may_be_refused(&self, grant: usize) -> bool {
        !self.all[grant].refused
    }

    fn refuse(&mut self, grant: usize) -> TokenFailure {
        self.all[grant].refused = true;
        TokenFailure::GrantRefused
    }

    /// A refresh request is processed.
    fn refresh(&mut self, presented: Pair, now: u64) -> Result<TokenAnswer, TokenFailure> {
        let (rotation, lifetime) = (self.rotation, self.lifetime);
        let grant = &mut self.all[presented.grant];
        let good = match rotation {
            Rotation::Strict => presented.number == grant.latest,
            Rotation::Grace(seconds) => match grant.used.get(&presented.number) {
                Some(used) => now <= used + seconds * 1000,
                None => presented.number == grant.latest,
            },
            Rotation::Sliding | Rotation::Fixed => true,
        };
        // A token that is replayed was stolen, for all that a provider knows.
        grant.live &= good;
        if !grant.live {
            return Err(TokenFailure::GrantRefused);
        }
        grant.used.entry(presented.number).or_insert(now);
        grant.latest += 1;
        grant.expiries.push(now + lifetime);
        grant.refused = false;
        let pair = Pair {
            grant: presented.grant,
            number: grant.latest,
        };
        Ok(TokenAnswer {
            access_token: pair.access_token(),
            refresh_token: (rotation != Rotation::Fixed).then(|| pair.refresh_token()),
            lifetime: Some(std::time::Duration::from_millis(lifetime)),
            refresh_lifetime: None,
            scopes: None,
            connection_config: BTreeMap::new(),
            account: None,
        })
    }
}

/// The provider as the engine calls it.
pub(super) struct SimProvider(pub(super) Arc<World>);

#[async_trait]
impl ProviderApi for SimProvider {
    async fn exchange(
        &self,
        _: &Provider,
        _: &ClientCredentials,
        _: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure> {
        unreachable!("the simulated users consent by themselves")
    }

    async fn refresh(
        &self,
        _: &Provider,
        _: &ClientCredentials,
        refresh_token: &Secret,
    ) -> Result<TokenAnswer, TokenFailure> {
        let (world, sim) = (&self.0, &self.0.sim);
        let presented = Pair::of(refresh_token).expect("a refresh token of ours");
        let fate = {
            let in_mood = world.grants().may_be_refused(presented.grant);
            world.faults().at_provider(in_mood, sim)
        };
        sim.tell(|| format!("asks the provider with {presented:?}: {fate:?}"));
        if fate == Fate::NotSent {
            sim.sleep(sim.below(500)).await;
            return Err(TokenFailure::NotSent);
        }
        let flight = world.send(presented.grant);
        // The best moment for a user to change his mind.
        if sim.chance(5) && sim.now() < world.quiet_from {
            let user = world.grants().user(presented.grant);
            let (world, delay) = (Arc::clone(world), sim.below(10_000));
            sim.spawn(async move { user::act(&world, &user, delay).await });
        }
        // Mostly quick, sometimes almost too slow.
        let whole = 2 + match sim.below(5) {
            0 => sim.below(TIMEOUT - 100),
            _ => sim.below(400),
        };
        let arrival = match fate {
            Fate::Late => TIMEOUT + sim.below(LATEST_ARRIVAL - TIMEOUT),
            _ => 1 + sim.below(whole - 1),
        };
        let answer = Arc::new(Mutex::new(None));
        let travelling = (fate != Fate::LostOnTheWay).then(|| Arc::clone(&flight));
        if let Some(travelling) = travelling {
            let (world, answer) = (Arc::clone(world), Arc::clone(&answer));
            sim.spawn(async move {
                world.sim.sleep(arrival).await;
                let processed = process(&world, fate, presented);
                *answer.lock().expect("nobody panics") = Some(processed);
                drop(travelling);
            });
        }
        let unknown = Err(TokenFailure::OutcomeUnknown);
        match fate {
            Fate::LostOnTheWay | Fate::Late => {
                sim.sleep(TIMEOUT).await;
                return unknown;
            }
            Fate::AnswerLost => {
                sim.sleep(if sim.chance(50) { TIMEOUT } else { whole })
                    .await;
                return unknown;
            }
            Fate::ServerError { .. } | Fate::Garbage => {
                sim.sleep(whole).await;
                return unknown;
            }
            Fate::CallerCrashes => {
                sim.sleep(sim.below(whole)).await;
                return sim.crash().await;
            }
            Fate::Answered | Fate::NotSent | Fate::Throttled { .. } | Fate::Mood => {
                sim.sleep(whole).await;
            }
        }
        let mut answer = answer.lock().expect("nobody panics");
        answer.take().expect("it arrives before it is answered")
    }

    async fn revoke(&self, _: &Provider, _: &ClientCredentials, _: &TokenSet) -> RevocationAnswer {
        unreachable!("the engine revokes nothing")
    }

    async fn account(&self, _: &Provider, _: &Secret) -> Option<Account> {
        unreachable!("the engine asks nobody's name")
    }
}

fn process(world: &World, fate: Fate, presented: Pair) -> Result<TokenAnswer, TokenFailure> {
    let mut grants = world.grants();
    let answer = match fate {
        Fate::ServerError { processed: false } => Err(TokenFailure::OutcomeUnknown),
        Fate::Throttled { retry_after } => Err(TokenFailure::TryLater {
            after: retry_after.map(std::time::Duration::from_secs),
        }),
        Fate::Mood => Err(grants.refuse(presented.grant)),
        Fate::Answered
        | Fate::NotSent
        | Fate::LostOnTheWay
        | Fate::AnswerLost
        | Fate::Late
        | Fate::ServerError { processed: true }
        | Fate::Garbage
        | Fate::CallerCrashes => grants.refresh(presented, world.sim.now()),
    };
    drop(grants);
    world.sim.tell(|| match &answer {
        Ok(answer) => format!(
            "provider: {presented:?} -> {:?}",
            Pair::of(&answer.access_token)
        ),
        Err(refusal) => format!("provider: {presented:?} -> {refusal}"),
    });
    answer
}
