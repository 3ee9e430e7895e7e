//! The stranger's plugin: `plugin-sdk/examples/greeting`, copied out of the tree as its README tells newcomers, and built
//! there, so that the tests upload what a stranger would.

use std::fs;

use anyhow::{Context, Result};

use crate::shell;
use crate::toolchain::{CORE, Toolchain};

/// Builds the example to `target/guests/greeting.wasm`: the core module that cargo makes, as it is uploaded.
pub fn build() -> Result<()> {
    let (from, to) = (shell::root().join("plugin-sdk/examples/greeting"), shell::target().join("stranger/greeting"));
    let read =
        |name: &str| fs::read_to_string(from.join(name)).with_context(|| format!("reading {name} of the example"));
    let sdk = format!("path = {:?}", shell::root().join("plugin-sdk"));
    shell::write_if_changed(&to.join("Cargo.toml"), read("Cargo.toml")?.replace("path = \"../..\"", &sdk).as_bytes())?;
    shell::write_if_changed(&to.join("src/lib.rs"), read("src/lib.rs")?.as_bytes())?;
    let lock = to.join("Cargo.lock");
    if !lock.exists() {
        // Cargo drops what the example does not need; the rest is downloaded already.
        fs::copy(shell::root().join("Cargo.lock"), lock)?;
    }
    let directory = shell::target().join("wasm");
    let mut command = Toolchain::prepare(CORE)?.build(CORE);
    command.current_dir(&to).args(["--config", "profile.plugin.inherits=\"release\""]);
    shell::run(command.arg("--target-dir").arg(&directory))?;
    let module =
        fs::read(directory.join(CORE).join("plugin/greeting.wasm")).context("what cargo made of the example")?;
    shell::write_if_changed(&shell::target().join("guests/greeting.wasm"), &module)?;
    Ok(())
}
