//! Everything that must pass before a change goes in. One dev profile serves the build, the lints and the tests.

use anyhow::Result;

use crate::plugins;
use crate::setup::{self, Purpose};
use crate::shell::{self, say};
use crate::{suite, tidy};

/// Runs every check, the cheap ones first.
pub fn run() -> Result<()> {
    setup::prepare(Purpose::Test)?;
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    dependencies()?;
    // Before the first build of the gateway, which embeds them.
    plugins::run(&plugins::Options { guests: true })?;
    shell::run(shell::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    suite::run(&suite::Options::default())
}

/// Versions, licences and sources, by deny.toml.
fn dependencies() -> Result<()> {
    if shell::find("cargo-deny").is_none() {
        say("cargo-deny is not installed: deny.toml is not checked here");
        return Ok(());
    }
    shell::run(shell::cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}
