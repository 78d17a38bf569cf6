//! How a provider is described: the format of the catalogue's files, which an admin may use too,
//! and what a description must not say.
//!
//! No I/O and no clock. The build of `shared` hands its files to [`load`](load::load) and keeps
//! what comes out; at run time the same types are read from what it kept.

mod blank;
mod check;
pub mod load;
mod locate;
mod merge;
mod notes;
mod template;
mod words;

pub use blank::{blanks, fill};
pub use check::{Fault, UrlRule, check, matches, public_https};
pub use notes::{NOTES, Notes, ScopeNote, check_notes};
pub use template::{
    AfterCode, AssumedLifetime, Authorize, CallbackValue, Field, IdToken, Identity, Refresh,
    RefreshRequest, Revoke, Rotation, Template, Token,
};
pub use words::{
    AskedOf, BodyEncoding, ClientAuth, ErrorClass, Method, Pkce, RequestAuth, ResponseMode,
    RevocationAuth, RevocationReach, RevokedToken, ScopeEncoding, TokenCarrier, is_protocol_param,
};
