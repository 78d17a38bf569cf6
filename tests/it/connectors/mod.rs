//! Stories of connectors beyond making and editing one (`admin.rs` has those).

mod chosen_ids;
mod counts;
mod disabled;
mod secrets;
