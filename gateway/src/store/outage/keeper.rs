//! Writes snapshots to disk, in the background.

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use super::{Resilient, disk::Rotate, image::Image};
use crate::{
    shutdown::{QuietThread, Shutdown},
    store::{Store, StoreError, Version},
};

/// What the writer's thread yields to the workers, as Linux counts it: a large configuration is read through and through,
/// again and again while it changes.
const NICENESS: i32 = 15;

/// Why a snapshot was not written.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("the code of a module cannot be read")]
    Store(#[from] StoreError),
    #[error("the code of the module {0} is not in the database")]
    Code(String),
    #[error("writing failed")]
    Io(#[from] io::Error),
}

/// What is on disk.
#[derive(Default)]
struct Kept {
    /// Of the newest snapshot.
    generation: u64,
    /// Digests of the code there.
    code: HashSet<String>,
    /// Whether the newest snapshot is one that this process wrote or found whole.
    whole: bool,
}

/// Writes a snapshot after each configuration that is served, at most one in `interval`, and the last one at the end.
pub async fn keep(store: Arc<Resilient>, mut served: watch::Receiver<Version>, interval: Duration, ending: Shutdown) {
    let mut kept = Kept::default();
    let thread = QuietThread::start("snapshot-writer", NICENESS);
    loop {
        served.borrow_and_update();
        let done = write(&store, &mut kept, &thread).await;
        if let Err(error) = &done {
            tracing::error!(error = error as &dyn std::error::Error, "the snapshot on disk is not up to date");
        }
        // Neither arm loses anything: what is new is found by its generation.
        _ = timeout(interval, ending.triggered()).await;
        tokio::select! {
            () = ending.triggered() => {}
            Ok(()) = served.changed(), if done.is_ok() => {}
            () = tokio::time::sleep(interval), if done.is_err() => {}
        }
        if ending.is_triggered() {
            if let Err(error) = write(&store, &mut kept, &thread).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the snapshot on disk is not up to date");
            }
            return;
        }
    }
}

async fn write(store: &Arc<Resilient>, kept: &mut Kept, thread: &QuietThread) -> Result<(), KeepError> {
    let (image, generation) = {
        let known = store.read();
        if known.generation == kept.generation {
            return Ok(());
        }
        (known.image.clone(), known.generation)
    };
    keep_code(store, &image, kept).await?;
    if !kept.whole {
        let disk = store.disk.clone();
        kept.whole = thread.run(move || disk.is_whole()).await;
    }
    let (disk, rotate) = (store.disk.clone(), if kept.whole { Rotate::Yes } else { Rotate::No });
    thread.run(move || disk.write(&image, rotate)).await?;
    (kept.generation, kept.whole) = (generation, true);
    Ok(())
}

async fn keep_code(store: &Resilient, image: &Image, kept: &mut Kept) -> Result<(), KeepError> {
    let digests = image.digests();
    kept.code.retain(|digest| digests.contains(digest));
    for digest in digests {
        if kept.code.contains(&digest) {
            continue;
        }
        let (disk, name) = (store.disk.clone(), digest.clone());
        let there = spawn_blocking(move || disk.code(&name).is_some()).await.unwrap_or(false);
        if !there {
            let bytes = store.code(&digest).await?.ok_or_else(|| KeepError::Code(digest.clone()))?;
            let (disk, name) = (store.disk.clone(), digest.clone());
            spawn_blocking(move || disk.put_code(&name, &bytes)).await.map_err(io::Error::other)??;
        }
        kept.code.insert(digest);
    }
    Ok(())
}
