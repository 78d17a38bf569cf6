//! The catalogue's files become what the functions carry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::check::{Fault, check, public_https};
use crate::notes::{self, Notes, check_notes};
use crate::template::Template;
use crate::{locate, merge};

/// One file: its name without `.json`, and its text.
#[derive(Clone, Debug)]
pub struct File {
    /// The name.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A provider as it is carried: JSON as short as it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The provider's id.
    pub id: String,
    /// What requests depend on: a [`Template`].
    pub template: String,
    /// What people read: [`Notes`].
    pub notes: String,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which file, such as `providers/acme.json`.
    pub file: String,
    /// Which line of it, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.fault)
    }
}

/// A description that was read from JSON.
#[derive(Clone, Debug)]
pub struct Description {
    /// What requests depend on.
    pub template: Template,
    /// What people read.
    pub notes: Notes,
}

impl Description {
    /// Reads a whole description. Notes may be missing.
    ///
    /// # Errors
    /// The member that is not of its form.
    pub fn read(json: Value) -> Result<Self, Fault> {
        let Value::Object(mut members) = json else {
            return Err(Fault::new("", "must be an object"));
        };
        let notes = notes::take(&mut members);
        Ok(Self {
            template: typed(members)?,
            notes: typed(notes)?,
        })
    }
}

fn typed<T: serde::de::DeserializeOwned>(members: Map<String, Value>) -> Result<T, Fault> {
    serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| {
        let member = error.path().to_string();
        Fault::new(
            if member == "." { String::new() } else { member },
            error.inner().to_string(),
        )
    })
}

/// All providers in the order of their ids.
///
/// # Errors
/// Everything that is wrong with any file.
pub fn load(providers: &[File], families: &[File]) -> Result<Vec<Loaded>, Vec<Refused>> {
    let mut refused = Vec::new();
    let mut bases = BTreeMap::new();
    for family in families {
        match base(family) {
            Ok(members) => drop(bases.insert(family.name.as_str(), (family, members))),
            Err(one) => refused.push(one),
        }
    }
    let mut loaded = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut extended = BTreeSet::new();
    for file in providers {
        match provider(file, &bases, &mut extended) {
            Ok((template, one)) => {
                if !names.insert(template.name.clone()) {
                    refused.push(at(
                        file,
                        "providers",
                        Fault::new("name", "is another provider's too"),
                    ));
                }
                loaded.insert(one.id.clone(), one);
            }
            Err(faults) => refused.extend(faults),
        }
    }
    for (name, (family, _)) in &bases {
        if !extended.contains(*name) {
            refused.push(at(
                family,
                "families",
                Fault::new("", "is extended by no provider"),
            ));
        }
    }
    if refused.is_empty() {
        Ok(loaded.into_values().collect())
    } else {
        Err(refused)
    }
}

type Bases<'a> = BTreeMap<&'a str, (&'a File, Map<String, Value>)>;

fn base(family: &File) -> Result<Map<String, Value>, Refused> {
    let members = object(family, "families")?;
    if members.contains_key("extends") {
        let fault = Fault::new("extends", "is not for a family");
        return Err(at(family, "families", fault));
    }
    Ok(members)
}

fn provider(
    file: &File,
    bases: &Bases<'_>,
    extended: &mut BTreeSet<String>,
) -> Result<(Template, Loaded), Vec<Refused>> {
    let mut own = object(file, "providers").map_err(|refused| vec![refused])?;
    let here = |fault| at(file, "providers", fault);
    let id_fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if file.name.is_empty() || file.name.len() > 64 || !file.name.chars().all(id_fits) {
        let fault = Fault::new("", "has a name of other characters than a-z, 0-9 and _");
        return Err(vec![here(fault)]);
    }
    let family = match own.remove("extends") {
        None => None,
        Some(Value::String(name)) if bases.contains_key(name.as_str()) => {
            extended.insert(name.clone());
            bases.get(name.as_str())
        }
        Some(name) => {
            let fault = Fault::new("extends", format!("there is no family {name}"));
            return Err(vec![here(fault)]);
        }
    };
    let mut whole = Value::Object(family.map(|(_, base)| base.clone()).unwrap_or_default());
    merge::merge(&mut whole, Value::Object(own));
    // A member may be the family's.
    let place = |fault: Fault| {
        let depth = |file: &File| locate::member(&file.text, &fault.member).0;
        match family {
            Some((base, _)) if depth(base) > depth(file) => at(base, "families", fault),
            _ => at(file, "providers", fault),
        }
    };
    let Value::Object(mut template) = whole.clone() else {
        return Err(vec![here(Fault::new("", "must be an object"))]);
    };
    let notes = notes::take(&mut template);
    let read = Description::read(whole).map_err(|fault| vec![place(fault)])?;
    let mut faults = check(&read.template, &public_https);
    faults.extend(check_notes(&read.notes));
    if !faults.is_empty() {
        return Err(faults.into_iter().map(place).collect());
    }
    let loaded = Loaded {
        id: file.name.clone(),
        template: Value::Object(template).to_string(),
        notes: Value::Object(notes).to_string(),
    };
    Ok((read.template, loaded))
}

fn object(file: &File, folder: &str) -> Result<Map<String, Value>, Refused> {
    serde_json::from_str(&file.text).map_err(|error| Refused {
        file: format!("{folder}/{}.json", file.name),
        line: error.line(),
        fault: Fault::new("", error.to_string()),
    })
}

fn at(file: &File, folder: &str, fault: Fault) -> Refused {
    Refused {
        file: format!("{folder}/{}.json", file.name),
        line: locate::member(&file.text, &fault.member).1,
        fault,
    }
}

#[cfg(test)]
mod tests;
