//! What providers say when they refuse, in their own words and shapes.

use std::sync::Arc;

use catalogue_format::{AskedOf, ErrorClass};
use serde_json::json;
use shared::catalogue;
use shared::domain::address::AddressRules;
use shared::domain::ids::ProviderId;
use shared::domain::provider::Provider;
use shared::domain::secret::Secret;
use shared::domain::token::TokenFailure;
use shared::oauth::http_client::HttpClient;
use shared::oauth::provider_api::HttpProviderApi;
use shared::ports::{ClientCredentials, Clock as _, CodeGrant, ProviderApi as _};
use testkit::clock::ManualClock;
use testkit::entropy::SeededEntropy;
use testkit::peer::{Endpoint, Peer, PeerApi, Trouble};

use super::life::{connect, connector};
use super::{Entry, entry};
use crate::world::World;

const RULES: AddressRules = AddressRules::LocalToo;

/// The product's API, led to a peer.
struct Asked {
    peer: Peer,
    api: PeerApi,
}

impl Asked {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let peers = clock.clone();
        let peer = Peer::start(Arc::new(move || peers.now().millis())).await;
        let api = HttpProviderApi::new(
            HttpClient::new(RULES),
            Arc::new(clock),
            Arc::new(SeededEntropy::new(1)),
        );
        Self {
            api: PeerApi::new(api, peer.url()),
            peer,
        }
    }

    /// What comes of a token request that a provider meets with trouble.
    async fn meets(&self, entry: &Entry, at: Endpoint, trouble: Trouble) -> TokenFailure {
        let client = ClientCredentials {
            client_id: "client".into(),
            client_secret: Secret::new("secret"),
            previous_secret: None,
        };
        let provider = resolved(entry);
        self.peer.push(&entry.id, at, trouble);
        let answer = match at {
            Endpoint::Refresh => {
                let token = Secret::new("token");
                self.api.refresh(&provider, &client, &token).await
            }
            _ => {
                let grant = CodeGrant {
                    code: Secret::new("code"),
                    verifier: Some(Secret::new("verifier")),
                    redirect_uri: "https://api.example/oauth/callback/c".into(),
                };
                self.api.exchange(&provider, &client, &grant).await
            }
        };
        answer.expect_err("no tokens came")
    }
}

fn resolved(entry: &Entry) -> Provider {
    let mut config = entry.config(AskedOf::Admin);
    config.extend(entry.config(AskedOf::User));
    let id = ProviderId::parse(&entry.id).unwrap();
    catalogue::resolve(&id, &config, RULES).unwrap()
}

fn is(failure: &TokenFailure, class: ErrorClass) -> bool {
    match class {
        ErrorClass::GrantRefused => matches!(failure, TokenFailure::GrantRefused),
        ErrorClass::ClientRefused => matches!(failure, TokenFailure::ClientRefused),
        ErrorClass::RequestRefused => matches!(failure, TokenFailure::RequestRefused),
        ErrorClass::InteractionRequired => matches!(failure, TokenFailure::InteractionRequired),
        ErrorClass::TryLater => matches!(failure, TokenFailure::TryLater { .. }),
        ErrorClass::OutcomeUnknown => matches!(failure, TokenFailure::OutcomeUnknown),
    }
}

#[tokio::test]
async fn every_word_of_every_provider_means_what_its_file_says() {
    let asked = Asked::new().await;
    let mut words = 0;
    for entry in super::catalogue() {
        entry.play(&asked.peer);
        for (word, class) in &entry.template.token.errors {
            for at in [Endpoint::Code, Endpoint::Refresh] {
                if at == Endpoint::Refresh && !entry.template.refresh.tokens {
                    continue;
                }
                let trouble = Trouble::Refuses(word.clone());
                let failure = asked.meets(&entry, at, trouble).await;
                assert!(is(&failure, *class), "{} {word}: {failure:?}", entry.id);
                words += 1;
            }
        }
    }
    assert!(words > 100, "{words}");
}

#[tokio::test]
async fn what_no_provider_should_answer_is_told_apart_at_every_shape_of_answer() {
    let asked = Asked::new().await;
    for id in [
        "slack",
        "hubspot",
        "facebook",
        "withings",
        "bitbucket",
        "notion",
        "gmail",
    ] {
        let entry = entry(id);
        entry.play(&asked.peer);
        for (trouble, failure) in [
            (Trouble::Status(500), TokenFailure::OutcomeUnknown),
            (Trouble::Status(429), TokenFailure::TryLater { after: None }),
            (
                Trouble::Status(418),
                TokenFailure::Unexpected { status: 418 },
            ),
            (Trouble::Garbage, TokenFailure::OutcomeUnknown),
            (Trouble::Redirects, TokenFailure::Redirected),
        ] {
            let met = asked.meets(&entry, Endpoint::Code, trouble.clone()).await;
            assert_eq!(met, failure, "{id} {trouble:?}");
        }
    }
}

/// A word of a class at the provider `id`, whose tokens expire: what a look-up makes of it.
async fn read_after(id: &str, class: ErrorClass, times: usize) -> (World, Peer, String) {
    let (world, peer) = World::with_peer().await;
    let entry = entry(id);
    let client = entry.play(&peer);
    let connector = connector(&world, &entry, &client).await;
    connect(&world, &peer, id, &connector, json!({}))
        .await
        .expect_status(200);
    let lifetime = peer.lifetime_s(id).unwrap();
    world.pass(lifetime.unsigned_abs());
    let errors = entry.template.token.errors.iter();
    let mut words = errors.filter(|(_, own)| **own == class);
    let (word, _) = words.next().expect("a word of the class");
    for _ in 0..times {
        peer.push(id, Endpoint::Refresh, Trouble::Refuses(word.clone()));
    }
    (world, peer, connector)
}

#[tokio::test]
async fn a_provider_that_refuses_the_grant_in_its_own_words_costs_a_reconnect() {
    let (world, peer, connector) = read_after("hubspot", ErrorClass::GrantRefused, 2).await;
    let first = world.lookup("alice", &connector).await;
    first.expect_problem(503, "provider_unavailable");
    world.pass(60);
    let second = world.lookup("alice", &connector).await;
    second.expect_problem(409, "reconnect_required");
    let again = connect(&world, &peer, "hubspot", &connector, json!({})).await;
    again.expect_status(200);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn a_provider_that_wants_its_user_in_its_own_words_costs_a_reconnect_at_once() {
    let class = ErrorClass::InteractionRequired;
    let (world, _peer, connector) = read_after("outlook", class, 1).await;
    let refused = world.lookup("alice", &connector).await;
    refused.expect_problem(409, "reconnect_required");
}

#[tokio::test]
async fn what_a_provider_refuses_for_other_reasons_costs_nobody_a_connection() {
    for (id, class) in [
        ("salesforce", ErrorClass::ClientRefused),
        ("outlook", ErrorClass::RequestRefused),
        ("gmail", ErrorClass::TryLater),
        ("slack", ErrorClass::OutcomeUnknown),
    ] {
        let (world, _peer, connector) = read_after(id, class, 1).await;
        let refused = world.lookup("alice", &connector).await;
        refused.expect_problem(503, "provider_unavailable");
        world.pass(3600);
        world.token("alice", &connector).await;
    }
}
