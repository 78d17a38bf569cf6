//! What the code never does, read from the code: docs/ARCHITECTURE.md, its code map and "What
//! never happens", as far as neither the compiler nor clippy.toml nor infra/local/check.py sees
//! to it. A rule that the code outgrows is changed there first, and then here.

mod coverage;
mod numbers;
mod proofs;
pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};

use shared::storage::schema::{APP_PK, BY_APP, BY_CONNECTOR, BY_USER, GSI_PK, GSI_SK, PK, SK, TTL};

use source::{code, files, lines_where, mentions, nowhere, read, words_after};

const BUILT: [&str; 2] = ["shared/src", "functions"];
const WIRING: &str = "shared/src/runtime/wiring.rs";

/// What only some files may name; a folder ends with a slash.
const DOORS: &[(&str, &[&str])] = &[
    // AWS.
    ("aws_config", &[WIRING]),
    ("aws_sdk_kms", &["shared/src/crypto/kms.rs", WIRING]),
    (
        "aws_sdk_dynamodb",
        &[
            "shared/src/storage/dynamodb/",
            "shared/src/storage/items/",
            WIRING,
        ],
    ),
    (
        "aws_sdk_eventbridge",
        &["shared/src/events/eventbridge.rs", WIRING],
    ),
    (
        "lambda_http",
        &[
            "shared/src/runtime/lambda.rs",
            "shared/src/http/identity.rs",
        ],
    ),
    // The network.
    (
        "reqwest",
        &[
            "shared/src/oauth/http_client.rs",
            "shared/src/oauth/resolver.rs",
        ],
    ),
    ("rustls", &["shared/src/oauth/http_client.rs"]),
    ("tokio::net", &[]),
    // Ways around the verification of certificates.
    ("dangerous", &[]),
    ("tls_danger_accept_invalid_certs", &[]),
    ("danger_accept_invalid_certs", &[]),
    ("std::net::TcpStream", &[]),
    // Time. An outbound call is cut short by a timer of its own.
    ("SystemTime", &["shared/src/runtime/system.rs"]),
    ("Instant", &["shared/src/runtime/system.rs"]),
    ("now_utc", &[]),
    (
        "tokio::time",
        &[
            "shared/src/runtime/system.rs",
            "shared/src/oauth/http_client.rs",
            "shared/src/oauth/provider_api.rs",
        ],
    ),
    // Randomness, the environment, the disk.
    ("aws_lc_rs::rand", &["shared/src/runtime/system.rs"]),
    ("std::env", &["shared/src/runtime/config.rs"]),
    ("std::fs", &[]),
    ("std::process", &[]),
];

#[test]
fn each_way_out_of_the_process_has_one_door() {
    let code = code(&BUILT);
    for (name, doors) in DOORS {
        let is_door = |path: &str| {
            let mut doors = doors.iter();
            doors.any(|door| path == *door || door.ends_with('/') && path.starts_with(door))
        };
        nowhere(
            &format!("{name} outside {doors:?}"),
            lines_where(&code, |file, line| {
                mentions(line, name) && !is_door(&file.path)
            }),
        );
        for door in *doors {
            let used = |path: &str| path == *door || path.starts_with(door);
            let used = lines_where(&code, |file, line| used(&file.path) && mentions(line, name));
            assert!(!used.is_empty(), "{door} does not name {name} any more");
        }
    }
}

/// The rows of the code map: a module of `shared` and what it may import.
fn code_map() -> BTreeMap<String, BTreeSet<String>> {
    let map = read("docs/ARCHITECTURE.md");
    let rows = map
        .lines()
        .filter(|line| line.starts_with("| `shared/src/"));
    let rows: Vec<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let module = cells[1].trim_matches('`').trim_start_matches("shared/src/");
            (
                module.trim_end_matches(".rs").to_owned(),
                cells[3].to_owned(),
            )
        })
        .collect();
    let all: BTreeSet<_> = rows.iter().map(|(module, _)| module.clone()).collect();
    let allowed = |may: &str| match may {
        "nothing of ours" => BTreeSet::new(),
        "everything in `shared`" => all.clone(),
        list => list.split(", ").map(str::to_owned).collect(),
    };
    let map: BTreeMap<_, _> = rows
        .iter()
        .map(|(module, may)| (module.clone(), allowed(may)))
        .collect();
    for (module, may) in &map {
        assert!(may.is_subset(&all), "{module} may import {may:?}?");
    }
    map
}

