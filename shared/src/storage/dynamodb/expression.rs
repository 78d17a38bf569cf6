//! Condition and update expressions, put together from attributes and values.
//!
//! Every name goes through a placeholder: DynamoDB reserves some 570 words, `status` and `ttl`
//! among them. Conditions are all required.

use std::collections::HashMap;
use std::mem;

use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::builders::{
    ConditionCheckBuilder, DeleteBuilder, PutBuilder, UpdateBuilder,
};

use super::super::items::value;

#[derive(Default)]
pub(super) struct Expression {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    conditions: Vec<String>,
    filters: Vec<String>,
}

impl Expression {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn set(mut self, name: &'static str, to: AttributeValue) -> Self {
        let set = format!("{} = {}", self.name(name), self.value(to));
        self.sets.push(set);
        self
    }

    /// Sets the attribute, or removes it when there is no value.
    pub(super) fn set_or_remove(self, name: &'static str, to: Option<AttributeValue>) -> Self {
        match to {
            Some(to) => self.set(name, to),
            None => self.remove(&[name]),
        }
    }

    /// Sets the attribute where there is none yet.
    pub(super) fn set_if_absent(mut self, name: &'static str, to: AttributeValue) -> Self {
        let (name, to) = (self.name(name), self.value(to));
        self.sets
            .push(format!("{name} = if_not_exists({name}, {to})"));
        self
    }

    /// Adds one to a counter that may not be there yet.
    pub(super) fn count(mut self, name: &'static str) -> Self {
        let (name, zero) = (self.name(name), self.value(value::number(0)));
        let one = self.value(value::number(1));
        self.sets
            .push(format!("{name} = if_not_exists({name}, {zero}) + {one}"));
        self
    }

    /// Adds to a counter that may not be there yet, whatever stands there by then.
    pub(super) fn add(mut self, name: &'static str, count: u64) -> Self {
        let add = format!("{} {}", self.name(name), self.value(value::number(count)));
        self.adds.push(add);
        self
    }

    pub(super) fn remove(mut self, names: &[&'static str]) -> Self {
        for name in names {
            let name = self.name(name);
            self.removes.push(name);
        }
        self
    }

    pub(super) fn equals(self, name: &'static str, to: AttributeValue) -> Self {
        self.compare(name, "=", to)
    }

    pub(super) fn differs(self, name: &'static str, from: AttributeValue) -> Self {
        self.compare(name, "<>", from)
    }

    pub(super) fn less(self, name: &'static str, than: AttributeValue) -> Self {
        self.compare(name, "<", than)
    }

    pub(super) fn more(self, name: &'static str, than: AttributeValue) -> Self {
        self.compare(name, ">", than)
    }

    pub(super) fn begins_with(mut self, name: &'static str, prefix: &str) -> Self {
        let (name, prefix) = (self.name(name), self.value(value::text(prefix)));
        self.when(format!("begins_with({name}, {prefix})"))
    }

    fn compare(mut self, name: &'static str, operator: &str, to: AttributeValue) -> Self {
        let condition = format!("{} {operator} {}", self.name(name), self.value(to));
        self.when(condition)
    }

    pub(super) fn one_of(mut self, name: &'static str, texts: &[&str]) -> Self {
        let name = self.name(name);
        let texts = texts.iter().map(|text| self.value(value::text(*text)));
        let texts = texts.collect::<Vec<_>>().join(", ");
        self.when(format!("{name} IN ({texts})"))
    }

    pub(super) fn exists(mut self, name: &'static str) -> Self {
        let condition = format!("attribute_exists({})", self.name(name));
        self.when(condition)
    }

    pub(super) fn absent(mut self, name: &'static str) -> Self {
        let condition = format!("attribute_not_exists({})", self.name(name));
        self.when(condition)
    }

    pub(super) fn absent_or_less(self, name: &'static str, than: AttributeValue) -> Self {
        self.absent_or(name, "<", than)
    }

    pub(super) fn absent_or_at_most(self, name: &'static str, than: AttributeValue) -> Self {
        self.absent_or(name, "<=", than)
    }

    fn absent_or(self, name: &'static str, operator: &str, than: AttributeValue) -> Self {
        self.any_of(|any| any.absent(name).compare(name, operator, than))
    }

    /// One of the conditions that `add` adds is enough.
    pub(super) fn any_of(mut self, add: impl FnOnce(Self) -> Self) -> Self {
        let required = mem::take(&mut self.conditions);
        let mut added = add(self);
        let enough = mem::replace(&mut added.conditions, required);
        added.when(format!("({})", enough.join(" OR ")))
    }

    pub(super) fn between(
        mut self,
        name: &'static str,
        from: AttributeValue,
        to: AttributeValue,
    ) -> Self {
        let (name, from, to) = (self.name(name), self.value(from), self.value(to));
        self.when(format!("{name} BETWEEN {from} AND {to}"))
    }

    /// Leaves out of a query's answer what has not this value.
    pub(super) fn only(mut self, name: &'static str, value: AttributeValue) -> Self {
        let filter = format!("{} = {}", self.name(name), self.value(value));
        self.filters.push(filter);
        self
    }

    /// Whether a query leaves anything out.
    pub(super) fn filters(&self) -> bool {
        !self.filters.is_empty()
    }

    fn when(mut self, condition: String) -> Self {
        self.conditions.push(condition);
        self
    }

    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    fn parts(self) -> Parts {
        let mut update = String::new();
        for (verb, clauses) in [
            ("SET", &self.sets),
            ("REMOVE", &self.removes),
            ("ADD", &self.adds),
        ] {
            if !clauses.is_empty() {
                update.push_str(&format!("{verb} {} ", clauses.join(", ")));
            }
        }
        Parts {
            update: Some(update.trim_end().to_owned()).filter(|text| !text.is_empty()),
            condition: Some(self.conditions.join(" AND ")).filter(|text| !text.is_empty()),
            filter: Some(self.filters.join(" AND ")).filter(|text| !text.is_empty()),
            names: Some(self.names).filter(|names| !names.is_empty()),
            values: Some(self.values).filter(|values| !values.is_empty()),
        }
    }
}

impl Expression {
    /// The conditions as the key condition of a query, with its filters.
    pub(super) fn apply_to_query(self, query: QueryFluentBuilder) -> QueryFluentBuilder {
        let parts = self.parts();
        query
            .set_key_condition_expression(parts.condition)
            .set_filter_expression(parts.filter)
            .set_expression_attribute_names(parts.names)
            .set_expression_attribute_values(parts.values)
    }
}

/// An expression as requests take it: DynamoDB refuses what is there and empty.
struct Parts {
    update: Option<String>,
    condition: Option<String>,
    filter: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<HashMap<String, AttributeValue>>,
}

/// The builders have the same setters and no trait in common.
macro_rules! apply {
    ($($name:ident($builder:ty) $($update:ident)?;)*) => {
        impl Expression {
            $(pub(super) fn $name(self, builder: $builder) -> $builder {
                let parts = self.parts();
                builder
                    $(.$update(parts.update))?
                    .set_condition_expression(parts.condition)
                    .set_expression_attribute_names(parts.names)
                    .set_expression_attribute_values(parts.values)
            })*
        }
    };
}

apply! {
    apply_to_update(UpdateItemFluentBuilder) set_update_expression;
    apply_to_put(PutItemFluentBuilder);
    in_transaction_update(UpdateBuilder) set_update_expression;
    in_transaction_put(PutBuilder);
    in_transaction_delete(DeleteBuilder);
    in_transaction_check(ConditionCheckBuilder);
}
