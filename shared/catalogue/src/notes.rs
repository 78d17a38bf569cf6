//! What people read about a provider. No request depends on it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::Fault;

/// The members of a description that are for people.
pub const NOTES: [&str; 7] = [
    "docs_url",
    "verified_on",
    "sources",
    "unchecked",
    "setup_notes",
    "scopes_help",
    "scopes",
];

/// What stands in [`Notes::unchecked`] when nothing was compared.
const EVERYTHING: &str = "everything";

/// What an admin should know.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notes {
    /// Where the admin creates an OAuth client, or reads how.
    pub docs_url: Option<String>,
    /// The day the facts were last compared with [`Notes::sources`].
    pub verified_on: Option<String>,
    /// The vendor's own pages the facts are from.
    pub sources: Vec<String>,
    /// Members whose value rests on general knowledge and on no page of the vendor's.
    pub unchecked: Vec<String>,
    /// What the admin has to know, a sentence each.
    pub setup_notes: Vec<String>,
    /// How the provider's scopes look.
    pub scopes_help: String,
    /// The scopes that are used most.
    pub scopes: Vec<ScopeNote>,
}

/// What a scope lets an app do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeNote {
    /// The scope, as it is asked for.
    pub scope: String,
    /// What it allows, in a few words.
    pub says: String,
}

/// The members of `description` that are for people, taken out of it.
pub(crate) fn take(description: &mut Map<String, Value>) -> Map<String, Value> {
    let notes = NOTES.iter();
    notes
        .filter_map(|name| Some(((*name).to_owned(), description.remove(*name)?)))
        .collect()
}

/// What notes of a catalogue file must have, and must not say.
pub fn check_notes(notes: &Notes) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut require = |holds: bool, member: &str, reason: &str| {
        if !holds {
            faults.push(Fault::new(member, reason));
        }
    };
    let is_page = |page: &String| page.starts_with("https://");
    let page = notes.docs_url.as_ref();
    require(
        page.is_some_and(is_page),
        "docs_url",
        "must be a page (https://)",
    );
    require(
        notes.sources.iter().all(is_page),
        "sources",
        "must be pages (https://)",
    );
    require(
        !notes.setup_notes.is_empty(),
        "setup_notes",
        "must not be empty",
    );
    require(
        !notes.scopes_help.is_empty(),
        "scopes_help",
        "must not be empty",
    );
    let mut sentences = notes.setup_notes.iter().chain([&notes.scopes_help]);
    require(
        sentences.all(|sentence| sentence.trim() == sentence && !sentence.contains('\n')),
        "setup_notes",
        "must be single lines without blanks around them",
    );
    match &notes.verified_on {
        Some(day) => {
            require(is_day(day), "verified_on", "must be a day, as 2026-11-23");
            require(
                !notes.sources.is_empty(),
                "sources",
                "must not be empty with verified_on",
            );
            let all = notes.unchecked.iter().any(|member| member == EVERYTHING);
            require(!all, "unchecked", "must not be everything with verified_on");
        }
        None => require(
            notes.unchecked == [EVERYTHING],
            "unchecked",
            "must be [\"everything\"] without verified_on",
        ),
    }
    let mut scopes: Vec<&str> = notes
        .scopes
        .iter()
        .map(|note| note.scope.as_str())
        .collect();
    scopes.sort_unstable();
    require(
        scopes.windows(2).all(|pair| pair[0] != pair[1]),
        "scopes",
        "must name a scope once",
    );
    require(scopes.len() <= 20, "scopes", "must be at most 20");
    let mut told = notes.scopes.iter();
    require(
        told.all(|note| !note.scope.is_empty() && !note.says.is_empty()),
        "scopes",
        "must say something of each scope",
    );
    faults
}

/// Whether a text has the form of a day (RFC 3339 full-date).
fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}
