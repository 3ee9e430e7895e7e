//! Credentials that hold references to secrets. What plugins look up has the secrets in it; the store, and whoever asks
//! the Admin API, has the references.

use std::sync::Arc;

use super::{
    secrets::Secrets,
    state::{State, Touched, Turn},
};
use crate::{model::Registry, plugin::Credential};

/// Puts secrets in the place of the references in referenceable fields. Other credentials than before count as touched.
pub(super) async fn fill(state: &mut State, touched: &mut Touched, registry: &Registry, secrets: &mut Secrets) {
    for written in state.referring.values() {
        let Some(collection) = registry.get(&written.collection) else { continue };
        let mut data = written.data.clone();
        secrets.fill(&collection.schema, &mut data).await;
        let Some(known) = state.declared.get_mut(&written.collection).and_then(|all| all.get_mut(&written.id)) else {
            continue;
        };
        if known.data != data {
            let filled = Arc::new(Credential { data, ..Credential::clone(written) });
            touch(touched, known.clone(), filled.clone());
            *known = filled;
        }
    }
}

/// The credential that a delta brought, if it did, is the one with the secrets.
fn touch(touched: &mut Touched, before: Arc<Credential>, filled: Arc<Credential>) {
    let brought = |turn: &&mut Turn<Credential>| turn.after.as_ref().is_some_and(|after| Arc::ptr_eq(after, &before));
    match touched.credentials.iter_mut().find(brought) {
        Some(turn) => turn.after = Some(filled),
        None => touched.credentials.push(Turn { before: Some(before), after: Some(filled) }),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        model,
        snapshot::builder::Known,
        store::{Change, Delta},
        vault::Vaults,
    };

    const COLLECTION: &str = "keys_of_others";

    fn registry(referenceable: bool) -> Arc<Registry> {
        let manifest = json!({ "name": "other-auth", "collections": [{
            "name": COLLECTION, "path": "others", "parent": "consumers", "unique_fields": ["key"],
            "schema": { "type": "object", "properties": {
                "key": { "type": "string", "x-kong-referenceable": referenceable },
                "note": { "type": "string" },
            } },
        }] });
        let mut registry = model::core_registry();
        model::declared_collections(&manifest).unwrap().into_iter().for_each(|collection| registry.add(collection));
        Arc::new(registry)
    }

    fn credential(id: &str, key: &str) -> Change {
        let entity = json!({ "id": id, "key": key, "note": "{vault://file/key}", "consumer": { "id": "c" } });
        Change { collection: COLLECTION.into(), id: id.into(), entity: entity.as_object().cloned() }
    }

    /// A directory after each change.
    struct World {
        known: Known,
        secrets: Secrets,
        version: u64,
    }

    impl World {
        fn new(folder: &Path) -> Self {
            let secrets = Secrets::new(Vaults::new(Some(folder.to_owned()), Duration::ZERO));
            Self { known: Known::default(), secrets, version: 0 }
        }

        /// The ids that these keys lead to.
        async fn after(&mut self, changes: Vec<Change>, registry: &Arc<Registry>, keys: &[&str]) -> Vec<Option<Value>> {
            self.secrets.rotate().await;
            self.version += 1;
            let mut touched = self.known.state.apply(Delta { version: self.version, full: false, changes });
            fill(&mut self.known.state, &mut touched, registry, &mut self.secrets).await;
            let snapshot = self.known.compile(&touched, &super::super::chains::Affected::default(), registry);
            let find = |key: &&str| Some(snapshot.directory.credential(COLLECTION, key)?.data["id"].clone());
            keys.iter().map(find).collect()
        }
    }

    #[tokio::test]
    async fn a_credential_is_found_by_the_secret_as_it_is_now_and_not_by_the_reference() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "one").unwrap();
        let (mut world, registry) = (World::new(folder.path()), registry(true));
        let reference = "{vault://file/key}";
        let keys = ["one", "two", reference, "plain"];
        let found = world.after(vec![credential("a", reference), credential("b", "plain")], &registry, &keys).await;
        assert_eq!(found, [Some(json!("a")), None, None, Some(json!("b"))]);
        std::fs::write(folder.path().join("key"), "two").unwrap();
        let found = world.after(Vec::new(), &registry, &keys).await;
        assert_eq!(found, [None, Some(json!("a")), None, Some(json!("b"))]);
        let gone = Change { entity: None, ..credential("a", reference) };
        assert_eq!(world.after(vec![gone], &registry, &keys).await, [None, None, None, Some(json!("b"))]);
    }

    #[tokio::test]
    async fn what_does_not_resolve_leads_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (mut world, registry) = (World::new(folder.path()), registry(true));
        let keys = ["", "{vault://file/none}"];
        assert_eq!(world.after(vec![credential("a", keys[1])], &registry, &keys).await, [None, None]);
    }

    #[tokio::test]
    async fn a_field_that_is_not_referenceable_is_as_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "one").unwrap();
        let mut world = World::new(folder.path());
        let keys = ["one", "{vault://file/key}"];
        let changes = vec![credential("a", keys[1])];
        assert_eq!(world.after(changes, &registry(false), &keys).await, [None, Some(json!("a"))]);
        // Another version of the module says so.
        assert_eq!(world.after(Vec::new(), &registry(true), &keys).await, [Some(json!("a")), None]);
    }
}