#[test]
fn modules_import_what_the_code_map_allows() {
    let map = code_map();
    let mut seen = BTreeSet::new();
    let mut forbidden = Vec::new();
    for file in code(&["shared/src"]) {
        let inside = file
            .path
            .trim_start_matches("shared/src/")
            .trim_end_matches(".rs");
        let path: Vec<_> = inside.trim_end_matches("/mod").split('/').collect();
        let module = path[0];
        if module == "lib" {
            continue;
        }
        seen.insert(module.to_owned());
        let may = map
            .get(module)
            .unwrap_or_else(|| panic!("{module} is not on the code map"));
        forbidden.extend(
            words_after(&file.text, "crate::")
                .filter(|target| *target != module && !may.contains(*target))
                .map(|target| format!("{}: crate::{target}", file.path)),
        );
        // A path that climbs out of the module would go unseen.
        let out = "super::".repeat(path.len());
        forbidden.extend(
            file.text
                .contains(&out)
                .then(|| format!("{}: {out}", file.path)),
        );
    }
    assert_eq!(seen, map.into_keys().collect(), "the code map's modules");
    nowhere("imports against the code map", forbidden);
}

#[test]
fn the_domain_uses_no_crate_that_does_anything() {
    let pure = [
        "base64",
        "catalogue_format",
        "ipnet",
        "serde",
        "thiserror",
        "time",
        "url",
        "zeroize",
    ];
    let others: Vec<_> = dependencies("shared/Cargo.toml")
        .into_iter()
        .map(|name| name.replace('-', "_"))
        .filter(|name| !pure.contains(&name.as_str()))
        .collect();
    let code = code(&["shared/src/domain"]);
    let used = lines_where(&code, |_, line| {
        others
            .iter()
            .any(|name| mentions(line, name) && line.contains(&format!("{name}::")))
    });
    nowhere("crates in the domain", used);
}

#[test]
fn a_function_is_built_from_shared_alone_and_nothing_from_the_test_kit() {
    let functions: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(functions.len(), 8);
    let ours =
        |name: &String| functions.contains(name) || name == "testkit" || name.starts_with("aws-");
    for function in &functions {
        let found = dependencies(&format!("functions/{function}/Cargo.toml"));
        assert!(found.contains("shared"), "{function}");
        nowhere(function, found.into_iter().filter(ours));
    }
    let found = dependencies("shared/Cargo.toml").into_iter();
    nowhere(
        "shared",
        found.filter(|name| functions.contains(name) || name == "testkit"),
    );
}

/// The crates that a package is built from; those of its tests are others.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let (_, rest) = text
        .split_once("\n[dependencies]\n")
        .expect("a table of them");
    let table = rest.split("\n[").next().unwrap_or_default();
    let names = table.lines().filter(|line| !line.starts_with('#'));
    let names = names.filter_map(|line| line.split(['.', ' ']).next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What a function does is in its library, where tests reach it, and knows ports.
#[test]
fn only_main_wires_adapters_and_it_does_nothing_else() {
    for file in code(&["functions"]) {
        let is_main = file.path.ends_with("/main.rs");
        let functions = words_after(&file.text, "fn ").count();
        assert!(!is_main || functions == 1, "{}", file.path);
        let adapters = [
            "runtime::wiring",
            "shared::storage",
            "crypto::kms",
            "events::eventbridge",
            "http_client",
        ];
        let named = adapters.iter().filter(|name| file.text.contains(**name));
        nowhere(
            &file.path,
            named.filter(|_| !is_main).map(|name| (*name).to_owned()),
        );
    }
}

#[test]
fn no_code_asks_which_provider_it_is_dealing_with() {
    let profiles = std::fs::read_dir(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/catalogue/providers"
    ));
    let ids: Vec<_> = profiles
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(ids.len() >= 10, "{ids:?}");
    // An id is a text, and many of them are words of other things as well.
    let found = lines_where(&code(&BUILT), |_, line| {
        let mut texts = line.split('"').skip(1).step_by(2);
        texts.any(|text| ids.contains(&text.to_lowercase()))
    });
    nowhere("a provider's name in code", found);
}

#[test]
fn only_the_schema_spells_keys_and_nothing_scans() {
    let code = code(&BUILT);
    let schema = "shared/src/storage/schema.rs";
    let spelled: BTreeSet<_> = code
        .iter()
        .filter(|file| file.path == schema)
        .flat_map(|file| file.text.split(['"', '{', '}', '#']))
        .filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase()))
        .map(str::to_owned)
        .collect();
    assert!(
        ["W", "CON", "KEYS", "REFRESH", "ROOT"]
            .iter()
            .all(|word| spelled.contains(*word))
    );
    let attributes = [
        PK,
        SK,
        APP_PK,
        BY_APP,
        BY_CONNECTOR,
        BY_USER,
        GSI_PK,
        GSI_SK,
        TTL,
    ];
    let found = lines_where(&code, |file, line| {
        let prefix = spelled.iter().any(|word| {
            line.contains(&format!("\"{word}#")) || line.contains(&format!("#{word}#"))
        });
        let attribute = attributes
            .iter()
            .any(|name| line.contains(&format!("\"{name}\"")));
        file.path != schema && (prefix || attribute)
    });
    nowhere("table keys outside the schema", found);
    let scans = [
        ".scan(",
        "execute_statement",
        "transact_write_items_statement",
    ];
    let found = lines_where(&code, |file, line| {
        file.path.starts_with("shared/src/storage/") && scans.iter().any(|scan| line.contains(scan))
    });
    nowhere("reads without a key", found);
}

