//! The authorization servers: one for each thing that a refresh may do to a refresh token.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use shared::crypto::hash::digest_of;
use shared::ports::Clock as _;
use shared::runtime::system::SystemClock;
use testkit::fake_as::{Client, FakeAs, FakeAsConfig, Rotation};

/// What one of them is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    port: u16,
    rotation: Rotation,
    /// Of an access token, in seconds.
    lifetime: i64,
    clients: Vec<Client>,
    /// What its tokens are derived from.
    seed: String,
}

/// Runs them until the process is ended.
pub(crate) async fn serve(descriptions: &Path) {
    let descriptions: Vec<Description> = crate::read(descriptions);
    let mut running = Vec::new();
    for description in descriptions {
        running.push(start(description).await);
    }
    pending::<()>().await;
}

async fn start(description: Description) -> FakeAs {
    let clock = SystemClock::start();
    let mut config = FakeAsConfig::new(Arc::new(move || clock.now().millis()));
    config.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, description.port));
    config.seed = digest_of(format!("{} {}", description.name, description.seed).as_bytes());
    config.name = description.name;
    config.clients = description.clients;
    config.settings.rotation = description.rotation;
    config.settings.access_token_lifetime_s = description.lifetime;
    // Nobody sits at a browser; the account is named by `login_hint`.
    config.settings.auto_approve = true;
    config.settings.require_pkce = false;
    FakeAs::start(config).await
}
