//! What the service manager is told (`sd_notify(3)`): when this process serves, reads its settings again, ends, and that it
//! lives.

use std::{
    env,
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use crate::shutdown::{Shutdown, Tasks};

/// The way to the service manager, if there is one.
#[derive(Debug, Clone)]
pub(super) struct Notifier(Option<OsString>);

impl Notifier {
    /// As the environment says.
    pub(super) fn from_environment() -> Self {
        Self(env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()))
    }

    /// This process serves. It may have taken over from another.
    pub(super) fn ready(&self) {
        self.tell(&format!("MAINPID={}\nREADY=1", std::process::id()));
    }

    /// The settings are read again, until it is ready.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The process ends.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says now and then that this process lives, if the manager wants to hear it.
    pub(super) fn watch(&self, took_over: bool, tasks: &Tasks, replaced: Shutdown) {
        let Some(limit) = limit(took_over) else { return };
        let (notifier, ending) = (self.clone(), tasks.shutdown());
        tasks.spawn("watchdog", async move {
            // Dropping either arm loses nothing.
            while tokio::time::timeout(limit / 2, ending.triggered()).await.is_err() {
                notifier.tell("WATCHDOG=1");
            }
            // The drain has bounds of its own, and may be longer than this one. Another process is watched on.
            if !replaced.is_triggered() {
                notifier.tell("WATCHDOG_USEC=0");
            }
        });
    }

    fn tell(&self, state: &str) {
        let Some(name) = &self.0 else { return };
        if let Err(error) = send(name, state) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}

fn send(name: &OsString, state: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// How often it wants to hear of this process.
fn limit(took_over: bool) -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = took_over || number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_states_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let unique = format!("sandgate-test-{}", std::process::id());
        let named = SocketAddr::from_abstract_name(&unique).unwrap();
        let sockets = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{unique}").into(), UnixDatagram::bind_addr(&named).unwrap()),
        ];
        for (name, socket) in sockets {
            Notifier(Some(name)).stopping();
            let mut heard = [0; 64];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"STOPPING=1");
        }
    }
}
