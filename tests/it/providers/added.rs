//! Providers that nobody has built in: a file is all that a provider is.

use std::fs;

use catalogue_format::load::{File, load};
use serde_json::{Value, json};

use super::Entry;
use super::life::live;
use crate::world::World;

/// What an admin describes, once the checks of the build have nothing against it.
fn described(text: &str) -> Entry {
    let file = File {
        name: "acme".into(),
        text: text.into(),
    };
    let loaded = load(&[file], &[]).unwrap_or_else(|refused| panic!("{refused:#?}"));
    let template = &loaded[0].template;
    Entry {
        id: "custom".into(),
        template: serde_json::from_str(template).unwrap(),
        described: Some(serde_json::from_str(template).unwrap()),
    }
}

/// The notes that a file of the catalogue has to have.
fn with_notes(mut description: Value) -> String {
    description["docs_url"] = json!("https://acme.example.com/developers");
    description["unchecked"] = json!(["everything"]);
    description["setup_notes"] = json!(["Register an app."]);
    description["scopes_help"] = json!("Scopes such as files:read.");
    description.to_string()
}

#[tokio::test]
async fn the_file_that_the_page_shows_makes_a_provider_while_the_stack_runs() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ADDING_A_PROVIDER.md");
    let page = fs::read_to_string(page).unwrap();
    let file = page.split_once("```json\n").unwrap().1;
    let (file, _) = file.split_once("```").unwrap();
    let (world, peer) = World::with_peer().await;
    live(&world, &peer, &described(file)).await;
}

/// A client that signs, answers that are posted, and everything under another name.
#[tokio::test]
async fn a_provider_that_renames_nests_and_wants_signatures_is_a_file_too() {
    let file = with_notes(json!({
        "name": "Signer",
        "issuer": "https://signer.example",
        "iss_promised": true,
        "headers": {"X-Version": "2"},
        "fields": [{"name": "realm", "label": "Realm", "help": "the realm", "required": true,
            "pattern": "^[a-z]{1,10}$", "example": "main"}],
        "authorize": {"url": "https://signer.example/{realm}/authorize?kind=web",
            "params": {"audience": "{realm}"}, "scope_separator": ",", "scope_encoding": "raw",
            "response_mode": "form_post", "code_param": "ticket", "rename": {"client_id": "app"},
            "pkce": "required"},
        "callback": {"site": {"param": "siteId", "pattern": "^[A-F]{4}$", "required": true}},
        "token": {"url": "https://signer.example/{realm}/token", "auth": "private_key_jwt",
            "body": "json", "params": {"realm": "{realm}"}, "rename": {"code": "ticket"},
            "token_path": "/data/tokens", "scope_path": "/data/granted", "scope_separator": "|",
            "members": {"access_token": "accessToken", "refresh_token": "refreshToken",
                "expires_in": "ttl"}},
        "refresh": {"rotation": {"grace": 30}, "idle_days": 10, "refresh_expires_in": "refreshTtl",
            "assumed_lifetime": {"seconds": 900},
            "request": {"url": "https://signer.example/{realm}/renew", "params": {"kind": "renew"},
                "token_param": "renewal"}},
        "revoke": {"url": "https://signer.example/{realm}/revoke", "token": "refresh",
            "send": "json", "param": "value", "hint": true, "auth": "private_key_jwt",
            "params": {"site": "{captured.site}"}},
        "identity": {"id": "/data/user/0/id", "label": "/data/user/0/mail"},
        "captured": {"region": "/data/region"},
    }));
    let (world, peer) = World::with_peer().await;
    live(&world, &peer, &described(&file)).await;
}

/// No refresh tokens: a token is swapped for one that lives longer, and that for the next.
#[tokio::test]
async fn a_provider_that_swaps_access_tokens_is_a_file_too() {
    let file = with_notes(json!({
        "name": "Swapper",
        "authorize": {"url": "https://swapper.example/authorize", "omit": ["response_type"],
            "scope_param": "perms", "scope_encoding": "percent", "pkce": "off"},
        "token": {"url": "https://swapper.example/token", "auth": "secret_basic",
            "omit": ["redirect_uri"], "success_flag": "ok"},
        "after_code": {"url": "https://swapper.example/swap", "method": "post",
            "grant_type": "swap", "token_param": "short", "auth": "basic"},
        "refresh": {"rotation": "none", "assumed_lifetime": {"seconds": 86400},
            "request": {"grant_type": "renew", "token": "access", "token_param": "long",
                "min_age_seconds": 3600}},
        "revoke": {"url": "https://swapper.example/{client_id}/keys/{token}", "method": "delete",
            "token": "access", "send": "path", "auth": "client_header"},
        "identity": {"url": "https://swapper.example/graph", "json": {"query": "{me{id}}"},
            "id": "/data/me/id"},
    }));
    let (world, peer) = World::with_peer().await;
    live(&world, &peer, &described(&file)).await;
}
