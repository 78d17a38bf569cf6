//! Everything that runs in one process. One binary, a folder a capability.

mod store;
