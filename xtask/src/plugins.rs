//! Guests → components. Every folder in `plugins/` (and in `tests/guests/`) is one; they are listed nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wit_component::ComponentEncoder;

use crate::example;
use crate::shell::{self, say};
use crate::toolchain::{CORE, Toolchain, WASI};

/// `cargo xtask plugins`
#[derive(clap::Args, Default)]
pub struct Options {
    /// Also build tests/guests to target/guests
    #[arg(long)]
    pub guests: bool,
}

/// One guest crate.
struct Guest {
    package: String,
    /// The file name of what cargo makes of it.
    artifact: String,
    target: String,
    /// Where the component goes.
    component: PathBuf,
}

/// Builds what changed.
pub fn run(options: &Options) -> Result<()> {
    let metadata = metadata()?;
    let mut guests = find(&metadata, "plugins", "plugins")?;
    if options.guests {
        guests.extend(find(&metadata, "tests/guests", "guests")?);
    }
    build(&of(&guests, CORE), CORE)?;
    if let Err(error) = build(&of(&guests, WASI), WASI) {
        // Only on a machine without rustup's targets: the tests that load such a guest say that it is missing.
        say(format!("LEFT OUT: the guests for {WASI}: {error:#}"));
        guests.retain(|guest| guest.target != WASI);
    }
    let mut changed = 0;
    for guest in &guests {
        changed += usize::from(write_component(guest)?);
    }
    remove_others(&guests)?;
    if options.guests {
        example::build()?;
    }
    say(format!("{} components, {changed} changed", guests.len()));
    Ok(())
}

fn of<'a>(guests: &'a [Guest], target: &str) -> Vec<&'a Guest> {
    guests.iter().filter(|guest| guest.target == target).collect()
}

fn metadata() -> Result<Value> {
    let mut command = shell::cargo();
    let text = shell::output(command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]))?;
    Ok(serde_json::from_str(&text)?)
}

/// The guests in the folders below `parent`, by name.
fn find(metadata: &Value, parent: &str, components: &str) -> Result<Vec<Guest>> {
    let mut folders = Vec::new();
    if let Ok(entries) = fs::read_dir(shell::root().join(parent)) {
        folders.extend(entries.flatten().map(|entry| entry.path()));
    }
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders.sort();
    let components = shell::target().join(components);
    folders.iter().map(|folder| guest(metadata, folder, &components)).collect()
}

fn guest(metadata: &Value, folder: &Path, components: &Path) -> Result<Guest> {
    let manifest = folder.join("Cargo.toml").display().to_string();
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    let package = packages.iter().find(|package| package["manifest_path"] == *manifest);
    let package = package.with_context(|| format!("{manifest} is not a package of the workspace"))?;
    let module = package["targets"].as_array().into_iter().flatten().find(|target| is_module(target));
    let module = module.with_context(|| format!("{manifest} has no library of the type cdylib"))?;
    let target = package["metadata"]["sandgate"]["target"].as_str().unwrap_or(CORE);
    if target != CORE && target != WASI {
        bail!("{manifest}: guests are built for {CORE} or {WASI}, not for {target}");
    }
    Ok(Guest {
        package: text(&package["name"])?,
        artifact: format!("{}.wasm", text(&module["name"])?.replace('-', "_")),
        target: target.to_owned(),
        component: components.join(folder.file_name().context("a guest without a name")?).with_added_extension("wasm"),
    })
}

fn is_module(target: &Value) -> bool {
    target["crate_types"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "cdylib"))
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("cargo metadata without a name")?.to_owned())
}

/// Where guests are built: apart from the native build, so that the two never wait for each other's lock.
pub fn directory() -> PathBuf {
    shell::target().join("wasm")
}

/// One cargo for all guests of a target.
fn build(guests: &[&Guest], target: &str) -> Result<()> {
    if guests.is_empty() {
        return Ok(());
    }
    let mut command = Toolchain::prepare(target)?.build(target);
    command.arg("--target-dir").arg(directory());
    for guest in guests {
        command.args(["--package", &guest.package]);
    }
    shell::run(&mut command)
}

fn write_component(guest: &Guest) -> Result<bool> {
    let artifact = directory().join(&guest.target).join("plugin").join(&guest.artifact);
    let bytes = fs::read(&artifact).with_context(|| format!("reading {}", artifact.display()))?;
    // For WASI 0.2 the compiler has made a component already.
    let component = if guest.target == WASI { bytes } else { encode(&bytes).with_context(|| guest.package.clone())? };
    shell::write_if_changed(&guest.component, &component)
}

/// A core module with a description of its type → a component.
pub fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// A plugin whose folder is gone must not stay in the binary.
fn remove_others(guests: &[Guest]) -> Result<()> {
    let folder = shell::target().join("plugins");
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let file = entry.path();
        if guests.iter().all(|guest| guest.component != file) {
            say(format!("removing {}", file.display()));
            fs::remove_file(&file)?;
        }
    }
    Ok(())
}
