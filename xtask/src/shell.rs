//! Running other programs: every step is announced, every child is ended by its own process id.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("the crate is a folder of the workspace").to_path_buf()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |directory| root().join(directory))
}

/// A line about what happens next.
pub fn say(text: impl AsRef<str>) {
    eprintln!("xtask: {}", text.as_ref());
}

/// A command that starts in the root of the workspace.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Says what is run, runs it, and fails if it does.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    say(&line);
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// What a command wrote to its standard output; fails if it does.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command.output().with_context(|| format!("starting `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command can be started and succeeds, in silence.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Where a program is: on the path, or where Debian puts what only root may run.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(also).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The children that live now, for `end_children_on_signals`.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// From now on Ctrl-C, SIGTERM and SIGHUP end this program's children before they end it.
pub fn end_children_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let _context = runtime.enter();
        signals.push(signal(kind)?);
    }
    std::thread::spawn(move || {
        runtime.block_on(std::future::poll_fn(|context| {
            let caught = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if caught { Poll::Ready(()) } else { Poll::Pending }
        }));
        for pid in CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            succeeds(Command::new("kill").arg(pid.to_string()));
        }
        std::process::exit(130);
    });
    Ok(())
}

/// A child that is ended when this is dropped: SIGTERM first, SIGKILL after three seconds.
pub struct Running(Child);

impl Running {
    /// Starts it with no input.
    pub fn start(command: &mut Command) -> Result<Self> {
        let line = line(command);
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("starting `{line}`"))?;
        CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        Ok(Self(child))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Fails once it has ended by itself.
    pub fn alive(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("process {} ended with {status}", self.pid()),
        }
    }

    /// Sends a signal by name and waits for the end. False if it did not end in time.
    pub fn signal(&mut self, name: &str, patience: Duration) -> bool {
        if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
            return true;
        }
        succeeds(Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]));
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.signal("TERM", Duration::from_secs(3)) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
        let pid = self.pid();
        CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).retain(|child| *child != pid);
    }
}

/// A TCP port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("looking for a free port")?.local_addr()?.port())
}

/// Writes a file if its content differs; true if it did.
pub fn write_if_changed(file: &Path, content: &[u8]) -> Result<bool> {
    if std::fs::read(file).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(file, content).with_context(|| format!("writing {}", file.display()))?;
    Ok(true)
}
