//! Consumers and credentials. Capability: `consumers`, scope: names of collections.

use crate::{
    bindings::sandgate::plugin::consumers,
    host::{Consumer, Credential, HostError, WasmHost},
};

/// Consumers and credentials. Capability: `consumers`, scope: names of collections.
pub trait Consumers {
    /// The entity whose first unique field equals `key`.
    fn find_credential(&self, collection: &str, key: &str) -> Result<Option<Credential>, HostError>;
    /// Finds a credential and makes its consumer that of the request; the identity headers follow. `identifier`: the field that becomes X-Credential-Identifier, the id without it. False: nothing found, nothing changed.
    fn authenticate(&self, collection: &str, key: &str, identifier: Option<&str>) -> Result<bool, HostError>;
    /// Makes a consumer (id or username) that of the request, without a credential. `Invalid` when there is none.
    fn set_anonymous(&self, consumer: &str) -> Result<(), HostError>;
    /// The consumer that an earlier plugin settled on.
    fn consumer(&self) -> Option<Consumer>;
    /// Its id alone, which costs less.
    fn consumer_id(&self) -> Option<String>;
    /// The credential that an earlier plugin settled on.
    fn credential_id(&self) -> Option<String>;
    /// A field of every entity that the current consumer owns.
    fn owned(&self, collection: &str, field: &str) -> Result<Vec<String>, HostError>;
}

impl Consumers for WasmHost {
    fn find_credential(&self, collection: &str, key: &str) -> Result<Option<Credential>, HostError> {
        consumers::find(collection, key)
    }

    fn authenticate(&self, collection: &str, key: &str, identifier: Option<&str>) -> Result<bool, HostError> {
        consumers::authenticate(collection, key, identifier)
    }

    fn set_anonymous(&self, consumer: &str) -> Result<(), HostError> {
        consumers::set_anonymous(consumer)
    }

    fn consumer(&self) -> Option<Consumer> {
        consumers::current()
    }

    fn consumer_id(&self) -> Option<String> {
        consumers::current_id()
    }

    fn credential_id(&self) -> Option<String> {
        consumers::current_credential()
    }

    fn owned(&self, collection: &str, field: &str) -> Result<Vec<String>, HostError> {
        consumers::owned(collection, field)
    }
}
