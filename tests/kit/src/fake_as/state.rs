//! Clients, codes, grants and tokens. No clock and no HTTP: every method takes the time.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::id_token::{Draft, Keys};
use super::observe::{GrantState, GrantView, IssuedSecret, SecretKind};
use super::settings::{Client, Rotation, Settings};

pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) issuer: String,
    clients: BTreeMap<String, Client>,
    consents: HashMap<String, Request>,
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    issued: Vec<IssuedSecret>,
    seed: [u8; 32],
    minted: u64,
    keys: Keys,
}

/// A valid authorization request that waits for somebody to decide.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) login_hint: Option<String>,
    /// Answered by a form that posts (OAuth 2.0 Form Post Response Mode).
    pub(crate) form_post: bool,
}

pub(crate) struct Code {
    pub(crate) request: Request,
    pub(crate) account: String,
    pub(crate) expires_at: i64,
    /// The grant it was redeemed for: a second use ends that (RFC 6749 section 4.1.2).
    pub(crate) redeemed: Option<usize>,
}

struct Grant {
    account: String,
    client_id: String,
    scopes: Vec<String>,
    nonce: Option<String>,
    created_at: i64,
    ended: Option<(i64, &'static str)>,
    refreshes: u64,
}

struct RefreshToken {
    grant: usize,
    replaced_at: Option<i64>,
}

struct AccessToken {
    grant: usize,
    expires_at: i64,
}

impl State {
    pub(crate) fn new(issuer: String, seed: [u8; 32], settings: Settings) -> Self {
        Self {
            settings,
            issuer,
            clients: BTreeMap::new(),
            consents: HashMap::new(),
            codes: HashMap::new(),
            grants: Vec::new(),
            refresh_tokens: HashMap::new(),
            access_tokens: HashMap::new(),
            issued: Vec::new(),
            seed,
            minted: 0,
            keys: Keys::default(),
        }
    }

    pub(crate) fn add_client(&mut self, client: Client) {
        self.clients.insert(client.id.clone(), client);
    }

    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.get(id)
    }

    pub(crate) fn open_consent(&mut self, request: Request) -> String {
        let ticket = self.mint("fas_consent_");
        self.consents.insert(ticket.clone(), request);
        ticket
    }

    /// Single use: the back button cannot decide twice.
    pub(crate) fn take_consent(&mut self, ticket: &str) -> Option<Request> {
        self.consents.remove(ticket)
    }

    pub(crate) fn issue_code(&mut self, request: Request, account: &str, now: i64) -> String {
        let code = self.mint("fas_code_");
        self.record(SecretKind::Code, &code, account, &request.client_id);
        let expires_at = now + self.settings.code_lifetime_s * 1000;
        let account = account.to_owned();
        self.codes.insert(
            code.clone(),
            Code {
                request,
                account,
                expires_at,
                redeemed: None,
            },
        );
        code
    }

    pub(crate) fn code(&self, code: &str) -> Option<&Code> {
        self.codes.get(code)
    }

    /// Spends the code; it must exist.
    pub(crate) fn redeem(&mut self, code: &str, now: i64) -> usize {
        let grant = self.grants.len();
        let code = self
            .codes
            .get_mut(code)
            .expect("the caller looked the code up");
        code.redeemed = Some(grant);
        let scopes = self.settings.granted_scopes.clone();
        self.grants.push(Grant {
            account: code.account.clone(),
            client_id: code.request.client_id.clone(),
            scopes: scopes.unwrap_or_else(|| code.request.scopes.clone()),
            nonce: code.request.nonce.clone(),
            created_at: now,
            ended: None,
            refreshes: 0,
        });
        grant
    }

    /// The grant of a refresh token, whatever has become of either.
    pub(crate) fn grant_of_refresh_token(&self, token: &str) -> Option<usize> {
        self.refresh_tokens.get(token).map(|token| token.grant)
    }

    /// The live grant of an access token that still works at `now`.
    pub(crate) fn grant_of_access_token(&self, token: &str, now: i64) -> Option<usize> {
        let token = self.access_tokens.get(token)?;
        let live = self.grants[token.grant].ended.is_none() && now < token.expires_at;
        live.then_some(token.grant)
    }

