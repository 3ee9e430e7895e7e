//! Declarative files: loading one in place of everything there is, `/config`, and what an import or an export of a
//! database does.

mod identify;
mod import;
mod load;
mod pass_on;
mod prune;
mod resource;
mod room;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use md5::{Digest, Md5};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    model::{
        Object, Registry,
        declarative::{Invalid, Loaded, Syntax, parse},
    },
    store::{MemoryStore, Version},
};

use super::context::Plugins;

pub use import::{Change, FieldChange, Plan, import};
pub use load::{Reading, export, resolve};
pub use pass_on::{Held, PassedOn};
pub use prune::Others;
pub(super) use resource::config;

/// The configuration of a gateway without a database.
#[derive(Debug)]
pub struct Declarative {
    store: Arc<MemoryStore>,
    /// Held by the load that is under way.
    loading: Arc<Mutex<()>>,
    /// Whether what there is came from an operator, and not from what the settings name.
    posted: AtomicBool,
}

/// Whose word a configuration is. The last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The file or text that the settings name, which the next process reads as well.
    Settings,
    /// `POST /config`; what is loaded already may be left alone.
    Operator {
        /// Whether it is.
        unless_same: bool,
    },
}

/// Why a load did nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Another one is under way, or what there is is being passed on to another process.
    #[error("another configuration is being loaded, or passed on to another process")]
    Busy,
    /// The text is what was loaded last.
    #[error("the configuration is the same")]
    Same,
    /// It is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// What is to be loaded.
#[derive(Debug)]
pub enum Given {
    /// A text.
    Text(String, Syntax),
    /// A content that was parsed already.
    Content(Value),
}

impl Given {
    /// MD5 of the text, hexadecimal.
    fn hash(&self) -> String {
        let digest = match self {
            Given::Text(text, _) => Md5::digest(text),
            Given::Content(content) => Md5::digest(content.to_string()),
        };
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn content(self) -> Result<Value, Invalid> {
        match self {
            Given::Text(text, syntax) => parse(&text, syntax),
            Given::Content(content) => Ok(content),
        }
    }
}

impl Declarative {
    /// Over a store that only loads change.
    pub fn new(store: Arc<MemoryStore>) -> Self {
        Self { store, loading: Arc::default(), posted: AtomicBool::new(false) }
    }

    /// The hash of the text that was loaded last.
    pub fn hash(&self) -> Arc<str> {
        self.store.hash()
    }

    /// Puts what is given in place of everything there is. Whatever is wrong with it, what there is stays.
    pub async fn load(
        &self,
        given: Given,
        registry: Arc<Registry>,
        plugins: Arc<dyn Plugins>,
        source: Source,
    ) -> Result<(Version, Loaded), LoadError> {
        let _loading = self.loading.try_lock().map_err(|_| LoadError::Busy)?;
        let hash = given.hash();
        if source == (Source::Operator { unless_same: true }) && *self.hash() == *hash {
            return Err(LoadError::Same);
        }
        let loaded = resolve(move || given.content(), registry, plugins, Reading::Gateway).await?;
        let entities: Vec<_> = loaded.entities.iter().map(|one| (one.collection.clone(), one.object.clone())).collect();
        // A file that says nothing has the hash of nothing.
        let hash = if entities.is_empty() { crate::store::EMPTY_HASH } else { &hash };
        self.posted.store(source != Source::Settings, Relaxed);
        Ok((self.store.replace(&entities, hash), loaded))
    }
}

/// The id of an entity.
fn id(entity: &Object) -> &str {
    entity.get("id").and_then(Value::as_str).unwrap_or_default()
}
