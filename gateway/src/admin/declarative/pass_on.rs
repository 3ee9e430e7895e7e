//! The configuration that an operator posted is in no file: whoever takes over from this process gets it from memory.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::{Declarative, Given, LoadError, Source, load};
use crate::{
    admin::context::Plugins,
    model::Registry,
    store::{Result, Version},
};

/// What the next process begins with.
#[derive(Serialize, Deserialize)]
pub struct PassedOn {
    /// The version that is served. Those of the next process are greater.
    version: Version,
    /// Of the text that was loaded last.
    hash: String,
    /// Everything there is, if it was posted. What came by the settings is read again.
    posted: Option<Value>,
}

/// Without what was posted, which may hold secrets.
impl std::fmt::Debug for PassedOn {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PassedOn").field("version", &self.version).finish_non_exhaustive()
    }
}

impl PassedOn {
    /// Whether the process before serves what no file has.
    pub fn is_posted(&self) -> bool {
        self.posted.is_some()
    }
}

/// While it lives nothing is loaded: it would be lost to the next process.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "what counts is when it is dropped")] OwnedMutexGuard<()>);

impl Declarative {
    /// What there is, for another process. Waits for the load that is under way; others are refused from then on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn pass_on(&self, registry: &Registry, plugins: &dyn Plugins) -> Result<(PassedOn, Held)> {
        let held = Held(self.loading.clone().lock_owned().await);
        let posted = self.posted.load(Relaxed);
        let content = if posted { Some(load::content(&*self.store, registry, plugins).await?) } else { None };
        let (version, hash) = (self.store.contents_version(), self.hash().to_string());
        Ok((PassedOn { version, hash, posted: content }, held))
    }

    /// Goes on where the process before was: its versions, and what was posted to it. Answers whether there was such.
    ///
    /// # Errors
    /// When this process cannot serve what that one did.
    pub async fn go_on(
        &self,
        before: PassedOn,
        registry: Arc<Registry>,
        plugins: Arc<dyn Plugins>,
    ) -> Result<bool, LoadError> {
        self.store.go_on_from(before.version);
        let Some(content) = before.posted else { return Ok(false) };
        let source = Source::Operator { unless_same: false };
        self.load(Given::Content(content), registry, plugins, source).await?;
        self.store.set_hash(&before.hash);
        Ok(true)
    }
}
