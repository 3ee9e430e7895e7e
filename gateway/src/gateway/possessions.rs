//! What the next process gets beside sockets: the configuration that was posted to a node without a database, and the keys
//! of session tickets. Both may be secret, so they go through memory that has no name in the file system.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use zeroize::Zeroizing;

use super::{certificates::NodeTls, desk::Desk, handover::HandoverError};
use crate::{
    admin::declarative::{Declarative, Held, PassedOn},
    model::Registry,
    tls::Tickets,
};

/// Names under which they are handed over. A socket's name begins with its room.
const CONFIGURATION: &str = "memory configuration";
const TICKET_KEYS: &str = "memory ticket keys";

/// Where they come from.
pub(super) struct Owner {
    pub(super) declarative: Option<Arc<Declarative>>,
    pub(super) registry: Arc<ArcSwap<Registry>>,
    pub(super) desk: Arc<Desk>,
    pub(super) tls: Arc<NodeTls>,
}

/// What an owner has, ready to be sent. While it lives, no configuration is loaded.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) memories: Vec<(String, OwnedFd)>,
    _held: Option<Held>,
}

impl Owner {
    /// Packs everything. Waits for the load that is under way.
    pub(super) async fn pack(&self) -> Result<Parcel, HandoverError> {
        let mut parcel = Parcel::default();
        parcel.memories.push((TICKET_KEYS.to_owned(), remember(&self.tls.tickets().bequeath())?));
        if let Some(declarative) = &self.declarative {
            let (passed_on, held) = declarative.pass_on(&self.registry.load(), &*self.desk).await?;
            let text = Zeroizing::new(serde_json::to_vec(&passed_on).map_err(io::Error::from)?);
            parcel.memories.push((CONFIGURATION.to_owned(), remember(&text)?));
            parcel._held = Some(held);
        }
        Ok(parcel)
    }
}

/// What this process got.
#[derive(Default)]
pub(super) struct Possessions {
    pub(super) configuration: Option<PassedOn>,
    ticket_keys: Zeroizing<Vec<u8>>,
}

/// Without the keys.
impl std::fmt::Debug for Possessions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Possessions").field("configuration", &self.configuration).finish_non_exhaustive()
    }
}

impl Possessions {
    /// Takes them from what was handed over, and leaves the sockets.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(super) fn take(heirlooms: &mut Vec<(String, OwnedFd)>) -> io::Result<Self> {
        let mut taken = Self::default();
        for (name, memory) in heirlooms.extract_if(.., |(name, _)| name.starts_with("memory ")) {
            match &*name {
                CONFIGURATION => taken.configuration = Some(serde_json::from_slice(&recall(memory)?)?),
                TICKET_KEYS => taken.ticket_keys = recall(memory)?,
                _ => tracing::warn!(name, "something was handed over that this version does not know"),
            }
        }
        Ok(taken)
    }

    /// Lets sessions of the process before go on.
    pub(super) fn give_keys(&self, tickets: &Tickets) {
        if tickets.inherit(&self.ticket_keys).is_err() {
            tracing::warn!("the keys of session tickets cannot be taken over: clients shake hands anew");
        }
    }
}

/// Memory with these bytes, which nobody can change any more.
fn remember(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut memory = File::from(memfd_create("sandgate", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    memory.write_all(bytes)?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(memory.into())
}

fn recall(memory: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let memory = File::from(memory);
    let length = usize::try_from(memory.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    // Both processes have one position in it, which is at its end.
    memory.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_it_was_written_and_changes_no_more() {
        let memory = remember(b"some words").unwrap();
        assert!(File::from(memory.try_clone().unwrap()).write_at(b"x", 0).is_err());
        assert_eq!(&recall(memory).unwrap()[..], b"some words");
        assert!(recall(remember(b"").unwrap()).unwrap().is_empty());
    }

    #[test]
    fn sockets_are_left_where_they_are() {
        let socket = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
        let memory = |text: &[u8]| remember(text).unwrap();
        let configuration = br#"{"version":7,"hash":"h","posted":{"_format_version":"3.0"}}"#;
        let mut heirlooms = vec![
            ("proxy 0 127.0.0.1:0".to_owned(), socket()),
            (CONFIGURATION.to_owned(), memory(configuration)),
            ("memory of a later version".to_owned(), memory(b"")),
            (TICKET_KEYS.to_owned(), memory(b"keys")),
        ];
        let taken = Possessions::take(&mut heirlooms).unwrap();
        let shown = format!("{taken:?}");
        assert!(!shown.contains("3.0") && !shown.contains("107"), "{shown}");
        assert!(taken.configuration.unwrap().is_posted());
        assert_eq!((&taken.ticket_keys[..], heirlooms.len()), (&b"keys"[..], 1));
    }
}
