//! What no secret type can do, proven when this compiles (H-49, H-50).
//!
//! `Probe::<T>::SHOWN` is the inherent constant, `true`, where `T` has the trait, and the one of
//! `Lacks` otherwise: inherent items come first.

#[cfg(target_os = "linux")]
mod wiped;

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;

use serde::Serialize;
use shared::connector_client::ConnectorClient;
use shared::crypto::answer::AnswerKey;
use shared::crypto::envelope::SealingKey;
use shared::crypto::vault::WorkspaceKeys;
use shared::domain::app::PresentedApiKey;
use shared::domain::ids::{AppId, SessionId, WorkspaceId};
use shared::domain::secret::{Secret, SecretBytes};
use shared::domain::session::SessionToken;
use shared::domain::token::{TokenAnswer, TokenSet};
use shared::ports::{ClientCredentials, CodeGrant};
use zeroize::ZeroizeOnDrop;

use crate::tidy::source::{code, read};

struct Probe<T>(PhantomData<T>);

trait Lacks {
    const SHOWN: bool = false;
    const COMPARED: bool = false;
    const SERIALIZED: bool = false;
    const DEBUGGED: bool = false;
    const COPIED: bool = false;
    const WIPED: bool = false;
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

impl<T: ZeroizeOnDrop> Probe<T> {
    const WIPED: bool = true;
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
    Secret SecretBytes SealingKey AnswerKey WorkspaceKeys TokenSet TokenAnswer ClientCredentials CodeGrant
    ConnectorClient PresentedApiKey SessionToken
}

// What all of them are made of.
const _: () = assert!(Probe::<Secret>::WIPED && Probe::<SecretBytes>::WIPED);
const _: () = assert!(Probe::<SealingKey>::WIPED && !Probe::<String>::WIPED);

// Keys have nothing to say even to a developer.
const _: () = assert!(!Probe::<SealingKey>::DEBUGGED && !Probe::<WorkspaceKeys>::DEBUGGED);
const _: () = assert!(!Probe::<AnswerKey>::DEBUGGED && !Probe::<AnswerKey>::COPIED);
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
        by_previous_secret: false,
    };
    let client = ClientCredentials {
        client_id: "client".into(),
        client_secret: secret(),
        previous_secret: None,
    };
    let grant = CodeGrant {
        code: secret(),
        verifier: Some(secret()),
        redirect_uri: "https://api.example".into(),
    };
    let key = PresentedApiKey {
        workspace: WorkspaceId::parse("acme").unwrap(),
        app: AppId::parse("shop").unwrap(),
        key: secret(),
    };
    let token = SessionToken {
        session: SessionId::parse("session").unwrap(),
        secret: secret(),
    };
    let shown = format!("{tokens:?} {answer:#?} {client:?} {grant:#?} {key:?} {token:#?}");
    assert!(
        shown.contains("Secret(…)") && !shown.contains("canary"),
        "{shown}"
    );
}

/// A type that is not on the list of the first lines would go unproven.
#[test]
fn h50_every_public_type_that_holds_a_secret_is_proven_here() {
    let proven = read("tests/it/secrets.rs");
    let mut found = 0;
    for file in code(&["shared/src", "functions"]) {
        for declaration in file.text.split("pub struct ").skip(1) {
            let name = declaration.split(|c: char| !c.is_alphanumeric()).next();
            let name = name.unwrap_or_default();
            let fields = declaration.split("\n}").next().unwrap_or_default();
            let holds = ["Secret", "SecretBytes", "Zeroizing"].iter().any(|secret| {
                [": ", "<", "("].iter().any(|before| {
                    [",", ">", ")", "<"]
                        .iter()
                        .any(|after| fields.contains(&format!("{before}{secret}{after}")))
                })
            });
            if holds {
                assert!(
                    proven.contains(&format!(" {name} ")),
                    "{}: {name}",
                    file.path
                );
                found += 1;
            }
        }
    }
    assert!(found >= 8, "{found}");
}
