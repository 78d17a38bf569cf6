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
    /// Whether it was refused without reason since tokens of it were last stored.
    refused: bool,
    /// When it was last used.
    used_at: u64,
    /// Whether the user has consented anew since.
    replaced: bool,
}

/// All consents.
pub(super) struct Grants {
    rotation: Rotation,
    lifetime: u64,
    /// After so many milliseconds without use a grant dies.
    idle_limit: Option<u64>,
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
    pub(super) fn new(rotation: Rotation, lifetime: u64, idle_limit: Option<u64>) -> Self {
        Self {
            rotation,
            lifetime,
            idle_limit,
            all: Vec::new(),
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
            used_at: now,
            replaced: false,
        });
        let pair = Pair { grant, number: 0 };
        TokenSet {
            access_token: pair.access_token(),
            refresh_token: Some(pair.refresh_token()),
            connection_config: BTreeMap::new(),
        }
    }

    /// Tokens of a grant were stored: the provider may refuse it without reason again.
    pub(super) fn stored(&mut self, grant: usize) {
        self.all[grant].refused = false;
    }

    /// The user has consented anew, and nobody asks for this grant any more.
    pub(super) fn replace(&mut self, grant: usize) {
        self.all[grant].replaced = true;
    }

    /// A grant is revoked by its refresh token. One that is dead already is not known.
    fn revoke(&mut self, refresh: Pair, now: u64) {
        if self.honours(refresh, now) {
            self.all[refresh.grant].live = false;
        }
    }

    /// The grants that are live though nobody replaced them, with their users.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &ConnectionKey)> {
        let all = self.all.iter().enumerate();
        all.filter(|(_, grant)| grant.live && !grant.replaced)
            .map(|(number, grant)| (number, &grant.user))
    }

    /// Whose grant it is.
    fn user(&self, grant: usize) -> ConnectionKey {
        self.all[grant].user.clone()
    }

    /// When the access token of a pair expires.
    pub(super) fn expiry(&self, pair: Pair) -> u64 {
        self.all[pair.grant].expiries[pair.number as usize]
    }

    /// Whether a refresh token would be taken.
    pub(super) fn honours(&self, refresh: Pair, now: u64) -> bool {
        let grant = &self.all[refresh.grant];
        let latest = refresh.number == grant.latest;
        grant.live
            && match self.rotation {
                Rotation::Strict => latest,
                Rotation::Grace(seconds) => match grant.used.get(&refresh.number) {
                    Some(used) => now <= used + seconds * 1000,
                    None => latest,
                },
                Rotation::Sliding | Rotation::Fixed => true,
            }
    }

    fn may_be_refused(&self, grant: usize) -> bool {
        !self.all[grant].refused
    }

    fn refuse(&mut self, grant: usize) -> TokenFailure {
        self.all[grant].refused = true;
        TokenFailure::GrantRefused
    }

    /// Whether a grant has just died of disuse.
    fn dies_of_disuse(&mut self, grant: usize, now: u64) -> bool {
        let grant = &mut self.all[grant];
        let unused = now - grant.used_at;
        let dies = grant.live && self.idle_limit.is_some_and(|limit| unused > limit);
        grant.live &= !dies;
        dies
    }

    /// A refresh request is processed.
    fn refresh(&mut self, presented: Pair, now: u64) -> Result<TokenAnswer, TokenFailure> {
        let (rotation, lifetime) = (self.rotation, self.lifetime);
        let good = self.honours(presented, now);
        let grant = &mut self.all[presented.grant];
        // A token that is replayed was stolen, for all that a provider knows.
        grant.live &= good;
        if !grant.live {
            return Err(TokenFailure::GrantRefused);
        }
        grant.used_at = now;
        grant.used.entry(presented.number).or_insert(now);
        grant.latest += 1;
        grant.expiries.push(now + lifetime);
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
            id_token: None,
            by_previous_secret: false,
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
        world.sends(presented.grant);
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
            Fate::TooLate => LATEST_ARRIVAL + sim.below(60_000),
            _ => 1 + sim.below(whole - 1),
        };
        let answer = Arc::new(Mutex::new(None));
        let (theirs, slot) = (Arc::clone(world), Arc::clone(&answer));
        sim.spawn(async move { travel(&theirs, fate, presented, [arrival, whole], &slot).await });
        let unknown = Err(TokenFailure::OutcomeUnknown);
        match fate {
            Fate::LostOnTheWay | Fate::Late | Fate::TooLate => {
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
            Fate::CallerFreezes(millis) => {
                // The answer waits for it, or its own patience is over at once.
                let patient = sim.chance(50);
                sim.freeze(millis).await;
                if !patient {
                    return unknown;
                }
                sim.sleep(whole).await;
            }
            Fate::Answered | Fate::NotSent | Fate::Throttled { .. } | Fate::Mood => {
                sim.sleep(whole).await;
            }
        }
        let mut answer = answer.lock().expect("nobody panics");
        answer.take().expect("it arrives before it is answered")
    }

    async fn revoke(
        &self,
        _: &Provider,
        _: &ClientCredentials,
        tokens: &TokenSet,
    ) -> RevocationAnswer {
        let (world, sim) = (&self.0, &self.0.sim);
        sim.sleep(sim.below(400)).await;
        let refresh = tokens.refresh_token.as_ref().and_then(Pair::of);
        sim.tell(|| format!("revokes {refresh:?}"));
        if let Some(refresh) = refresh {
            world.grants().revoke(refresh, sim.now());
        }
        RevocationAnswer::Revoked
    }

    async fn account(&self, _: &Provider, _: &Secret) -> Option<Account> {
        unreachable!("the engine asks nobody's name")
    }
}

/// A request on its way there and back, whatever becomes of its sender.
async fn travel(
    world: &World,
    fate: Fate,
    presented: Pair,
    [arrival, back]: [u64; 2],
    answer: &Mutex<Option<Result<TokenAnswer, TokenFailure>>>,
) {
    let sim = &world.sim;
    let over = || world.arrives(presented.grant);
    if fate == Fate::LostOnTheWay {
        sim.sleep(back).await;
        return over();
    }
    sim.sleep(arrival.min(LATEST_ARRIVAL)).await;
    if arrival > LATEST_ARRIVAL {
        // From here on it is no request of ours any more.
        over();
        sim.sleep(arrival - LATEST_ARRIVAL).await;
    }
    let processed = process(world, fate, presented);
    *answer.lock().expect("nobody panics") = Some(processed);
    if arrival <= LATEST_ARRIVAL {
        sim.sleep(back.saturating_sub(arrival)).await;
        over();
    }
}

fn process(world: &World, fate: Fate, presented: Pair) -> Result<TokenAnswer, TokenFailure> {
    let now = world.sim.now();
    let mut grants = world.grants();
    let dies = grants.dies_of_disuse(presented.grant, now);
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
        | Fate::TooLate
        | Fate::ServerError { processed: true }
        | Fate::Garbage
        | Fate::CallerCrashes
        | Fate::CallerFreezes(_) => grants.refresh(presented, now),
    };
    drop(grants);
    if dies {
        world
            .sim
            .violate(format!("I7: {presented:?} died of disuse"));
    }
    world.sim.tell(|| match &answer {
        Ok(answer) => format!(
            "provider: {presented:?} -> {:?}",
            Pair::of(&answer.access_token)
        ),
        Err(refusal) => format!("provider: {presented:?} -> {refusal}"),
    });
    answer
}
