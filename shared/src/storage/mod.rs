//! The stores on DynamoDB.
//!
//! [`schema`] is the only file that spells a table key or an attribute, `items` turns domain
//! values into items and back, [`dynamodb`] makes the requests. Nothing here scans, and nothing
//! decides: a write carries the domain's condition and reports how it went.

pub mod dynamodb;
mod items;
pub mod schema;

pub use dynamodb::DynamoStore;
pub use schema::Tables;
