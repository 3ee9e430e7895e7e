//! Plugin entities, ready or quarantined.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Deployments, Quarantined,
    chains::{Affected, Row, Rows},
    secrets::Secrets,
    state::{PluginShown, State, Touched},
};
use crate::{
    model,
    plugin::{Entity, Plugin, prepare},
};

/// All plugin entities that are enabled.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    known: HashMap<Arc<str>, Known>,
    quarantined: BTreeMap<Arc<str>, Arc<str>>,
    /// Those with references to secrets, which may change by themselves.
    referring: BTreeSet<Arc<str>>,
    pub(super) rows: Rows,
}

/// A plugin that was prepared, and for what.
#[derive(Debug)]
struct Known {
    entity: Arc<PluginShown>,
    /// With the secrets in it.
    config: Arc<str>,
    /// 0 for a plugin without one.
    deployment: u64,
    row: Row,
}

impl Plugins {
    /// Brings them up to date, all of them if modules are other than before. Plugins that stay as they were keep their
    /// instances.
    pub(super) async fn change(
        &mut self,
        state: &State,
        touched: &Touched,
        deployments: &Deployments,
        secrets: &mut Secrets,
    ) -> Affected {
        let all = touched.modules || touched.everything;
        let mut affected = Affected { all: touched.everything, ..Affected::default() };
        let ids: Vec<Arc<str>> = match all {
            true => self
                .known
                .keys()
                .chain(state.plugins.keys().filter(|id| !self.known.contains_key(*id)))
                .cloned()
                .collect(),
            false => touched.plugins.union(&self.referring).cloned().collect(),
        };
        let mut changed = Vec::new();
        for id in ids {
            let entity = state.plugins.get(&id).filter(|entity| entity.plugin.enabled);
            let known = self.known.get(&id);
            let next = match entity {
                Some(entity) => Some(ready(entity, deployments, secrets, known).await),
                None => None,
            };
            if !same(known, next.as_ref()) {
                changed.push((id, next));
            }
        }
        self.replace(changed, &mut affected);
        affected
    }

    /// What goes, goes first: a scope may have passed from one to another.
    fn replace(&mut self, changed: Vec<(Arc<str>, Option<Known>)>, affected: &mut Affected) {
        for (id, _) in &changed {
            self.quarantined.remove(id);
            self.referring.remove(id);
            if let Some(known) = self.known.remove(id) {
                self.rows.remove(&known.row, affected);
            }
        }
        for (id, next) in changed {
            let Some(next) = next else { continue };
            if let Some(reason) = next.row.plugin.quarantine() {
                self.quarantined.insert(id.clone(), reason.clone());
            }
            if Secrets::are_in(&next.entity) {
                self.referring.insert(id.clone());
            }
            self.rows.insert(next.row.clone(), affected);
            self.known.insert(id, next);
        }
    }

    /// Those that cannot run, for operators.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = Quarantined> {
        let shown = |(id, reason): (&Arc<str>, &Arc<str>)| Quarantined {
            collection: "plugins",
            id: id.clone(),
            reason: reason.to_string(),
        };
        self.quarantined.iter().map(shown)
    }
}

fn same(one: Option<&Known>, other: Option<&Known>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            let plugins = Arc::ptr_eq(&one.row.plugin, &other.row.plugin);
            plugins && Arc::ptr_eq(&one.entity, &other.entity) && one.row.priority == other.row.priority
        }
        (None, None) => true,
        _ => false,
    }
}

/// The plugin of an entity: the one there is if nothing changed, else a new one.
async fn ready(
    entity: &Arc<PluginShown>,
    deployments: &Deployments,
    secrets: &mut Secrets,
    known: Option<&Known>,
) -> Known {
    let known = known.filter(|known| Arc::ptr_eq(&known.entity, entity));
    let deployment = match deployments.get(&entity.plugin.name) {
        Some(Ok(deployment)) => deployment,
        Some(Err(reason)) => return broken(entity, reason, known),
        None => return broken(entity, "there is no module of this name".into(), known),
    };
    let config = secrets.config(entity, &deployment.manifest).await;
    let plugin = match known.filter(|known| known.deployment == deployment.id && known.config == config) {
        Some(known) => known.row.plugin.clone(),
        None => prepare(&deployment, configured(entity, config.clone())).await,
    };
    let row = row(&entity.plugin, deployment.priority, plugin);
    Known { entity: entity.clone(), config, deployment: deployment.id, row }
}

fn configured(entity: &PluginShown, config: Arc<str>) -> Entity {
    let plugin = &entity.plugin;
    Entity {
        id: plugin.id.clone(),
        config,
        route: id(&plugin.route),
        service: id(&plugin.service),
        consumer: id(&plugin.consumer),
    }
}

/// It refuses; better before the others have worked.
fn broken(entity: &Arc<PluginShown>, reason: Arc<str>, known: Option<&Known>) -> Known {
    let known = known.filter(|known| known.deployment == 0 && known.row.plugin.quarantine() == Some(&reason));
    let plugin = match known {
        Some(known) => known.row.plugin.clone(),
        None => Arc::new(Plugin::quarantined(entity.plugin.id.clone(), entity.plugin.name.clone(), reason)),
    };
    Known {
        entity: entity.clone(),
        config: entity.config.clone(),
        deployment: 0,
        row: row(&entity.plugin, i32::MAX, plugin),
    }
}

fn row(plugin: &model::Plugin, priority: i32, ready: Arc<Plugin>) -> Row {
    Row {
        name: plugin.name.clone(),
        priority,
        route: id(&plugin.route),
        service: id(&plugin.service),
        consumer: id(&plugin.consumer),
        plugin: ready,
    }
}

fn id(reference: &Option<model::Id>) -> Option<Arc<str>> {
    reference.as_ref().map(|reference| reference.id.clone())
}
