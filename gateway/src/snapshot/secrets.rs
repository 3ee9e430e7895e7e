//! Vault references of the configuration, and the secrets in their place. What is made here goes to plugins and nowhere
//! else: the entities keep the references.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tokio::time::Instant;

use super::state::{PluginShown, State};
use crate::{
    model::{Object, PluginInfo, VaultReference, schema::Schema},
    plugin::Manifest,
    vault::{Configured, Vaults},
};

/// What every reference begins with; a configuration without it needs no schema.
const MARK: &str = "{vault://";

/// Vaults, and which of them operators configured.
#[derive(Debug)]
pub(super) struct Secrets {
    vaults: Vaults,
    configured: Configured,
}

impl Secrets {
    pub(super) fn new(vaults: Vaults) -> Self {
        Self { vaults, configured: Configured::new() }
    }

    /// Takes over the `vaults` entities. Answers of before do not count if any changed.
    pub(super) fn configure(&mut self, state: &State) {
        let configured = state.vaults.values().map(|vault| {
            let settings = vault.config.as_object().cloned().unwrap_or_default();
            (vault.prefix.clone(), (vault.name.clone(), settings))
        });
        let configured: Configured = configured.collect();
        if configured != self.configured {
            self.vaults.forget();
            self.configured = configured;
        }
    }

    /// True when a secret changed that the configuration refers to.
    pub(super) async fn rotate(&mut self) -> bool {
        self.vaults.rotate(&self.configured, Instant::now()).await
    }

    /// Ends a build: secrets that it did not ask for are forgotten.
    pub(super) fn end_build(&mut self) {
        self.vaults.forget_unused();
    }

    /// Whether the configuration of a plugin may refer to any.
    pub(super) fn are_in(entity: &PluginShown) -> bool {
        entity.config.contains(MARK)
    }

    /// The configuration of a plugin, as the plugin gets it.
    pub(super) async fn config(&mut self, entity: &PluginShown, manifest: &Manifest) -> Arc<str> {
        if !Self::are_in(entity) {
            return entity.config.clone();
        }
        let described = serde_json::to_value(manifest).map_err(|error| error.to_string());
        let info =
            described.and_then(|manifest| PluginInfo::from_manifest(&manifest).map_err(|error| error.to_string()));
        let Ok(info) = info else { return entity.config.clone() };
        let mut object = Object::new();
        object.insert("config".into(), entity.plugin.config.clone());
        self.fill(&info.overrides, &mut object).await;
        object.get("config").unwrap_or(&Value::Null).to_string().into()
    }

    /// A text, or the secret that it refers to.
    pub(super) async fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        if !VaultReference::is_meant(text) {
            return text.clone();
        }
        self.vaults.value(text, &self.configured, Instant::now()).await
    }

    /// Puts secrets in the place of the references that an entity holds.
    pub(super) async fn fill(&mut self, schema: &Schema, object: &mut Object) {
        let mut values: BTreeMap<String, Arc<str>> = BTreeMap::new();
        schema.each_reference(object, &mut |_, reference| drop(values.insert(reference.clone(), Arc::default())));
        let now = Instant::now();
        for (reference, value) in &mut values {
            *value = self.vaults.value(reference, &self.configured, now).await;
        }
        schema.each_reference(object, &mut |_, text| {
            if let Some(value) = values.get(text.as_str()) {
                *text = value.to_string();
            }
        });
    }
}
