//! The catalogue as a page for people: docs/PROVIDERS.md.

use std::fmt::Write as _;

use catalogue_format::load::Loaded;
use catalogue_format::{AskedOf, Notes, Pkce, RevocationReach, RevokedToken, Rotation, Template};

/// A provider as the page tells of it.
struct Entry {
    id: String,
    template: Template,
    notes: Notes,
}

/// The page, in Markdown.
///
/// # Panics
/// When what is loaded is not what the format writes.
pub fn providers_page(loaded: &[Loaded]) -> String {
    let entries = loaded.iter().map(|one| Entry {
        id: one.id.clone(),
        template: serde_json::from_str(&one.template).expect("a template"),
        notes: serde_json::from_str(&one.notes).expect("notes"),
    });
    let entries: Vec<Entry> = entries.collect();
    let count = |holds: &dyn Fn(&Entry) -> bool| entries.iter().filter(|one| holds(one)).count();
    let revocable = count(&|one| one.template.revoke.is_some());
    let verified = count(&|one| one.notes.verified_on.is_some());
    let mut page = format!(
        "# Providers\n\nMade from `shared/catalogue` by `make reference`. {} providers, and `custom` for any \
         other. Of these {revocable} can be asked to end a grant when a user disconnects, and {verified} were \
         compared with the vendor's own pages on the day given; what rests on general knowledge is listed as \
         unchecked.\n\nPKCE: *required* by the provider, *sent* where it takes or ignores it, or *off* where it \
         refuses it. Refresh: whether a refresh gives a new refresh token, and what becomes of the old one. \
         Revocation: *grant* ends the connection's grant, *account* whatever the account has granted to the \
         client. Life: after how many days a grant dies unused, or whatever is done.\n\n\
         | id | provider | PKCE | refresh | revocation | life | verified |\n|---|---|---|---|---|---|---|\n",
        entries.len()
    );
    for entry in &entries {
        let Entry {
            id,
            template,
            notes,
        } = entry;
        let _ = writeln!(
            page,
            "| [`{id}`](#{id}) | {} | {} | {} | {} | {} | {} |",
            cell(&template.name),
            pkce(template),
            refresh(template),
            revocation(template),
            life(template),
            notes.verified_on.as_deref().unwrap_or("no"),
        );
    }
    for entry in &entries {
        write_entry(&mut page, entry);
    }
    page
}

fn write_entry(page: &mut String, entry: &Entry) {
    let Entry {
        id,
        template,
        notes,
    } = entry;
    let _ = write!(page, "\n## {id}\n\n{}.", template.name);
    if let Some(url) = &notes.docs_url {
        let _ = write!(page, " Make a client at <{url}>.");
    }
    page.push_str("\n\n");
    for note in &notes.setup_notes {
        let _ = writeln!(page, "- {note}");
    }
    if !template.fields.is_empty() {
        page.push_str("\n| field | asked of | |\n|---|---|---|\n");
        for field in &template.fields {
            let asked = match field.asked {
                AskedOf::Admin => "the admin",
                AskedOf::User => "each user",
            };
            let default = field.default.as_ref();
            let default = default.map(|value| format!(" Default: `{value}`."));
            let _ = writeln!(
                page,
                "| `{}` | {asked} | {} For example `{}`.{} |",
                field.name,
                cell(&field.help),
                field.example,
                default.unwrap_or_default(),
            );
        }
    }
    let _ = writeln!(page, "\nScopes: {}", notes.scopes_help);
    if !notes.scopes.is_empty() {
        page.push_str("\n| scope | |\n|---|---|\n");
        for scope in &notes.scopes {
            let _ = writeln!(page, "| `{}` | {} |", scope.scope, cell(&scope.says));
        }
    }
    if !notes.unchecked.is_empty() {
        let named = notes.unchecked.iter().map(|member| format!("`{member}`"));
        let named: Vec<_> = named.collect();
        let _ = writeln!(page, "\nUnchecked: {}.", named.join(", "));
    }
    if !notes.sources.is_empty() {
        let named: Vec<_> = notes.sources.iter().map(|url| format!("<{url}>")).collect();
        let _ = writeln!(page, "\nSources: {}", named.join(", "));
    }
}

fn pkce(template: &Template) -> &'static str {
    match template.authorize.pkce {
        Pkce::Required => "required",
        Pkce::Optional => "sent",
        Pkce::Off => "off",
    }
}

fn refresh(template: &Template) -> String {
    let refresh = &template.refresh;
    let asked = refresh.request.as_ref();
    if asked.is_some_and(|asked| asked.token == RevokedToken::Access) {
        return "of the access token".into();
    }
    match refresh.rotation {
        _ if !refresh.tokens => "none".into(),
        Rotation::None => "the token stays".into(),
        Rotation::Sliding => "new, old stays".into(),
        Rotation::Strict => "new, old dies".into(),
        Rotation::Grace(seconds) => format!("new, old dies after {seconds} s"),
    }
}

fn revocation(template: &Template) -> &'static str {
    match template.revoke.as_ref().map(|revoke| revoke.reach) {
        None => "none",
        Some(RevocationReach::Grant) => "grant",
        Some(RevocationReach::Account) => "account",
    }
}

fn life(template: &Template) -> String {
    let days = |days: Option<u32>, word: &str| days.map(|days| format!("{days} d{word}"));
    let refresh = &template.refresh;
    let limits = [
        days(refresh.idle_days, " unused"),
        days(refresh.hard_limit_days, ""),
    ];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    limits.join(", ")
}

/// Text as it fits a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
