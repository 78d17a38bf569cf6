//! What a provider has granted: codes, grants and the tokens that stand for them.

use std::collections::BTreeMap;

use catalogue_format::Rotation;

/// A code that was handed out and what it is bound to.
pub(super) struct Code {
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) scopes: Vec<String>,
    /// The grant it was redeemed for.
    spent: Option<usize>,
}

impl Code {
    pub(super) fn new(
        redirect_uri: String,
        challenge: Option<String>,
        nonce: Option<String>,
        scopes: Vec<String>,
    ) -> Self {
        Self {
            redirect_uri,
            challenge,
            nonce,
            scopes,
            spent: None,
        }
    }
}

/// What an account has granted.
pub(super) struct Grant {
    pub(super) scopes: Vec<String>,
    pub(super) nonce: Option<String>,
    pub(super) refreshes: u32,
    pub(super) is_over: bool,
    consented_at: i64,
    refreshed_at: i64,
}

/// For how many days a grant lives.
pub(super) struct Limits {
    /// Without a refresh.
    pub(super) idle: Option<u32>,
    /// Whatever is done.
    pub(super) hard: Option<u32>,
}

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Which of a grant's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Access token that a code brought where another exchange is to follow.
    Short,
    Access,
    Refresh,
}

struct Token {
    kind: Kind,
    grant: usize,
    issued_at: i64,
    /// In milliseconds, as everything here.
    expires_at: Option<i64>,
    /// When it was rotated away.
    spent_at: Option<i64>,
}

/// Everything a provider remembers.
#[derive(Default)]
pub(super) struct Grants {
    codes: BTreeMap<String, Code>,
    pub(super) grants: Vec<Grant>,
    tokens: BTreeMap<String, Token>,
    minted: u32,
}

impl Grants {
    /// A text of its own. It has every character of a bearer token (RFC 6750 section 2.1), so
    /// that what is not encoded where it has to be arrives as something else.
    fn mint(&mut self, kind: &str) -> String {
        self.minted += 1;
        format!("{kind}-{}._~+/x%3D=", self.minted)
    }

    pub(super) fn add_code(&mut self, code: Code) -> String {
        let text = self.mint("code");
        self.codes.insert(text.clone(), code);
        text
    }

    pub(super) fn code(&self, text: &str) -> Option<&Code> {
        self.codes.get(text)
    }

    /// Redeems a code, once. A second time ends what the first has brought (RFC 6749 section
    /// 4.1.2).
    pub(super) fn redeem(&mut self, text: &str, now: i64) -> Result<usize, &'static str> {
        let code = self.codes.get_mut(text).ok_or("an unknown code")?;
        if let Some(grant) = code.spent {
            self.grants[grant].is_over = true;
            return Err("a code is redeemed twice");
        }
        code.spent = Some(self.grants.len());
        let (scopes, nonce) = (code.scopes.clone(), code.nonce.clone());
        self.grants.push(Grant {
            scopes,
            nonce,
            refreshes: 0,
            is_over: false,
            consented_at: now,
            refreshed_at: now,
        });
        Ok(self.grants.len() - 1)
    }

    pub(super) fn issue(
        &mut self,
        kind: Kind,
        grant: usize,
        now: i64,
        lifetime_s: Option<i64>,
    ) -> String {
        let text = self.mint(match kind {
            Kind::Short => "short",
            Kind::Access => "at",
            Kind::Refresh => "rt",
        });
        let token = Token {
            kind,
            grant,
            issued_at: now,
            expires_at: lifetime_s.map(|seconds| now + seconds * 1000),
            spent_at: None,
        };
        self.tokens.insert(text.clone(), token);
        text
    }

    /// The kind and grant of a token that is accepted.
    pub(super) fn live(&self, text: &str, now: i64) -> Option<(Kind, usize)> {
        let token = self.tokens.get(text)?;
        let is_over = self.grants[token.grant].is_over
            || token.expires_at.is_some_and(|at| at <= now)
            || token.spent_at.is_some();
        (!is_over).then_some((token.kind, token.grant))
    }

    /// How long ago a token was issued, in milliseconds.
    pub(super) fn age(&self, text: &str, now: i64) -> i64 {
        self.tokens
            .get(text)
            .map_or(0, |token| now - token.issued_at)
    }

    /// Spends a refresh token as the provider's rotation has it.
    pub(super) fn spend(
        &mut self,
        text: &str,
        rotation: Rotation,
        limits: &Limits,
        now: i64,
    ) -> Result<usize, &'static str> {
        let token = self.tokens.get_mut(text);
        let token = token.filter(|token| token.kind == Kind::Refresh);
        let token = token.ok_or("an unknown refresh token")?;
        let grant = &mut self.grants[token.grant];
        if grant.is_over {
            return Err("a refresh token whose grant is over");
        }
        let over = |since: i64, days: Option<u32>| {
            days.is_some_and(|days| now >= since + i64::from(days) * DAY_MS)
        };
        if over(grant.refreshed_at, limits.idle) || over(grant.consented_at, limits.hard) {
            grant.is_over = true;
            return Err("a refresh token that has died");
        }
        match (rotation, token.spent_at) {
            (Rotation::None | Rotation::Sliding, _) => {}
            (Rotation::Strict, None) => token.spent_at = Some(now),
            (Rotation::Grace(_), None) => token.spent_at = Some(now),
            (Rotation::Grace(seconds), Some(at)) if now < at + i64::from(seconds) * 1000 => {}
            (Rotation::Strict | Rotation::Grace(_), Some(_)) => {
                // RFC 9700 section 4.14.2.
                grant.is_over = true;
                return Err("a refresh token is used twice");
            }
        }
        grant.refreshes += 1;
        grant.refreshed_at = now;
        Ok(token.grant)
    }

    /// The kind and grant of a token, whatever became of it.
    pub(super) fn known(&self, text: &str) -> Option<(Kind, usize)> {
        self.tokens.get(text).map(|token| (token.kind, token.grant))
    }
}
