//! Secrets that the configuration only refers to: which vault a reference means, what the vault answers, and how long an
//! answer counts. Asked when a snapshot is built, never by a request; nothing it answers is stored or shown.

mod environment;
mod file;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::model::{Object, ReferenceError, VAULT_KINDS, VaultReference};

/// Why a reference does not resolve. Says nothing of what the vault holds.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The reference itself.
    #[error("{0}")]
    Reference(#[from] ReferenceError),
    /// Neither a prefix nor a kind.
    #[error("there is no vault with the prefix '{0}'")]
    Unknown(String),
    /// A `vaults` entity of a kind that is not built in.
    #[error("vault '{0}' is not installed")]
    Kind(String),
    /// The vault holds nothing of this name.
    #[error("the vault has no such secret")]
    Missing,
    /// A name that the vault does not take.
    #[error("the vault takes no such name")]
    Name,
    /// Bytes that are no text.
    #[error("the secret is not UTF-8")]
    NotText,
    /// The reference has a key, and the secret is no JSON object with a text of that name.
    #[error("the secret is not a JSON object with a text of that key")]
    Key,
    /// The secret is too long.
    #[error("the secret is longer than {0} bytes")]
    TooLong(u64),
    /// The `file` vault without a folder.
    #[error("no folder of secrets is set (vault_file_dir)")]
    NoFolder,
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// `vaults` entities: prefix to kind and settings.
pub type Configured = BTreeMap<Arc<str>, (Arc<str>, Object)>;

/// Every vault, and the answers that still count.
pub struct Vaults {
    folder: Option<PathBuf>,
    /// How often an answer is asked for again that says nothing of its life.
    rotation: Duration,
    known: HashMap<Arc<str>, Known>,
}

/// Shows no secret.
impl fmt::Debug for Vaults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Vaults").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

/// What is known of a reference.
struct Known {
    /// `None`: it does not resolve.
    value: Option<Arc<str>>,
    /// When the vault is asked again.
    due: Instant,
    /// Since when it has failed, if it does.
    failing: Option<Instant>,
    /// Asked for since the last [`Vaults::forget_unused`].
    used: bool,
}

impl Vaults {
    /// Knows nothing yet. `folder` is that of the `file` vault.
    pub fn new(folder: Option<PathBuf>, rotation: Duration) -> Self {
        Self { folder, rotation, known: HashMap::new() }
    }

    /// The secret behind a reference: from the vault, or a former answer while that counts. Empty when it does not
    /// resolve, which is logged.
    pub async fn value(&mut self, reference: &str, configured: &Configured, now: Instant) -> Arc<str> {
        if self.known.get(reference).is_none_or(|known| known.due <= now) {
            self.ask(reference, configured, now).await;
        }
        let Some(known) = self.known.get_mut(reference) else { return Arc::default() };
        known.used = true;
        known.value.clone().unwrap_or_default()
    }

    /// Asks again for what is due. True when any value changed.
    pub async fn rotate(&mut self, configured: &Configured, now: Instant) -> bool {
        let due: Vec<Arc<str>> =
            self.known.iter().filter(|(_, known)| known.due <= now).map(|(reference, _)| reference.clone()).collect();
        let mut changed = false;
        for reference in due {
            changed |= self.ask(&reference, configured, now).await;
        }
        changed
    }

    /// Forgets every answer: vaults were configured anew.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Forgets the answers that nothing asked for since the last call.
    pub fn forget_unused(&mut self) {
        self.known.retain(|_, known| std::mem::take(&mut known.used));
    }

    /// True when the value changed.
    async fn ask(&mut self, reference: &str, configured: &Configured, now: Instant) -> bool {
        let (answer, life) = self.look_up(reference, configured).await;
        let before = self.known.remove(reference);
        let old = before.as_ref().and_then(|known| known.value.clone());
        let failing = before.as_ref().and_then(|known| known.failing);
        let used = before.is_some_and(|known| known.used);
        let next = match answer {
            Ok(value) => {
                if failing.is_some() {
                    tracing::info!(reference, "a vault reference resolves again");
                }
                Known { value: Some(value), due: now + life.ttl.unwrap_or(self.rotation), failing: None, used }
            }
            Err(error) => {
                let since = failing.unwrap_or(now);
                let value = old.clone().filter(|_| life.resurrect.is_none_or(|limit| now - since < limit));
                if failing.is_none() || value != old {
                    let kept = value.is_some();
                    tracing::warn!(reference, %error, kept, "a vault reference does not resolve");
                }
                Known { value, due: now + life.negative.unwrap_or(self.rotation), failing: Some(since), used }
            }
        };
        let changed = next.value != old;
        self.known.insert(reference.into(), next);
        changed
    }

    async fn look_up(&self, text: &str, configured: &Configured) -> (Result<Arc<str>, VaultError>, Life) {
        let reference = match VaultReference::parse(text) {
            Ok(reference) => reference,
            Err(error) => return (Err(error.into()), Life::default()),
        };
        let (kind, mut settings) = match configured.get(&*reference.vault) {
            Some((kind, settings)) => (kind.to_string(), settings.clone()),
            None if VAULT_KINDS.contains(&&*reference.vault) => (reference.vault.clone(), Object::new()),
            None => return (Err(VaultError::Unknown(reference.vault)), Life::default()),
        };
        for (name, value) in &reference.options {
            settings.insert(name.clone(), value.as_str().into());
        }
        let life = Life::of(&settings);
        let prefix = settings.get("prefix").and_then(Value::as_str).unwrap_or_default();
        let answer = match &*kind {
            "env" => environment::get(prefix, &reference),
            "file" => file::get(self.folder.as_deref(), prefix, &reference).await,
            _ => Err(VaultError::Kind(kind)),
        };
        (answer.map(Arc::from), life)
    }
}

/// The secret behind a reference in the settings of the node, by one of the kinds that need no configuration. Blocks.
///
/// # Errors
/// What is wrong, without a word of what the vault holds.
pub fn look_up_once(reference: &str, folder: Option<&Path>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let vaults = Vaults::new(folder.map(Path::to_owned), Duration::MAX);
    let (secret, _) = runtime.block_on(vaults.look_up(reference, &Configured::new()));
    secret.map(|secret| secret.to_string()).map_err(|error| error.to_string())
}

/// How long answers count; `None` leaves it to the rotation.
#[derive(Debug, Default, Clone, Copy)]
struct Life {
    /// Of a value.
    ttl: Option<Duration>,
    /// Of a failure.
    negative: Option<Duration>,
    /// Of an old value when asking again fails; `None`: without end.
    resurrect: Option<Duration>,
}

impl Life {
    fn of(settings: &Object) -> Self {
        let time = |name: &str| {
            let value = settings.get(name)?;
            let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
            Duration::try_from_secs_f64(seconds).ok().filter(|time| *time < Duration::from_secs(1 << 32))
        };
        Self { ttl: time("ttl"), negative: time("neg_ttl"), resurrect: time("resurrect_ttl") }
    }
}

/// The text of a JSON object's member.
fn member(secret: &str, key: &str) -> Result<String, VaultError> {
    let object: Object = serde_json::from_str(secret).map_err(|_| VaultError::Key)?;
    object.get(key).and_then(Value::as_str).map(str::to_owned).ok_or(VaultError::Key)
}

#[cfg(test)]
mod tests;
