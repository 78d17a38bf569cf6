//! What no secret type can do, proven when this compiles (H-49, H-50).
//!
//! `Probe::<T>::SHOWN` is the inherent constant, `true`, where `T` has the trait, and the one of
//! `Lacks` otherwise: inherent items come first.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;

use serde::Serialize;
use shared::crypto::envelope::SealingKey;
use shared::crypto::vault::WorkspaceKeys;
use shared::domain::secret::{Secret, SecretBytes};
use shared::domain::token::{TokenAnswer, TokenSet};
use shared::ports::{ClientCredentials, CodeGrant};

struct Probe<T>(PhantomData<T>);

trait Lacks {
    const SHOWN: bool = false;
    const COMPARED: bool = false;
    const SERIALIZED: bool = false;
    const DEBUGGED: bool = false;
    const COPIED: bool = false;
}

impl<T> Lacks for Probe<T> {}

impl<T: Display> Probe<T> {
    const SHOWN: bool = true;
}

impl<T: PartialEq> Probe<T> {
    const COMPARED: bool = true;
}

impl<T: Serialize> Probe<T> {
    const SERIALIZED: bool = true;
}

impl<T: Debug> Probe<T> {
    const DEBUGGED: bool = true;
}

impl<T: Clone> Probe<T> {
    const COPIED: bool = true;
}

/// A function could not: it would be compiled once for all types, without the inherent items.
macro_rules! keeps_to_itself {
    ($($secret:ty)*) => {$(
        const _: () = assert!(!Probe::<$secret>::SHOWN);
        const _: () = assert!(!Probe::<$secret>::COMPARED);
        const _: () = assert!(!Probe::<$secret>::SERIALIZED);
    )*};
}

keeps_to_itself! {
    Secret SecretBytes SealingKey WorkspaceKeys TokenSet TokenAnswer ClientCredentials CodeGrant
}

// Keys have nothing to say even to a developer.
const _: () = assert!(!Probe::<SealingKey>::DEBUGGED && !Probe::<WorkspaceKeys>::DEBUGGED);
// There is one of each.
const _: () = assert!(!Probe::<SealingKey>::COPIED && !Probe::<WorkspaceKeys>::COPIED);
const _: () = assert!(!Probe::<CodeGrant>::COPIED);

// That the probe finds what is there.
const _: () = assert!(Probe::<String>::SHOWN && Probe::<String>::COMPARED);
const _: () = assert!(Probe::<String>::SERIALIZED && Probe::<String>::DEBUGGED);
const _: () = assert!(Probe::<Secret>::COPIED && Probe::<Secret>::DEBUGGED);

#[test]
fn h50_debug_of_what_holds_a_secret_shows_no_character_of_it() {
    let secret = || Secret::new("canary");
    let tokens = TokenSet {
        access_token: secret(),
        refresh_token: Some(secret()),
        connection_config: BTreeMap::new(),
    };
    let answer = TokenAnswer {
        access_token: secret(),
        refresh_token: Some(secret()),
        lifetime: None,
        refresh_lifetime: None,
        scopes: None,
        connection_config: BTreeMap::new(),
        account: None,
        id_token: Some(secret()),
    };
    let client = ClientCredentials {
        client_id: "client".into(),
        client_secret: secret(),
    };
    let grant = CodeGrant {
        code: secret(),
        verifier: Some(secret()),
        redirect_uri: "https://api.example".into(),
    };
    let shown = format!("{tokens:?} {answer:#?} {client:?} {grant:#?}");
    assert!(
        shown.contains("Secret(…)") && !shown.contains("canary"),
        "{shown}"
    );
}
