//! What requests to DynamoDB cost, read off the requests and answers of a client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};

/// What was asked for and what it cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bill {
    /// Requests on the wire by operation, retries included.
    pub requests: BTreeMap<String, u64>,
    /// Items that were read, those that a filter dropped included.
    pub items_read: u64,
    /// Read units, as the engine reckons.
    pub read_units: f64,
    /// Write units, as the engine reckons.
    pub write_units: f64,
}

impl Bill {
    /// How many requests there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// Keeps the bill of a client that has it as its interceptor. Clones keep the same one.
///
/// It asks for the consumed capacity with each request that moves one item or reads many; of
/// batches and transactions it counts the requests alone.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Bill>>);

impl Meter {
    /// A client like this one, on this meter.
    #[must_use]
    pub fn on(&self, client: &Client) -> Client {
        let config = client.config().to_builder().interceptor(self.clone());
        Client::from_conf(config.build())
    }

    /// The bill since the last time.
    pub fn take(&self) -> Bill {
        std::mem::take(&mut *self.bill())
    }

    fn bill(&self) -> MutexGuard<'_, Bill> {
        self.0.lock().expect("no holder of the bill panics")
    }
}

fn units(consumed: Option<&ConsumedCapacity>) -> f64 {
    consumed
        .and_then(ConsumedCapacity::capacity_units)
        .expect("the engine tells what it consumed")
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        macro_rules! ask {
            ($($input:ty),*) => {$(
                if let Some(input) = context.input_mut().downcast_mut::<$input>() {
                    input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
                }
            )*};
        }
        ask!(
            QueryInput,
            ScanInput,
            GetItemInput,
            PutItemInput,
            UpdateItemInput,
            DeleteItemInput
        );
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target");
        let operation = target.unwrap_or_default().rsplit('.').next();
        let operation = operation.unwrap_or_default().to_owned();
        *self.bill().requests.entry(operation).or_default() += 1;
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else {
            return Ok(());
        };
        let mut bill = self.bill();
        macro_rules! written {
            ($($output:ty),*) => {$(
                if let Some(written) = output.downcast_ref::<$output>() {
                    bill.write_units += units(written.consumed_capacity());
                }
            )*};
        }
        written!(PutItemOutput, UpdateItemOutput, DeleteItemOutput);
        if let Some(read) = output.downcast_ref::<QueryOutput>() {
            bill.items_read += u64::try_from(read.scanned_count())?;
            bill.read_units += units(read.consumed_capacity());
        }
        if let Some(read) = output.downcast_ref::<ScanOutput>() {
            bill.items_read += u64::try_from(read.scanned_count())?;
            bill.read_units += units(read.consumed_capacity());
        }
        if let Some(read) = output.downcast_ref::<GetItemOutput>() {
            bill.items_read += u64::from(read.item().is_some());
            bill.read_units += units(read.consumed_capacity());
        }
        Ok(())
    }
}
