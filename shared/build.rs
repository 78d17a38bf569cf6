//! Makes the catalogue's files into two tables: what requests depend on, and what people read.
//! Whoever shows no notes links none.
//!
//! A file with anything wrong in it ends the build.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use catalogue_format::load::{File, Loaded, load};

fn main() {
    let root = Path::new("catalogue");
    let [providers, families] = ["providers", "families"].map(|folder| files(&root.join(folder)));
    println!("cargo::rerun-if-changed=catalogue/providers");
    println!("cargo::rerun-if-changed=catalogue/families");
    match load(&providers, &families) {
        Ok(loaded) => {
            write(
                "templates.rs",
                loaded.iter().map(|one| (one, &one.template)),
            );
            write("notes.rs", loaded.iter().map(|one| (one, &one.notes)));
        }
        Err(refused) => {
            for one in refused {
                println!("cargo::error=shared/catalogue/{one}");
            }
        }
    }
}

/// The JSON files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<File> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
    let mut files: Vec<File> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| File {
            name: path
                .file_stem()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .to_owned(),
            text: fs::read_to_string(&path).expect("a file is UTF-8"),
        })
        .collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

/// A table of ids and JSON, as a Rust expression.
fn write<'a>(name: &str, rows: impl Iterator<Item = (&'a Loaded, &'a String)>) {
    let mut table = String::from("&[\n");
    for (provider, json) in rows {
        writeln!(table, "    ({:?}, {json:?}),", provider.id).expect("a string takes text");
    }
    table.push_str("]\n");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&folder).join(name), table).expect("the folder can be written to");
}
