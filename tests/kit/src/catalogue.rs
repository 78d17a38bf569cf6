//! The catalogue as its files have it, and not as the product keeps it.

use std::fs;
use std::path::Path;

use catalogue_format::load::{File, Loaded, load};

/// The folder of the catalogue's files.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/catalogue");

/// Every provider, in the order of ids.
///
/// # Panics
/// When a file cannot be read or has anything wrong in it.
pub fn loaded() -> Vec<Loaded> {
    let [providers, families] = ["providers", "families"].map(files);
    load(&providers, &families).unwrap_or_else(|refused| panic!("{refused:#?}"))
}

fn files(folder: &str) -> Vec<File> {
    let folder = Path::new(FOLDER).join(folder);
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|it| it == "json"));
    paths
        .map(|path| File {
            name: path
                .file_stem()
                .and_then(|name| name.to_str())
                .expect("a name in UTF-8")
                .to_owned(),
            text: fs::read_to_string(&path).expect("a file in UTF-8"),
        })
        .collect()
}
