//! Another process takes over: it is started with the same arguments, gets every listening socket, and says when it serves.
//! Until then this one goes on as if nothing were. docs/decisions/0018 tells why so.

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

use crate::listener::{self, Inherited};

/// Names the process that hands over, in the environment of the one that takes over.
const VARIABLE: &str = "SANDGATE_HANDOVER";
/// What a process says that serves.
const READY: &[u8] = b"ready";
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

    /// Its sockets.
    pub(super) fn inherit(&self) -> io::Result<Inherited> {
        Inherited::named(listener::inherit(&self.0)?)
    }

    /// Lets it end.
    pub(super) fn tell_ready(&self) {
        // It may be gone already, which it was to be anyway.
        _ = send(&self.0, READY, SendFlags::NOSIGNAL);
    }
}

/// A process that takes over.
#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    channel: OwnedFd,
}

impl Successor {
    /// Starts it and gives it the sockets.
    pub(super) fn start(program: &Program, heirlooms: &[(String, OwnedFd)]) -> Result<Self, HandoverError> {
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
        let mut word = [0; 16];
        let outcome = loop {
            match recv(&self.channel, &mut word, RecvFlags::empty()) {
                Ok((length, _)) if &word[..length] == READY => return Ok(self.child.id()),
                Ok(_) => break "it ended".to_owned(),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break format!("not within {PATIENCE:?}"),
                Err(error) => break error.to_string(),
            }
        };
        Err(HandoverError::NotReady(self.end().unwrap_or(outcome)))
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