    /// Checks and rotates: the grant and the refresh token to hand out, if any, or nothing for
    /// a dead token. A replayed token ends its grant.
    pub(crate) fn rotate(&mut self, token: &str, now: i64) -> Option<(usize, Option<String>)> {
        let known = self.refresh_tokens.get(token)?;
        let (grant, replaced_at) = (known.grant, known.replaced_at);
        if self.grants[grant].ended.is_some() {
            return None;
        }
        // Where no new token would be handed out the old one has to stay.
        let rotation = match self.settings.omit_refresh_token {
            true => Rotation::None,
            false => self.settings.rotation,
        };
        let usable_for = match rotation {
            Rotation::None | Rotation::Sliding => i64::MAX,
            Rotation::Strict => 0,
            Rotation::Grace { seconds } => seconds.saturating_mul(1000),
        };
        if replaced_at.is_some_and(|at| now - at >= usable_for) {
            self.end(grant, now, "a replaced refresh token was used");
            return None;
        }
        self.grants[grant].refreshes += 1;
        if rotation == Rotation::None {
            return Some((grant, None));
        }
        // Every sibling is replaced from now on, also the one that was current when a token in
        // its grace period came back.
        for sibling in self
            .refresh_tokens
            .values_mut()
            .filter(|sibling| sibling.grant == grant)
        {
            sibling.replaced_at.get_or_insert(now);
        }
        if self.settings.rotation_ends_access_tokens {
            self.access_tokens.retain(|_, token| token.grant != grant);
        }
        Some((grant, Some(self.issue_refresh_token(grant))))
    }

    pub(crate) fn issue_refresh_token(&mut self, grant: usize) -> String {
        let token = self.mint("fas_rt_");
        self.record_for(grant, SecretKind::RefreshToken, &token);
        self.refresh_tokens.insert(
            token.clone(),
            RefreshToken {
                grant,
                replaced_at: None,
            },
        );
        token
    }

    /// A token answer of RFC 6749 section 5.1 with a new access token for `scopes`.
    pub(crate) fn token_answer(
        &mut self,
        grant: usize,
        scopes: &[String],
        refresh_token: Option<String>,
        now: i64,
    ) -> Value {
        let token = self.mint("fas_at_");
        self.record_for(grant, SecretKind::AccessToken, &token);
        let lifetime = self.settings.access_token_lifetime_s;
        let expires_at = now + lifetime * 1000;
        self.access_tokens
            .insert(token.clone(), AccessToken { grant, expires_at });

        let mut answer = json!({
            "access_token": token,
            "token_type": "Bearer",
            "scope": scopes.join(" "),
        });
        if !self.settings.omit_expires_in {
            answer["expires_in"] = json!(lifetime);
        }
        if let Some(refresh_token) = refresh_token {
            answer["refresh_token"] = json!(refresh_token);
        }
        if self.settings.id_token {
            answer["id_token"] = json!(self.issue_id_token(grant, now));
        }
        for (name, value) in &self.settings.token_extras {
            answer[name] = value.clone();
        }
        answer
    }

    fn issue_id_token(&mut self, grant: usize, now: i64) -> String {
        let Grant {
            client_id, nonce, ..
        } = &self.grants[grant];
        let secret = self
            .clients
            .get(client_id)
            .and_then(|client| client.secrets.first());
        let draft = Draft {
            issuer: &self.issuer,
            client_id,
            client_secret: secret.map_or("", String::as_str),
            nonce: nonce.as_deref(),
            about: self.claims(grant),
            now: now / 1000,
        };
        let token = draft.sign(&self.keys, self.settings.id_token_flaw);
        self.record_for(grant, SecretKind::IdToken, &token);
        token
    }

    /// Makes the keys that ID tokens need ahead of the first request, whose sender waits only so
    /// long.
    pub(crate) fn make_keys(&self) {
        if self.settings.id_token {
            self.keys.make();
        }
    }

    /// The key set of the issuer.
    pub(crate) fn jwks(&self) -> Value {
        self.keys.published()
    }

