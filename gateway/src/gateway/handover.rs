//! Another process takes over: it is started with the same arguments, gets every listening socket and what else only this
//! process has, and says when it serves or why it does not. Until then this one goes on as if nothing were.
//! docs/decisions/0018 tells why so.

use std::{
    env, io,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown as Direction, SocketFlags, SocketType, recv, send, shutdown,
    socketpair,
    sockopt::{Timeout, set_socket_timeout},
};

use super::possessions::Possessions;
use crate::{
    listener::{self, Inherited},
    store::StoreError,
};

/// Names the process that hands over, in the environment of the one that takes over.
const VARIABLE: &str = "SANDGATE_HANDOVER";
/// What a process says that serves.
const READY: &[u8] = b"ready";
/// How a process begins that says why it does not serve.
const FAILED: &[u8] = b"failed ";
/// Bytes of what it says at most.
const WORDS: usize = 4096;
/// How long it may take to say so: it may have to wait for its database.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a process that failed may take to end.
const END: Duration = Duration::from_secs(5);

/// Why nobody took over.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandoverError {
    /// The system.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The configuration of this process could not be read.
    #[error("the configuration cannot be passed on: {0}")]
    Store(#[from] StoreError),
    /// The new process ended, or was too slow.
    #[error("the new process did not start: {0}")]
    NotReady(String),
}

impl From<rustix::io::Errno> for HandoverError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

/// How to start this program again. Known before the file may be replaced.
#[derive(Debug, Clone)]
pub(super) struct Program(PathBuf);

impl Program {
    pub(super) fn current() -> io::Result<Self> {
        env::current_exe().map(Self)
    }
}

/// The process before this one.
#[derive(Debug)]
pub(super) struct Predecessor(OwnedFd);

impl Predecessor {
    /// There is one if it is our parent, and standard input is the way to it.
    pub(super) fn find() -> io::Result<Option<Self>> {
        let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().to_string());
        if env::var(VARIABLE).ok().filter(|named| Some(named) == parent.as_ref()).is_none() {
            return Ok(None);
        }
        Ok(Some(Self(io::stdin().as_fd().try_clone_to_owned()?)))
    }

    /// Its sockets, and what else it has.
    pub(super) fn inherit(&self) -> io::Result<(Inherited, Possessions)> {
        let mut heirlooms = listener::inherit(&self.0)?;
        let possessions = Possessions::take(&mut heirlooms)?;
        Ok((Inherited::named(heirlooms)?, possessions))
    }

    /// Lets it end.
    pub(super) fn tell_ready(&self) {
        // It may be gone already, which it was to be anyway.
        _ = send(&self.0, READY, SendFlags::NOSIGNAL);
    }

    /// Lets it go on, and know why.
    pub(super) fn tell_failed(&self, error: &dyn std::error::Error) {
        let mut words = [FAILED, error.to_string().as_bytes()].concat();
        let mut cause = error.source();
        while let Some(error) = cause {
            words.extend_from_slice(format!(": {error}").as_bytes());
            cause = error.source();
        }
        words.truncate(WORDS);
        _ = send(&self.0, &words, SendFlags::NOSIGNAL);
    }
}

/// A process that takes over.
#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    channel: OwnedFd,
}

impl Successor {
    /// Starts it and gives it what it needs.
    pub(super) fn start<'a>(
        program: &Program,
        heirlooms: impl Iterator<Item = &'a (String, OwnedFd)>,
    ) -> Result<Self, HandoverError> {
        let (channel, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&channel, Timeout::Recv, Some(PATIENCE))?;
        set_socket_timeout(&channel, Timeout::Send, Some(END))?;
        let mut command = Command::new(&program.0);
        command.args(env::args_os().skip(1)).stdin(Stdio::from(other)).env(VARIABLE, std::process::id().to_string());
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        let mut successor = Self { child: command.spawn()?, channel };
        // Our copy of its end, so that we hear when it is gone.
        drop(command);
        if let Err(error) = listener::bequeath(&successor.channel, heirlooms) {
            successor.end();
            return Err(error.into());
        }
        Ok(successor)
    }

    /// Another hand at the way to it: shutting it down ends the wait.
    pub(super) fn channel(&self) -> io::Result<OwnedFd> {
        self.channel.as_fd().try_clone_to_owned()
    }

    /// Waits until it serves; blocks. Answers with its process id. One that does not get there is ended.
    pub(super) fn ready(mut self) -> Result<u32, HandoverError> {
        let mut words = [0; WORDS];
        let outcome = loop {
            match recv(&self.channel, &mut words, RecvFlags::empty()) {
                Ok((length, _)) if &words[..length] == READY => return Ok(self.child.id()),
                Ok((length, _)) => {
                    let told = words[..length].strip_prefix(FAILED);
                    let told = told.map(|reason| String::from_utf8_lossy(reason).into_owned());
                    let ended = self.end();
                    break told.or(ended).unwrap_or_else(|| "it ended".to_owned());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    break self.end().unwrap_or_else(|| format!("not within {PATIENCE:?}"));
                }
                Err(error) => break self.end().unwrap_or_else(|| error.to_string()),
            }
        };
        Err(HandoverError::NotReady(outcome))
    }

    /// Ends it, and says how it ended by itself.
    fn end(&mut self) -> Option<String> {
        let last = Instant::now() + END;
        while Instant::now() < last {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status.to_string());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        _ = self.child.kill();
        _ = self.child.wait();
        None
    }
}

/// The wait is over: this process was told to end.
pub(super) fn give_up(channel: &OwnedFd) {
    _ = shutdown(channel, Direction::Both);
}
