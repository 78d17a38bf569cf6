//! A provider that signs its callbacks with the client's secret.

use catalogue_format::AskedOf;
use serde_json::json;
use testkit::peer::{Endpoint, Peer, Returned};

use super::entry;
use super::life::{connector, consented};
use crate::world::{API, Call, World};

/// Begins at Shopify and answers the callback's path, with its query, and the browser's cookie.
async fn callback(world: &World, peer: &Peer, id: &str) -> (String, String) {
    let asked = json!(entry("shopify").config(AskedOf::User));
    let (returned, cookie) = consented(world, peer, "shopify", id, asked).await;
    let Returned::To(url) = returned else {
        panic!("{returned:?}")
    };
    (url.strip_prefix(API).unwrap().to_owned(), cookie)
}

/// The signature covers every parameter: one more, and the code is not sent anywhere.
#[tokio::test]
async fn a_callback_that_the_provider_did_not_sign_redeems_no_code() {
    let (world, peer) = World::with_peer().await;
    let entry = entry("shopify");
    let client = entry.play(&peer);
    let id = connector(&world, &entry, &client).await;

    let (path, cookie) = callback(&world, &peer, &id).await;
    let more = Call::get(&format!("{path}&shop=evil")).cookie(&cookie);
    let back = world.send(more).await.expect_status(303).location_params();
    let refused = world.complete("alice", &back["code"]).await;
    refused.expect_problem(502, "code_refused");

    let (path, cookie) = callback(&world, &peer, &id).await;
    let (unsigned, _) = path.split_once("&hmac=").unwrap();
    let back = world.send(Call::get(unsigned).cookie(&cookie)).await;
    let back = back.expect_status(303).location_params();
    assert_eq!(back["code"], "provider_refused");

    let asked = peer.asked("shopify");
    assert!(!asked.contains(&Endpoint::Code), "{asked:?}");
}

/// As it is when a secret is replaced while users are away. This peer knows one secret only, and
/// not the one that is tried first.
#[tokio::test]
async fn a_callback_that_the_previous_secret_signed_is_believed() {
    let (world, peer) = World::with_peer().await;
    let entry = entry("shopify");
    let client = entry.play(&peer);
    let id = connector(&world, &entry, &client).await;
    let (path, cookie) = callback(&world, &peer, &id).await;
    let change = json!({"client_secret": "the next one", "keep_previous_secret": true});
    world.change_connector(&id, &change).await;
    let back = world.send(Call::get(&path).cookie(&cookie)).await;
    let back = back.expect_status(303).location_params();
    world.complete("alice", &back["code"]).await;
    let asked = peer.asked("shopify");
    assert!(asked.contains(&Endpoint::Code), "{asked:?}");
}