    /// What userinfo and id tokens say about the grant's account.
    pub(crate) fn claims(&self, grant: usize) -> Map<String, Value> {
        let account = &self.grants[grant].account;
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), json!(account));
        claims.insert("name".to_owned(), json!(account));
        let email = match account.contains('@') {
            true => account.clone(),
            false => format!("{account}@provider.example"),
        };
        claims.insert("email".to_owned(), json!(email));
        claims.extend(
            self.settings
                .identity
                .get(account)
                .cloned()
                .unwrap_or_default(),
        );
        claims
    }

    pub(crate) fn client_of(&self, grant: usize) -> &str {
        &self.grants[grant].client_id
    }

    pub(crate) fn account_of(&self, grant: usize) -> &str {
        &self.grants[grant].account
    }

    pub(crate) fn scopes_of(&self, grant: usize) -> &[String] {
        &self.grants[grant].scopes
    }

    pub(crate) fn family_name(grant: usize) -> String {
        format!("grant-{}", grant + 1)
    }

    /// Ends a grant and, where the settings say so, its siblings. Tokens need no marking: they
    /// are as alive as their grant.
    pub(crate) fn end(&mut self, grant: usize, now: i64, why: &'static str) {
        let Grant {
            account, client_id, ..
        } = &self.grants[grant];
        let whose = (account.clone(), client_id.clone());
        let siblings = self.settings.revoke_ends_siblings;
        for (index, other) in self.grants.iter_mut().enumerate() {
            let sibling = siblings && (&other.account, &other.client_id) == (&whose.0, &whose.1);
            if index == grant || sibling {
                other.ended.get_or_insert((now, why));
            }
        }
    }

    /// The account withdraws what it granted, at the provider's own site.
    pub(crate) fn withdraw(&mut self, account: &str, now: i64) -> usize {
        let live = |grant: &&mut Grant| grant.account == account && grant.ended.is_none();
        let withdrawn = self.grants.iter_mut().filter(live);
        withdrawn
            .map(|grant| grant.ended = Some((now, "withdrawn by the account")))
            .count()
    }

    pub(crate) fn end_access_token(&mut self, token: &str) {
        self.access_tokens.remove(token);
    }

    /// Expires access tokens at once, of one account or of all.
    pub(crate) fn expire_access_tokens(&mut self, account: Option<&str>, now: i64) -> usize {
        let grants = &self.grants;
        let live = |token: &&mut AccessToken| {
            token.expires_at > now
                && account.is_none_or(|account| grants[token.grant].account == account)
        };
        self.access_tokens
            .values_mut()
            .filter(live)
            .map(|token| token.expires_at = now)
            .count()
    }

    pub(crate) fn issued(&self) -> Vec<IssuedSecret> {
        self.issued.clone()
    }

    pub(crate) fn grants(&self) -> Vec<GrantView> {
        let view = |(index, grant): (usize, &Grant)| GrantView {
            id: Self::family_name(index),
            account: grant.account.clone(),
            client_id: grant.client_id.clone(),
            scopes: grant.scopes.clone(),
            state: match grant.ended {
                None => GrantState::Live,
                Some(_) => GrantState::Revoked,
            },
            ended_because: grant.ended.map(|(_, why)| why.to_owned()),
            created_at_ms: grant.created_at,
            ended_at_ms: grant.ended.map(|(at, _)| at),
            refreshes: grant.refreshes,
        };
        self.grants.iter().enumerate().map(view).collect()
    }

    fn record_for(&mut self, grant: usize, kind: SecretKind, value: &str) {
        let Grant {
            account, client_id, ..
        } = &self.grants[grant];
        let (account, client_id) = (account.clone(), client_id.clone());
        self.record(kind, value, &account, &client_id);
    }

    fn record(&mut self, kind: SecretKind, value: &str, account: &str, client_id: &str) {
        self.issued.push(IssuedSecret {
            kind,
            value: value.to_owned(),
            account: account.to_owned(),
            client_id: client_id.to_owned(),
        });
    }

    /// A recognisable, unguessable value: the prefix and 256 bits of SHA-256 over the seed and
    /// a counter.
    fn mint(&mut self, prefix: &str) -> String {
        self.minted += 1;
        let input = [self.seed.as_slice(), &self.minted.to_be_bytes()].concat();
        format!(
            "{prefix}{}",
            URL_SAFE_NO_PAD.encode(digest(&SHA256, &input))
        )
    }
}
