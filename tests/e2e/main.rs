//! The deployed stack end to end, over HTTP only: the real template, gateway, authorizer,
//! binaries, KMS, events and schedule, on the machine's own emulated AWS.
//!
//! `make test` deploys a stack and names it in `GRANTRY_E2E_STACK`. Every story has a workspace,
//! an OAuth client and accounts of its own, so that all run at once. Time here is real; where a
//! story waits, it waits for something to be so, up to a deadline.
//!
//! Most stories speak HTTP as a browser would; `walks`, `windows` and `scripts` are walked in a
//! real one.

mod attacks;
mod browser;
mod flow;
mod identity;
mod isolation;
mod refresh;
mod scripts;
mod site;
mod stack;
mod walks;
mod windows;
