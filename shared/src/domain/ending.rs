//! How connect flows end: the closed set of what an app is told.

use serde::{Deserialize, Serialize};

macro_rules! endings {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $code:literal;)*) => {
        /// How a flow ended without a connection. `status` and `code` go to the app; both are
        /// part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Ending { $($(#[$doc])* #[serde(rename = $code)] $name,)* }

        impl Ending {
            /// Every ending.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// `denied`, `cancelled`, `expired` or `failed`.
            pub const fn status(self) -> &'static str {
                match self { $(Self::$name => $status,)* }
            }

            /// What happened. Also the name under which the ending is stored.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

endings! {
    /// Another account than the connected one came back (H-16).
    AccountMismatch = "failed", "account_mismatch";
    /// The user said no on our page.
    Cancelled = "cancelled", "cancelled";
    /// The provider took neither the code nor the connector's client (C11).
    CodeRefused = "failed", "code_refused";
    /// The connector was deleted, switched off for the app or changed its client meanwhile.
    ConnectorChanged = "failed", "connector_changed";
    /// The user said no at the provider (C1).
    Denied = "denied", "access_denied";
    /// The time was over (C3).
    Expired = "expired", "session_expired";
    /// The ID token that came with the tokens is not what it has to be (H-17).
    IdTokenInvalid = "failed", "id_token_invalid";
    /// The answer came from another issuer than the one asked (H-07).
    MixedUp = "failed", "mixup_suspected";
    /// A fault of ours, after the code was spent (C9).
    NotStored = "failed", "not_stored";
    /// The provider answered with an error of the request or of the connector's client, or without
    /// what its answer has to carry.
    ProviderRefused = "failed", "provider_refused";
    /// The provider was down, or its answer to the code was lost (C11).
    ProviderUnavailable = "failed", "provider_unavailable";
    /// The user has as many accounts with an alias there as anybody may have.
    TooManyAccounts = "failed", "too_many_accounts";
    /// Somebody else tried to finish (H-01).
    UserMismatch = "failed", "user_mismatch";
}
