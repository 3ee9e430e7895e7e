//! A gateway without a database: its modules from a folder, its configuration from a file.

use std::{ffi::OsStr, fs, io, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};

use super::{GatewayError, Rooms, builtins, desk::Desk};
use crate::{
    admin::{
        self,
        declarative::{Declarative, Given, LoadError, PassedOn, Source},
    },
    config::{self, Config},
    model::{Object, Registry, declarative::Syntax},
    plugin::Catalog,
    shutdown::Tasks,
    snapshot::Deployments,
    store::{MemoryStore, Store},
};

/// Puts the built-in modules and those of the folder into the store.
pub(super) async fn modules(
    store: &MemoryStore,
    catalog: &Arc<Catalog>,
    core: &Registry,
    folder: &Path,
) -> Result<(), GatewayError> {
    builtins::install_in_memory(store, core, catalog).await?;
    let (desk, registry) = (Desk::new(catalog.clone(), Deployments::default()), ArcSwap::from_pointee(core.clone()));
    let modules = core.get("modules").expect("the core registry has modules");
    for (name, bytes, settings) in files(folder)? {
        let failed = |reason: String| GatewayError::Module { name: name.clone(), reason };
        let settings = settings.map_err(|error| failed(error.to_string()))?;
        // With the collections of the modules before it, whose names are taken.
        desk.follow(&registry, &store.changes_since(core, 0).await?);
        let module = admin::local(&desk, &registry.load(), bytes, settings).await;
        let module = module.map_err(|reasons| failed(reasons.join("; ")))?;
        store.install(modules, &module.row, &module.digest, module.component);
        tracing::info!(module = name, digest = module.digest, "a module was loaded from its file");
    }
    Ok(())
}

/// What the error calls the configuration that was handed over.
const PASSED_ON: &str = " of the process before";

type File = (String, Vec<u8>, serde_json::Result<Object>);

/// Every `.wasm` of the folder by name, with what the `.json` of the same name says about it.
fn files(folder: &Path) -> Result<Vec<File>, GatewayError> {
    let failed =
        |source: io::Error| GatewayError::System { what: format!("the modules in {}", folder.display()), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    paths.retain(|path| path.extension().and_then(OsStr::to_str) == Some("wasm"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let settings = match fs::read(path.with_extension("json")) {
            Ok(text) => serde_json::from_slice(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Object::new()),
            Err(error) => return Err(error),
        };
        Ok((path.display().to_string(), fs::read(path)?, settings))
    };
    paths.iter().map(read).collect::<io::Result<Vec<_>>>().map_err(failed)
}

/// A configuration that was posted to the process before is nowhere else.
pub(super) fn refuse_to_lose(config: &Config, before: Option<&PassedOn>) -> Result<(), GatewayError> {
    if config.database == config::Database::Off || !before.is_some_and(PassedOn::is_posted) {
        return Ok(());
    }
    let reason =
        "by these settings there is a database, and what was posted to /config would be lost: import it, or restart";
    Err(GatewayError::Declarative { what: PASSED_ON.to_owned(), reason: reason.to_owned() })
}

/// Loads what was posted to the process before, or else what the settings name. A gateway does not start with a
/// configuration that is wrong.
pub(super) async fn first_load(
    config: &Config,
    declarative: &Declarative,
    before: Option<PassedOn>,
    registry: Arc<Registry>,
    desk: Arc<Desk>,
) -> Result<(), GatewayError> {
    if let Some(before) = before {
        let went_on = declarative.go_on(before, registry.clone(), desk.clone()).await;
        let failed =
            |error: LoadError| GatewayError::Declarative { what: PASSED_ON.to_owned(), reason: error.to_string() };
        if went_on.map_err(failed)? {
            return Ok(());
        }
    }
    let (what, given) = match &config.declarative {
        config::Declarative::Empty => return Ok(()),
        config::Declarative::File(file) => (format!(" file {}", file.display()), read(file)),
        config::Declarative::Text(text) => ("_string".to_owned(), Ok(Given::Text(text.clone(), Syntax::Either))),
    };
    let failed = |reason: String| GatewayError::Declarative { what: what.clone(), reason };
    let given = given.map_err(&failed)?;
    let loaded = declarative.load(given, registry, desk, Source::Settings).await;
    loaded.map_err(|error| failed(error.to_string()))?;
    Ok(())
}

/// The text of a declarative file.
fn read(file: &Path) -> Result<Given, String> {
    let syntax = Syntax::of(file).map_err(|error| error.to_string())?;
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    Ok(Given::Text(text, syntax))
}

/// Reads the file again with each SIGHUP. A file that is wrong changes nothing.
pub(super) fn reload_on_hangup(config: &Config, rooms: &Rooms, tasks: &Tasks) -> Result<(), GatewayError> {
    let (Some(declarative), config::Declarative::File(file)) = (rooms.declarative.clone(), &config.declarative) else {
        return Ok(());
    };
    let (file, ending, changed) = (file.clone(), tasks.shutdown(), rooms.published.changed.clone());
    let (registry, desk) = (rooms.registry.clone(), rooms.desk.clone());
    let mut hangups = signal(SignalKind::hangup()).map_err(super::system("the signals"))?;
    tasks.spawn("reload of the declarative file", async move {
        loop {
            // Dropping either arm loses nothing: a load has no half.
            tokio::select! {
                _ = hangups.recv() => {}
                () = ending.triggered() => return,
            }
            let name = file.display();
            let outcome = match read(&file) {
                Ok(given) => declarative.load(given, registry.load_full(), desk.clone(), Source::Settings).await,
                Err(reason) => {
                    tracing::error!(reason, "the declarative file {name} could not be read; the configuration stays");
                    continue;
                }
            };
            match outcome {
                Ok((version, _)) => {
                    changed.notify_one();
                    tracing::info!(version, "the declarative file {name} was loaded again");
                }
                Err(busy @ LoadError::Busy) => tracing::warn!("{busy}; {name} was not loaded"),
                Err(error) => tracing::error!(%error, "the declarative file {name} is wrong; the configuration stays"),
            }
        }
    });
    Ok(())
}
