//! Plugins that exist only to be measured: `xtask/guests/*.rs`, built as a workspace of their own below `target`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::plugins;
use crate::shell;
use crate::toolchain::{CORE, Toolchain};

/// The sources, with `NAME` where the plugin's name belongs.
const COUNTER: &str = include_str!("../../guests/counter.rs");
const LOOK: &str = include_str!("../../guests/look.rs");
const CHANGE: &str = include_str!("../../guests/change.rs");

/// A chain passes a plugin name once, so the longest needs as many names.
pub const COUNTERS: usize = 10;
/// Looks at two headers.
pub const LOOKING: &str = "bench-look";
/// Looks at two headers, sets two.
pub const CHANGING: &str = "bench-change";
/// The one that is uploaded while the clock runs.
pub const UPLOADED: &str = "bench-upload";

/// The name of one counting plugin.
pub fn counter(number: usize) -> String {
    format!("bench-counter-{number}")
}

/// Builds all of them; returns the components.
pub fn build() -> Result<Vec<PathBuf>> {
    let folder = shell::target().join("bench-guests");
    let counters = (0..COUNTERS).map(|number| (counter(number), COUNTER));
    let others = [(LOOKING, LOOK), (CHANGING, CHANGE), (UPLOADED, COUNTER)];
    let guests: Vec<_> = counters.chain(others.map(|(name, source)| (name.to_owned(), source))).collect();
    for (name, source) in &guests {
        shell::write_if_changed(&folder.join(name).join("Cargo.toml"), manifest(name).as_bytes())?;
        shell::write_if_changed(&folder.join(name).join("src/lib.rs"), source.replace("NAME", name).as_bytes())?;
    }
    shell::write_if_changed(&folder.join("Cargo.toml"), workspace()?.as_bytes())?;
    // The versions of the workspace: nothing is resolved anew.
    fs::copy(shell::root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let mut command = Toolchain::prepare(CORE)?.build(CORE);
    command.arg("--manifest-path").arg(folder.join("Cargo.toml")).arg("--target-dir").arg(plugins::directory());
    shell::run(command.arg("--workspace"))?;
    guests.iter().map(|(name, _)| component(name)).collect()
}

/// Where the component of this name is.
pub fn component(name: &str) -> Result<PathBuf> {
    let module = plugins::directory().join(CORE).join("plugin").join(format!("{}.wasm", name.replace('-', "_")));
    let bytes = fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
    let component = shell::target().join("bench-guests").join(format!("{name}.wasm"));
    shell::write_if_changed(&component, &plugins::encode(&bytes)?)?;
    Ok(component)
}

fn manifest(name: &str) -> String {
    let sdk = shell::root().join("plugin-sdk");
    format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nsandgate-sdk = {{ path = {sdk:?} }}\n"
    )
}

/// Built with the profile of the real plugins.
fn workspace() -> Result<String> {
    let root = fs::read_to_string(shell::root().join("Cargo.toml"))?;
    let (_, after) = root.split_once("[profile.plugin]").context("the workspace has no profile for plugins")?;
    let profile = after.split("\n[").next().unwrap_or_default();
    Ok(format!("[workspace]\nresolver = \"3\"\nmembers = [\"bench-*\"]\n\n[profile.plugin]{profile}\n"))
}
