//! How secrets are sealed: the envelope format, the keys and their cache.
//!
//! KMS wraps one root key for the stack, the root key seals each workspace's keys, a workspace
//! key seals messages. So KMS is called once per execution environment and five minutes,
//! whatever the number of workspaces, and destroying a workspace's row destroys its key.

pub mod answer;
pub mod envelope;
pub mod hash;
mod key_cache;
pub mod kms;
pub mod vault;
