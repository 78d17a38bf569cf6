//! FakeAS: an OAuth 2.0 authorization server over real HTTP that does as a test says.
//!
//! Left to itself it follows the RFCs (6749, 7009, 7636, 8414, 9207) and each provider habit
//! that [`Settings`] knows. A test makes it misbehave with [`FakeAs::push`], and asks afterwards
//! what arrived. Time and randomness are handed in; nothing is stored on disk.
//!
//! [`FakeAs`] is the handle inside the process; [`FakeAsControl`] has the same methods, as
//! futures, over the `/_control` routes of a server elsewhere. It also is the demo provider.

mod authorize;
mod browser;
mod call;
mod control;
mod control_client;
mod holds;
mod id_token;
mod observe;
mod pages;
mod play;
mod script;
mod server;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub(crate) use browser::posted;
pub use browser::{consent, consent_by_form, deny, deny_by_form};
pub use control_client::FakeAsControl;
pub use observe::{
    Counters, GrantState, GrantView, IssuedSecret, LoggedRequest, SecretKind, Tally,
};
pub(crate) use pages::form_post;
pub use script::{Behaviour, Endpoint, When};
pub use settings::{Client, Exchange, IdTokenFlaw, Redirects, Rotation, Settings};
pub(crate) use token::s256;

use crate::loopback::{Clock, Port, Serving};
use server::Server;

/// What a server starts with.
#[derive(Clone)]
pub struct FakeAsConfig {
    /// Where it listens; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// What its pages call it.
    pub name: String,
    /// The present.
    pub clock: Clock,
    /// What its codes and tokens are derived from: fixed in a test, random in the demo.
    pub seed: [u8; 32],
    /// The clients registered from the start.
    pub clients: Vec<Client>,
    /// Its behaviour, restored by a reset.
    pub settings: Settings,
}

impl FakeAsConfig {
    /// A server for one test: a free port, the client `client` with the secret
    /// `client-secret`, default settings.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            name: "Demo provider".to_owned(),
            clock,
            seed: [7; 32],
            clients: vec![Client::new("client", "client-secret")],
            settings: Settings::default(),
        }
    }
}

impl fmt::Debug for FakeAsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bind,
            name,
            clients,
            settings,
            ..
        } = self;
        f.debug_struct("FakeAsConfig")
            .field("bind", bind)
            .field("name", name)
            .field("clients", clients)
            .field("settings", settings)
            .finish_non_exhaustive()
    }
}

/// A running server. Dropping it takes the provider off the network.
pub struct FakeAs {
    server: Arc<Server>,
    _serving: Serving,
}

impl FakeAs {
    /// Starts a server.
    ///
    /// # Panics
    /// When the address cannot be bound; [`FakeAs::bind`] tells instead.
    pub async fn start(config: FakeAsConfig) -> Self {
        Self::bind(config)
            .await
            .expect("the address of the fake authorization server is free")
    }

    /// Starts a server.
    ///
    /// # Errors
    /// Those of binding the address.
    pub async fn bind(config: FakeAsConfig) -> io::Result<Self> {
        let port = Port::bind(config.bind).await?;
        let server = Arc::new(Server::new(config, port.url()));
        let serving = port.serve(server::router(Arc::clone(&server)));
        Ok(Self {
            server,
            _serving: serving,
        })
    }

    /// Its issuer identifier and the base of every endpoint, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.server.lock().state.settings.clone()
    }

    /// Changes settings for the requests to come.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let state = &mut self.server.lock().state;
        change(&mut state.settings);
        state.make_keys();
    }

    /// Registers a client, or replaces the one of that id.
    pub fn add_client(&self, client: Client) {
        self.server.lock().state.add_client(client);
    }

    /// Adds a step for the next request that `when` covers.
    pub fn push(&self, when: impl Into<When>, behaviour: Behaviour) {
        self.server.lock().script.push(when.into(), behaviour);
    }

    /// Adds a step for every request that `when` covers and no single step does.
    pub fn always(&self, when: impl Into<When>, behaviour: Behaviour) {
        self.server.lock().script.always(when.into(), behaviour);
    }

    /// Forgets every step, single and standing.
    pub fn clear_script(&self) {
        self.server.lock().script = script::Script::default();
    }

    /// Single steps that no request has used up.
    #[must_use]
    pub fn steps_left(&self) -> usize {
        self.server.lock().script.remaining()
    }

    /// How many requests arrived.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.server.lock().counters.clone()
    }

    /// Every request to a token, revocation, userinfo or authorization endpoint, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.server.lock().log.clone()
    }

    /// Every secret ever issued; a reset forgets none.
    #[must_use]
    pub fn issued_secrets(&self) -> Vec<IssuedSecret> {
        self.server.lock().state.issued()
    }

    /// Every grant ever made, oldest first.
    #[must_use]
    pub fn grants(&self) -> Vec<GrantView> {
        self.server.lock().state.grants()
    }

    /// Whether `account` has a live grant, at any client.
    #[must_use]
    pub fn grant_state(&self, account: &str) -> GrantState {
        observe::grant_state(&self.grants(), account)
    }

    /// The account withdraws its live grants, as people do at the provider's own site; returns
    /// how many there were.
    pub fn withdraw_grants(&self, account: &str) -> usize {
        let now = self.server.now();
        self.server.lock().state.withdraw(account, now)
    }

    /// Makes access tokens expire now, of one account or of all; returns how many.
    pub fn expire_access_tokens(&self, account: Option<&str>) -> usize {
        let now = self.server.now();
        self.server.lock().state.expire_access_tokens(account, now)
    }

    /// How many requests are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.server.holds.held()
    }

    /// Waits until at least this many requests are held.
    pub async fn wait_until_held(&self, at_least: usize) {
        self.server.holds.wait_until(at_least).await;
    }

    /// Lets all held requests go; returns how many there were.
    pub fn release(&self) -> usize {
        self.server.holds.release()
    }

    /// Back to the start for the next test: settings, script, counts and log. Held requests are
    /// released. Clients, grants and issued secrets stay, since others may depend on them.
    pub fn reset(&self) {
        self.server.reset();
    }
}

impl fmt::Debug for FakeAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeAs")
            .field("url", &self.server.url)
            .finish_non_exhaustive()
    }
}
