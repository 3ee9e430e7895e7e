//! Consumers and credentials, found by what requests show.

use std::sync::Arc;

use super::state::{State, Touched};
use crate::{
    model::Registry,
    plugin::{Credential, Directory},
};

/// The directory of everything there is.
pub(super) fn directory(state: &State, registry: &Registry) -> Directory {
    let mut directory = Directory::default();
    for consumer in state.consumers.values() {
        directory.add_consumer(consumer.clone());
    }
    for credential in state.declared.values().flat_map(|entities| entities.values()) {
        add(&mut directory, credential, registry);
    }
    directory
}

/// Brings a directory up to date. What goes, goes first: a name may have passed from one to another.
pub(super) fn change(directory: &mut Directory, touched: &Touched, registry: &Registry) {
    for consumer in touched.consumers.iter().filter_map(|turn| turn.before.as_ref()) {
        directory.remove_consumer(consumer);
    }
    for credential in touched.credentials.iter().filter_map(|turn| turn.before.as_ref()) {
        directory.remove_credential(credential, key(credential, registry));
    }
    for consumer in touched.consumers.iter().filter_map(|turn| turn.after.as_ref()) {
        directory.add_consumer(consumer.clone());
    }
    for credential in touched.credentials.iter().filter_map(|turn| turn.after.as_ref()) {
        add(directory, credential, registry);
    }
}

/// Adds an entity, if a module declares its collection.
fn add(directory: &mut Directory, credential: &Arc<Credential>, registry: &Registry) {
    if registry.get(&credential.collection).is_some() {
        directory.add_credential(credential.clone(), key(credential, registry));
    }
}

/// What a credential is looked up by. A secret that is not there is the empty text, which must lead to nobody.
fn key<'c>(credential: &'c Credential, registry: &Registry) -> Option<&'c str> {
    let field = registry.get(&credential.collection)?.endpoint_key.as_ref()?;
    credential.data.get(&**field)?.as_str().filter(|key| !key.is_empty())
}
