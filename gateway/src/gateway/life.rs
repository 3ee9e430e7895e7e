//! From the first request to the last: what signals ask for, and the way out.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    BACKGROUND_GRACE, GatewayError,
    handover::{self, HandoverError, Program, Successor},
    notify::Notifier,
    possessions::{Owner, Parcel},
    sockets::Estate,
    workers::Workers,
};
use crate::{
    plugin::Services,
    shutdown::{Drain, Ending, Shutdown, Tasks},
    store::Store,
};

/// What lives as long as the process.
pub(super) struct Life {
    pub(super) control: Runtime,
    pub(super) tasks: Tasks,
    pub(super) store: Arc<dyn Store>,
    pub(super) services: Arc<Services>,
    pub(super) workers: Workers,
    pub(super) estate: Estate,
    pub(super) owner: Owner,
    pub(super) program: Program,
    pub(super) notifier: Notifier,
    pub(super) signals: Signals,
    pub(super) pid_file: PathBuf,
    /// Given when another process took over.
    pub(super) replaced: Shutdown,
}

impl Life {
    /// Serves until a signal says otherwise, then drains.
    pub(super) fn live(mut self) -> Result<(), GatewayError> {
        // Nothing is loaded any more: nobody would serve it.
        let mut kept = None;
        let step = loop {
            match self.control.block_on(self.signals.next()) {
                Wish::End => break Ending::Close,
                Wish::Upgrade => match self.upgrade() {
                    Ok(Some((process, parcel))) => {
                        tracing::info!(process, "another process has taken over");
                        kept = Some(parcel);
                        break Ending::Retire;
                    }
                    Ok(None) => break Ending::Close,
                    Err(error) => tracing::error!(%error, "nobody took over; this process goes on"),
                },
            }
        };
        let ended = self.end(step);
        drop(kept);
        ended
    }

    /// Starts the next process. The id of the one that serves, and what it got; nothing when the end was asked for meanwhile.
    fn upgrade(&mut self) -> Result<Option<(u32, Parcel)>, HandoverError> {
        tracing::info!("another process is started to take over");
        let mut parcel = self.control.block_on(self.owner.pack())?;
        let heirlooms = self.estate.heirlooms.iter().chain(&parcel.memories);
        let successor = Successor::start(&self.program, heirlooms)?;
        // They are its own now, secrets among them.
        parcel.memories.clear();
        let channel = successor.channel()?;
        self.control.block_on(async {
            let mut waiting = self.tasks.runtime().spawn_blocking(move || successor.ready());
            // A dropped wait for signals loses none.
            let outcome = tokio::select! {
                outcome = &mut waiting => outcome,
                () = self.signals.end() => {
                    handover::give_up(&channel);
                    _ = waiting.await;
                    return Ok(None);
                }
            };
            outcome.map_err(io::Error::other)?.map(|process| Some((process, parcel)))
        })
    }

    fn end(self, step: Ending) -> Result<(), GatewayError> {
        tracing::info!("ending: connections are being drained");
        if step == Ending::Retire {
            self.replaced.trigger();
            // The file names the other process now, and the sockets in the file system are its own.
            drop(self.estate);
        } else {
            self.notifier.stopping();
            forget(&self.pid_file);
            self.estate.dissolve();
        }
        let drain = self.workers.order();
        drain.advance(step);
        self.tasks.spawn("a second signal", {
            let (drain, ending, mut signals) = (drain.clone(), self.tasks.shutdown(), self.signals);
            async move {
                // Whichever is dropped is of no use any more.
                tokio::select! {
                    () = signals.hurry(&drain) => {}
                    () = ending.triggered() => {}
                }
            }
        });
        let dial = self.workers.dial();
        self.workers.join();
        dial.access_logs().for_each(|log| log.flush(BACKGROUND_GRACE));
        let cut = self.control.block_on(self.tasks.drain(BACKGROUND_GRACE));
        for task in cut {
            tracing::warn!(task = &*task, "background work was cut");
        }
        let closing = async { tokio::time::timeout(BACKGROUND_GRACE, self.store.close()).await };
        if self.control.block_on(closing).is_err() {
            tracing::warn!("connections to the configuration database were cut");
        }
        self.services.flush_sinks();
        tracing::info!("ended");
        Ok(())
    }
}

/// What a signal asks for.
enum Wish {
    End,
    Upgrade,
}

/// The signals that end the process or have it replaced. Those of before it was made are lost, and may kill.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    upgrade: Signal,
}

impl Signals {
    /// Must be made on a runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Wish {
        // Receiving a signal is cancel-safe.
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.quit.recv() => Wish::End,
            _ = self.upgrade.recv() => Wish::Upgrade,
        }
    }

    async fn end(&mut self) {
        while !matches!(self.next().await, Wish::End) {}
    }

    /// The drain began: another SIGQUIT changes nothing, SIGTERM and SIGINT cut what is open.
    async fn hurry(&mut self, drain: &Drain) {
        // Receiving a signal is cancel-safe.
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::warn!("told to end at once: connections are cut");
        drain.advance(Ending::Cut);
    }
}

/// Writes the id of this process where commands look for it. Written aside and moved, so that nobody reads half of it.
pub(super) fn remember(file: &Path) -> io::Result<()> {
    let aside = file.with_extension(format!("{}.new", std::process::id()));
    fs::write(&aside, format!("{}\n", std::process::id()))?;
    fs::rename(aside, file)
}

/// Removes the file, unless it names another process by now.
fn forget(file: &Path) {
    let own = fs::read_to_string(file).is_ok_and(|text| text.trim() == std::process::id().to_string());
    if own && let Err(error) = fs::remove_file(file) {
        tracing::warn!(%error, file = %file.display(), "the pid file could not be removed");
    }
}
