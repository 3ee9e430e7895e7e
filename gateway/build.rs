//! Embeds the built-in plugins: every `.wasm` of `target/plugins`, or of `SANDGATE_PLUGINS_DIR`, becomes an entry of
//! `BUILTINS` in `$OUT_DIR/builtins.rs`. `cargo xtask plugins` makes them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SANDGATE_PLUGINS_DIR");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let folder = plugins_folder();
    // A folder that is not there would count as changed in every build.
    fs::create_dir_all(&folder)?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let modules = modules(&folder)?;
    if modules.is_empty() {
        println!("cargo::warning=no built-in plugins in {}: run `cargo xtask plugins`", folder.display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    fs::write(out.join("builtins.rs"), source(&modules))
}

fn plugins_folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is a folder of the workspace");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), |set| workspace.join(set));
    env::var_os("SANDGATE_PLUGINS_DIR").map_or_else(|| target.join("plugins"), |set| workspace.join(set))
}

/// Name and file of each module, by name.
fn modules(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "wasm")
            && let Some(name) = file.file_stem().and_then(|stem| stem.to_str())
        {
            println!("cargo::rerun-if-changed={}", file.display());
            modules.push((name.to_owned(), file.clone()));
        }
    }
    modules.sort();
    Ok(modules)
}

fn source(modules: &[(String, PathBuf)]) -> String {
    let mut source = String::from("/// The built-in plugins: folder name and component.\n");
    source.push_str("pub(crate) static BUILTINS: &[(&str, &[u8])] = &[\n");
    for (name, file) in modules {
        let _ = writeln!(source, "    ({name:?}, include_bytes!({:?})),", file.display().to_string());
    }
    source.push_str("];\n");
    source
}
