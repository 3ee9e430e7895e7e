//! The layer table of `src/lib.rs` holds: no room imports one on its own line or above.

#[path = "../../xtask/src/tidy/layers.rs"]
mod layers;

#[test]
fn rooms_import_only_rooms_on_lower_lines() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let offences = layers::offences(&source).expect("the sources can be read");
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}