/// The API's refusals have one table of statuses. A page for a browser carries its own, and what
/// a provider answered has one too.
#[test]
fn only_problems_and_pages_refuse() {
    let success = ["OK", "CREATED", "ACCEPTED", "NO_CONTENT", "SEE_OTHER"];
    let pages = ["shared/src/http/page.rs", "shared/src/http/page/notices.rs"];
    let found = lines_where(&code(&BUILT), |file, line| {
        let refuses = words_after(line, "StatusCode::")
            .any(|name| !name.is_empty() && !success.contains(&name));
        let status = line.trim_start().starts_with("status: StatusCode::");
        let of_a_page = pages.contains(&file.path.as_str()) && status;
        let of_a_provider = file.path.starts_with("shared/src/oauth/");
        refuses && !of_a_page && !of_a_provider && !file.path.starts_with("shared/src/http/problem")
    });
    nowhere("a refusal's status", found);
}

/// Where a token request is made is where its repetition is decided: under a lease, for a code
/// that is spent, or to end a grant (B11).
#[test]
fn h60_tokens_are_asked_for_in_three_places() {
    let found = lines_where(&code(&BUILT), |_, line| {
        [".refresh(", ".exchange("]
            .iter()
            .any(|call| line.contains(call))
            && !line.contains("self.exchange(outgoing)")
    });
    let places: Vec<_> = found
        .iter()
        .map(|place| place.split(':').next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "functions/oauth-complete/src/redeem.rs",
            "shared/src/oauth/provider_api.rs",
            "shared/src/refresh/attempt.rs",
        ],
        "{found:?}"
    );
}

/// Whose workspace it is says who proved to be whose: no other code makes a workspace of a text,
/// and no function can ask for one in a path, query or body.
#[test]
fn h20_a_workspace_is_read_from_proofs_and_tables_alone() {
    let doors = [
        "shared/src/http/identity.rs",  // a verified JWT
        "shared/src/domain/app.rs",     // an API key, compared with its record
        "shared/src/storage/schema.rs", // a table's key
    ];
    let made = ["WorkspaceId::parse", "WorkspaceId::try_from"];
    let found = lines_where(&code(&BUILT), |file, line| {
        let is_door = doors.contains(&file.path.as_str()) || file.path.ends_with("_tests.rs");
        made.iter().any(|way| line.contains(way)) && !is_door
    });
    nowhere("a workspace out of thin air", found);
    let found = lines_where(&code(&["functions"]), |_, line| {
        let handed_on = line.starts_with("use ") || line.contains("&WorkspaceId");
        mentions(line, "WorkspaceId") && !handed_on
    });
    nowhere("a workspace that a function reads itself", found);
    for door in doors {
        assert!(read(door).contains("WorkspaceId::parse"), "{door}");
    }
}

#[test]
fn h49_no_opened_secret_is_compared() {
    let found = lines_where(&code(&BUILT), |_, line| {
        let compared = line.contains("==") || line.contains("!=") || line.contains("assert_eq");
        compared && mentions(line, "expose") && !line.contains("expose().len()")
    });
    nowhere(
        "a comparison that takes as long as the secrets agree",
        found,
    );
}

#[test]
fn no_test_is_ignored_or_expected_to_panic_and_nothing_is_left_to_do() {
    let left = [
        concat!("#[", "ignore"),
        concat!("#[", "should_panic"),
        concat!("to", "do!("),
        concat!("un", "implemented!("),
        concat!("d", "bg!("),
        concat!("thread::", "sleep"),
        concat!("FIX", "ME"),
    ];
    let found = lines_where(&files(&["shared", "functions", "tests"]), |_, line| {
        left.iter().any(|word| line.contains(word))
    });
    nowhere("left undone", found);
}

#[test]
fn a_file_fits_the_head() {
    let long = files(&BUILT)
        .into_iter()
        .filter(|file| file.text.lines().count() > 600);
    nowhere("more than 600 lines", long.map(|file| file.path));
}
