//! H-76: grants of every kind over 400 days of a sweep that runs every minute, with outages of
//! six hours. Time jumps from one refresh to the next; what is asked is when each is due, and
//! whether what it spends is still alive when the sweep gets there.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::catalogue;
use shared::domain::address::AddressRules;
use shared::domain::ids::ProviderId;
use shared::domain::provider::{RefreshGrant, RefreshProfile, Rotation};
use shared::domain::refresh_policy::next_refresh;
use shared::domain::secret::Secret;
use shared::domain::time::Timestamp;
use shared::domain::token::{TokenAnswer, Validity};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const END: Timestamp = Timestamp::from_millis(400 * 24 * 3600 * 1000);
const OUTAGE: Duration = Duration::from_secs(6 * 3600);
/// Every so many refreshes fall into an outage.
const OUTAGES: u32 = 3;
const CONNECTED: Timestamp = Timestamp::from_millis(0);

/// A grant at a provider.
#[derive(Debug)]
struct Grant<'a> {
    profile: &'a RefreshProfile,
    /// Whether the provider issues refresh tokens.
    with_refresh_token: bool,
    lifetime: Option<Duration>,
    /// What it tells of a refresh token's life whenever it issues one.
    told: Option<Duration>,
    jitter: f64,
    in_use: bool,
}

impl Grant<'_> {
    fn exchanges(&self) -> bool {
        matches!(self.profile.grant, RefreshGrant::AccessToken { .. })
    }

    fn answer(&self, with_refresh_token: bool) -> TokenAnswer {
        let issued = with_refresh_token && self.with_refresh_token;
        TokenAnswer {
            access_token: Secret::new("at"),
            refresh_token: issued.then(|| Secret::new("rt")),
            lifetime: self.lifetime,
            refresh_lifetime: self.told.filter(|_| issued),
            scopes: None,
            connection_config: BTreeMap::new(),
            account: None,
            id_token: None,
            by_previous_secret: false,
        }
    }

    /// After how long what is spent dies, if it is not refreshed and refreshing helps.
    fn dies_of_disuse(&self) -> Option<Duration> {
        let spent = match self.exchanges() {
            true => self.lifetime,
            false => self
                .told
                .filter(|_| self.profile.rotation != Rotation::None),
        };
        self.profile.idle_limit.into_iter().chain(spent).min()
    }

    /// When the grant ends whatever is done.
    fn ends(&self) -> Option<Timestamp> {
        let rotates = self.profile.rotation != Rotation::None;
        let told = self.told.filter(|_| !rotates && !self.exchanges());
        let limits = self.profile.hard_limit.into_iter().chain(told);
        limits.min().map(|limit| CONNECTED.after(limit))
    }

    fn assert_alive(&self, validity: &Validity, at: Timestamp) {
        let unused = at.since(validity.issued_at);
        let died = self.profile.idle_limit.is_some_and(|idle| unused >= idle)
            || self.exchanges() && validity.expires_at.is_some_and(|expiry| expiry <= at)
            || validity.grant_is_over(at);
        assert!(!died, "idle expiry after {unused:?}: {self:?}");
    }

    /// Lives it, and counts the refreshes.
    fn refreshes(&self) -> u32 {
        let first = self.answer(true);
        let refreshable = first
            .clone()
            .into_token_set()
            .refresh_credential(self.profile)
            .is_some();
        let mut validity = first.validity(self.profile, CONNECTED);
        let mut refreshes = 0;
        loop {
            let used = if self.in_use {
                validity.issued_at
            } else {
                CONNECTED
            };
            let due = next_refresh(self.profile, validity, refreshable, used, self.jitter);
            let Some(due) = due else {
                self.assert_needs_none(&validity, refreshable);
                return refreshes;
            };
            let in_time = self.ends().is_none_or(|end| due < end);
            assert!(in_time, "due when it is over: {self:?}");
            let mut run = first_run(due, validity.issued_at);
            if refreshes % OUTAGES == OUTAGES - 1 {
                run = run.after(OUTAGE);
            }
            if run >= END || self.ends().is_some_and(|end| run >= end) {
                return refreshes;
            }
            self.assert_alive(&validity, run);
            let answer = self.answer(self.profile.rotation != Rotation::None);
            validity = answer.validity_over(&validity, self.profile, CONNECTED, run);
            refreshes += 1;
        }
    }

    fn assert_needs_none(&self, validity: &Validity, refreshable: bool) {
        let left = self.ends().map(|end| end.since(validity.issued_at));
        let longest = WEEK.max(self.lifetime.unwrap_or_default());
        let over = left.is_some_and(|left| left <= longest);
        let endless = self.lifetime.is_none() && self.dies_of_disuse().is_none();
        assert!(!refreshable || over || endless, "left to die: {self:?}");
    }

    /// The most refreshes that 400 days may take.
    fn promised(&self) -> u32 {
        let ahead = |lifetime: Duration| lifetime - (lifetime / 5).min(15 * MINUTE) - MINUTE;
        let keep_alive = self
            .dies_of_disuse()
            .map_or(WEEK, |limit| WEEK.min(limit / 2));
        let keep_alive = keep_alive.mul_f64(0.9) - MINUTE;
        // Towards an absolute limit a token may be said to live ever shorter; half of it each
        // time is a minute soon.
        let shrinking = match (self.told, self.ends()) {
            (Some(_), Some(_)) => 20,
            _ => 0,
        };
        let fits = |whole: Duration, period: Duration| whole.div_duration_f64(period) as u32 + 1;
        let regular = match self.lifetime {
            None => fits(400 * DAY, keep_alive),
            Some(lifetime) if self.in_use => fits(400 * DAY, ahead(lifetime).min(keep_alive)),
            // In use for the first day.
            Some(lifetime) => fits(400 * DAY, keep_alive) + fits(DAY, ahead(lifetime)) + 1,
        };
        regular + shrinking
    }
}

