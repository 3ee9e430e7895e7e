//! The layer table of `gateway/src/lib.rs`: each room imports only rooms on lower lines.
//!
//! Only std, because `gateway/tests/layers.rs` includes this file, so that plain `cargo test` checks it as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Rooms and the number of their line.
type Table = BTreeMap<String, u32>;

/// Every import that points upward or sideways, and every room that the table lacks, as lines to print.
#[expect(unreachable_pub, reason = "one file for the binary and for the test of another crate")]
pub fn offences(source: &Path) -> io::Result<Vec<String>> {
    let map = fs::read_to_string(source.join("lib.rs"))?;
    let table = table(&map);
    let mut found = Vec::new();
    for room in map.lines().filter_map(declared).filter(|room| !table.contains_key(*room)) {
        found.push(format!("{}: the layer table lacks `{room}`", source.join("lib.rs").display()));
    }
    let mut files = Vec::new();
    rust_files(source, &mut files)?;
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let Some((room, level)) = room_of(source, file, &table) else {
            continue;
        };
        let text = fs::read_to_string(file)?;
        for (import, other) in imports(&text, &table) {
            if import != room && other >= level {
                found.push(format!("{}: `{room}` (line {level}) imports `{import}` (line {other})", file.display()));
            }
        }
    }
    Ok(found)
}

/// The lines `//! 3  snapshot  admin` of the map.
fn table(map: &str) -> Table {
    let mut table = Table::new();
    for line in map.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let mut words = line.split_whitespace();
        if let Some(level) = words.next().and_then(|word| word.parse().ok()) {
            table.extend(words.map(|room| (room.to_owned(), level)));
        }
    }
    table
}

fn declared(line: &str) -> Option<&str> {
    line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// The room a file belongs to. Files that the table does not name (lib.rs, main.rs, cli.rs) are no room.
fn room_of(source: &Path, file: &Path, table: &Table) -> Option<(String, u32)> {
    let first = file.strip_prefix(source).ok()?.iter().next()?.to_str()?;
    let room = first.trim_end_matches(".rs");
    table.get(room).map(|level| (room.to_owned(), *level))
}

/// The rooms that a file names after `crate::`, its tests left out.
fn imports(text: &str, table: &Table) -> BTreeMap<String, u32> {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = BTreeMap::new();
    for (at, name) in code.match_indices("crate::") {
        let whole = !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        for room in names(&code[at + name.len()..]).into_iter().filter(|_| whole) {
            if let Some(level) = table.get(room) {
                found.insert(room.to_owned(), *level);
            }
        }
    }
    found
}

/// The first name of what follows `crate::`, or of each branch of a group in braces.
fn names(rest: &str) -> Vec<&str> {
    if !rest.starts_with('{') {
        return vec![identifier(rest)];
    }
    let (mut depth, mut names) = (0, Vec::new());
    for (at, character) in rest.char_indices() {
        let opens_branch = (character == '{' && depth == 0) || (character == ',' && depth == 1);
        depth += i32::from(character == '{') - i32::from(character == '}');
        if opens_branch {
            names.push(identifier(rest[at + 1..].trim_start()));
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn identifier(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::{imports, table};

    #[test]
    fn rooms_are_found_in_paths_groups_and_not_in_tests_or_comments() {
        let table = table("//! 2  store  plugin\n//! 1  model\n//! 0  router\n");
        let found = |text| imports(text, &table).into_keys().collect::<Vec<_>>().join(" ");
        let cases = [
            ("a path", "use crate::model::Object;", "model"),
            ("a path in an expression", "let x = crate::store::open();", "store"),
            ("a group", "use crate::{model::{Object, store}, router::Router,\n    plugin};", "model plugin router"),
            ("a comment", "// as crate::store does", ""),
            ("another crate", "use mycrate::store;", ""),
            ("a test", "use crate::model;\n#[cfg(test)]\nmod tests { use crate::store; }", "model"),
        ];
        for (label, text, expected) in cases {
            assert_eq!(found(text), expected, "{label}");
        }
    }
}
