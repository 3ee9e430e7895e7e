//! From a content to entities that every plugin has agreed to, and back.

use std::{sync::Arc, time::SystemTime};

use serde_json::Value;

use crate::{
    admin::{context::Plugins, plugins::violations},
    model::{
        Collection, Object, Registry,
        declarative::{Dialect, Invalid, Loaded, Problem, World, document},
    },
    store::{Filter, Page, Result, Store},
};

/// Whose files are read.
pub use crate::model::declarative::Dialect as Reading;

/// Entities of a page while everything is read.
const PAGE: usize = 1000;

/// The entities of a content. Parsing and checking may take long, and run on a thread of their own.
pub async fn resolve(
    content: impl FnOnce() -> Result<Value, Invalid> + Send + 'static,
    registry: Arc<Registry>,
    plugins: Arc<dyn Plugins>,
    dialect: Dialect,
) -> Result<Loaded, Invalid> {
    let asked = plugins.clone();
    let work = move || {
        let plugin = |name: &str| asked.schema(name);
        let world = World { registry: &registry, plugin: &plugin, now: SystemTime::now(), dialect };
        crate::model::declarative::resolve(content()?, &world)
    };
    let loaded = match tokio::task::spawn_blocking(work).await {
        Ok(loaded) => loaded?,
        Err(cut) => return Err(Invalid::failed(&format!("the configuration could not be read: {cut}"))),
    };
    ask_plugins(&loaded, &*plugins).await?;
    Ok(loaded)
}

/// What only the plugins themselves know of their configurations.
async fn ask_plugins(loaded: &Loaded, plugins: &dyn Plugins) -> Result<(), Invalid> {
    let mut problems = Vec::new();
    for entity in loaded.entities.iter().filter(|entity| &*entity.collection.name == "plugins") {
        let name = entity.object.get("name").and_then(Value::as_str).unwrap_or_default();
        let config = entity.object.get("config").unwrap_or(&Value::Null);
        if let Err(errors) = plugins.validate(name, config).await {
            let fields = Value::Object(violations(errors).fields);
            problems.push(Problem::of(entity.subject.clone(), entity.place.clone(), fields));
        }
    }
    Invalid::unless_empty(problems)
}

/// Every entity that belongs into a file.
async fn everything(store: &dyn Store, registry: &Registry) -> Result<Vec<(Arc<Collection>, Vec<Object>)>> {
    let mut all = Vec::new();
    for collection in registry.iter().filter(|collection| &*collection.name != "modules") {
        let (mut entities, mut after) = (Vec::new(), None);
        loop {
            let page = store.page(collection, &Filter::default(), &Page { after: after.take(), size: PAGE }).await?;
            entities.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        all.push((collection.clone(), entities));
    }
    Ok(all)
}

/// The file of all there is, as YAML.
pub async fn export(store: &dyn Store, registry: &Registry, plugins: &dyn Plugins) -> Result<String> {
    Ok(crate::model::declarative::yaml::to_text(&content(store, registry, plugins).await?))
}

/// The content of that file.
pub(super) async fn content(store: &dyn Store, registry: &Registry, plugins: &dyn Plugins) -> Result<Value> {
    let plugin = |name: &str| plugins.schema(name);
    let world = World { registry, plugin: &plugin, now: SystemTime::now(), dialect: Dialect::Gateway };
    Ok(document(everything(store, registry).await?, &world))
}
