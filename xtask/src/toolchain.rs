//! Which cargo builds guests. Nothing else in the repository knows that there is a question.
//!
//! The first of these that works: the target is installed; rustup can add it; Debian's own compiler builds the standard
//! library for it from source (`wasm32-unknown-unknown` only; `SANDGATE_DEBIAN_WASM=1` tries this way out).

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::setup;
use crate::shell;

/// What plugins are built for.
pub const CORE: &str = "wasm32-unknown-unknown";
/// What guests that need WASI 0.2 are built for.
pub const WASI: &str = "wasm32-wasip2";

const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
/// Where those packages have the linker for WebAssembly; the name of the file tells rustc how to call it.
const DEBIAN_LINKERS: [&str; 2] = ["/usr/lib/llvm-22/bin/wasm-ld", "/usr/bin/rust-lld"];

/// A way to build for one target.
pub enum Toolchain {
    /// The cargo of the workspace.
    Rustup,
    /// Debian's compiler, with the standard library built on the way.
    Debian,
}

impl Toolchain {
    /// Finds or installs a toolchain for this target.
    pub fn prepare(target: &str) -> Result<Self> {
        if installed(target) {
            return Ok(Self::Rustup);
        }
        shell::say(format!("adding the target {target} with rustup"));
        if shell::run(shell::command("rustup").args(["target", "add", target])).is_ok() && installed(target) {
            return Ok(Self::Rustup);
        }
        if target != CORE {
            bail!("rustup cannot add the target {target}, and Debian has no standard library for it");
        }
        shell::say("rustup cannot add it: using Debian's compiler, which builds the standard library itself");
        setup::install(&DEBIAN_PACKAGES)?;
        Ok(Self::Debian)
    }

    /// `cargo build` for this target; the caller adds packages and the target directory.
    pub fn build(&self, target: &str) -> Command {
        let mut command = match self {
            Self::Rustup => shell::cargo(),
            Self::Debian => debian(),
        };
        command.args(["build", "--profile", "plugin", "--target", target]);
        if matches!(self, Self::Debian) {
            command.args(["-Z", "build-std=std,panic_abort"]);
        }
        command
    }
}

fn debian() -> Command {
    let mut command = shell::command("/usr/bin/cargo");
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    let linker = DEBIAN_LINKERS.into_iter().find(|file| Path::new(file).exists()).unwrap_or(DEBIAN_LINKERS[0]);
    command
        .env("PATH", "/usr/bin:/bin")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", "/usr/bin/rustc")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    command
}

/// Whether the workspace's compiler has the standard library of this target.
fn installed(target: &str) -> bool {
    let forced = std::env::var_os("SANDGATE_DEBIAN_WASM").is_some();
    let found = shell::output(shell::command("rustc").args(["--print", "target-libdir", "--target", target]));
    !forced && found.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}
