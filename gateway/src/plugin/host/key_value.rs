//! `key-value`: small values shared by all workers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;

use super::clock;
use crate::plugin::{
    bindings::sandgate::plugin::{key_value::Host, types::HostError},
    instance::HostState,
};

const LONGEST: usize = 64 << 10;
const MOST: usize = 64 << 20;

/// Values by plugin and key.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Values {
    entries: DashMap<String, Entry>,
    bytes: DashMap<String, AtomicUsize>,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    until: Option<u64>,
}

impl Values {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let entry = self.entries.get(key)?;
        entry.until.is_none_or(|until| clock::now() < until).then(|| entry.value.clone())
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Option<u32>) -> Result<(), HostError> {
        // Never a lock of one map within one of the other: `sweep` takes them the other way round.
        let before = self.entries.get(&key).map_or(0, |entry| entry.value.len());
        let bytes = self.bytes.entry(plugin_of(&key).to_owned()).or_default();
        let total = bytes.load(Relaxed).saturating_sub(before) + value.len();
        if total > MOST {
            return Err(HostError::Failed(format!("the values of the plugin would take {total} bytes")));
        }
        bytes.store(total, Relaxed);
        drop(bytes);
        let until = ttl.map(|ttl| clock::now() + u64::from(ttl));
        self.entries.insert(key, Entry { value, until });
        Ok(())
    }

    fn delete(&self, key: &str) {
        if let Some((key, entry)) = self.entries.remove(key) {
            self.forget(&key, entry.value.len());
        }
    }

    fn forget(&self, key: &str, size: usize) {
        if let Some(bytes) = self.bytes.get(plugin_of(key)) {
            bytes.fetch_sub(size.min(bytes.load(Relaxed)), Relaxed);
        }
    }

    /// Lets go of values whose time is over.
    pub(in crate::plugin) fn sweep(&self) {
        let now = clock::now();
        self.entries.retain(|key, entry| {
            let stays = entry.until.is_none_or(|until| now < until);
            if !stays {
                self.forget(key, entry.value.len());
            }
            stays
        });
    }
}

fn plugin_of(key: &str) -> &str {
    key.split('\n').next().unwrap_or_default()
}

impl Host for HostState {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        self.permit("key-value")?;
        let key = self.own_key(&key)?;
        Ok(self.services().values.get(&key))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl: Option<u32>) -> Result<(), HostError> {
        self.permit("key-value")?;
        if value.len() > LONGEST {
            return Err(HostError::Invalid(format!("a value of {} bytes", value.len())));
        }
        let key = self.own_key(&key)?;
        self.services().values.set(key, value, ttl)
    }

    fn delete(&mut self, key: String) -> Result<(), HostError> {
        self.permit("key-value")?;
        let key = self.own_key(&key)?;
        self.services().values.delete(&key);
        Ok(())
    }
}