/// When the sweep comes to what is due at `due`: it runs on the minute and looks one ahead.
fn first_run(due: Timestamp, issued_at: Timestamp) -> Timestamp {
    let minute = MINUTE.as_millis() as i64;
    let after_issue = issued_at.millis().div_euclid(minute) + 1;
    let in_sight = -(-due.before(MINUTE).millis()).div_euclid(minute);
    Timestamp::from_millis(after_issue.max(in_sight) * minute)
}

/// Lives every variant of a grant under `profile`.
fn live(profile: &RefreshProfile, lifetimes: &[Option<Duration>], told: &[Option<Duration>]) {
    for jitter in [0.0, 0.5, 1.0] {
        for (lifetime, told) in lifetimes
            .iter()
            .flat_map(|l| told.iter().map(move |t| (l, t)))
        {
            for (with_refresh_token, in_use) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let grant = Grant {
                    profile,
                    with_refresh_token,
                    lifetime: *lifetime,
                    told: told.filter(|_| with_refresh_token),
                    jitter,
                    in_use,
                };
                let refreshes = grant.refreshes();
                let promised = grant.promised();
                assert!(refreshes <= promised, "{refreshes} > {promised}: {grant:?}");
                if !with_refresh_token && !grant.exchanges() {
                    assert_eq!(refreshes, 0, "nothing to spend: {grant:?}");
                }
            }
        }
    }
}

const LIFETIMES: [Option<Duration>; 5] = [
    None,
    Some(Duration::from_secs(1800)),
    Some(HOUR),
    Some(Duration::from_secs(30 * 24 * 3600)),
    Some(Duration::from_secs(200 * 24 * 3600)),
];

#[test]
fn h76_no_template_of_the_catalogue_loses_a_grant_to_disuse_in_400_days() {
    let mut lived = 0;
    for summary in catalogue::providers() {
        if summary.id == "custom" {
            continue;
        }
        let id = ProviderId::parse(summary.id.as_str()).unwrap();
        let fields = catalogue::details(&id).unwrap().fields.into_iter();
        let examples: BTreeMap<_, _> = fields.map(|field| (field.name, field.example)).collect();
        let rules = AddressRules::PublicHttps;
        let profile = catalogue::resolve(&id, &examples, rules).unwrap().refresh;
        let told = profile.refresh_expires_in.as_ref().map(|_| 60 * DAY);
        match profile.grant {
            RefreshGrant::RefreshToken => {
                let own = [profile.assumed_lifetime];
                live(&profile, &[&own[..], &LIFETIMES].concat(), &[None, told]);
            }
            RefreshGrant::Nothing => {}
            RefreshGrant::AccessToken { .. } => {
                live(
                    &profile,
                    &[profile.assumed_lifetime, Some(60 * DAY)],
                    &[None],
                );
            }
        }
        lived += 1;
    }
    assert!(lived >= 10);
}

fn profile(rotation: Rotation, idle: Option<Duration>, hard: Option<Duration>) -> RefreshProfile {
    RefreshProfile {
        grant: RefreshGrant::RefreshToken,
        request: None,
        rotation,
        idle_limit: idle,
        hard_limit: hard,
        refresh_expires_in: None,
        assumed_lifetime: None,
    }
}

#[test]
fn h76_the_shortest_and_the_longest_limits_lose_no_grant_to_disuse_either() {
    for rotation in [Rotation::None, Rotation::Sliding, Rotation::Strict] {
        for idle in [None, Some(DAY), Some(13 * DAY), Some(3650 * DAY)] {
            for hard in [None, Some(3 * DAY), Some(100 * DAY), Some(1825 * DAY)] {
                let told = [None, Some(2 * DAY), Some(60 * DAY)];
                let profile = RefreshProfile {
                    refresh_expires_in: Some("refresh_expires_in".into()),
                    ..profile(rotation, idle, hard)
                };
                live(&profile, &LIFETIMES, &told);
            }
        }
    }
}

#[test]
fn h76_exchanged_tokens_do_not_expire_under_an_outage() {
    for min_age in [Duration::ZERO, DAY] {
        for hard in [None, Some(100 * DAY)] {
            let exchange = RefreshProfile {
                grant: RefreshGrant::AccessToken { min_age },
                ..profile(Rotation::Sliding, None, hard)
            };
            live(&exchange, &[None, Some(2 * DAY), Some(60 * DAY)], &[None]);
        }
    }
}
