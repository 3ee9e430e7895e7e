//! The gateway's process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::log::{Addresses, Log};

/// No gateway needs longer to start: a first start compiles every built-in plugin.
const START: Duration = Duration::from_secs(120);

/// A running gateway; killed when dropped.
pub struct Process {
    child: Child,
    /// Processes that took over from it; the last one serves.
    heirs: Vec<u32>,
    data: PathBuf,
    /// Another process may be at work on the same data by now.
    is_killed: bool,
    pub log: Log,
    pub at: Addresses,
}

impl Process {
    /// Starts the binary that cargo built for these tests, and waits until it is ready.
    pub async fn start(data: &Path, settings: &[(String, String)]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandgate"));
        command.arg("run").env_clear().current_dir(data).stdin(Stdio::null()).stdout(Stdio::null());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.env("SANDGATE_DATA_DIR", data).env("SANDGATE_LOG_FORMAT", "json");
        let mut child = command.stderr(Stdio::piped()).spawn().context("starting the gateway")?;
        let log = Log::listen(child.stderr.take().context("a gateway without standard error")?);
        match log.ready(START).await {
            Ok(at) => Ok(Self { child, heirs: Vec::new(), data: data.to_owned(), is_killed: false, log, at }),
            Err(error) => {
                _ = child.kill();
                _ = child.wait();
                Err(error)
            }
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends a signal to the process that serves.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Has another process take over, and waits until it serves and the one before has ended.
    pub async fn hand_over(&mut self, patience: Duration) -> Result<()> {
        let before = self.take_over(patience).await?;
        self.gone(before, patience).await
    }

    /// Has another process take over, and waits until it serves. The process before, which may still have connections.
    pub async fn take_over(&mut self, patience: Duration) -> Result<u32> {
        let before = self.id();
        self.signal(Signal::USR2)?;
        let (heir, at) = self.log.taken_over(before, patience).await?;
        self.heirs.push(heir);
        self.at = at;
        Ok(before)
    }

    /// Waits until a process before has ended.
    pub async fn gone(&mut self, before: u32, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        while self.runs(before)? {
            if Instant::now() > end {
                bail!("process {before} still runs after {patience:?}:\n{}", self.log.tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Id of the process that serves.
    pub fn id(&self) -> u32 {
        self.heirs.last().copied().unwrap_or_else(|| self.child.id())
    }

    /// Whether a process does anything: one that ended and was not waited for does not.
    fn runs(&mut self, id: u32) -> Result<bool> {
        if id == self.child.id() {
            return Ok(self.child.try_wait()?.is_none());
        }
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        Ok(stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with(['Z', 'X'])))
    }

    /// Stops it from running, as a machine that hangs; or lets it run on.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        Ok(kill_process(self.pid()?, if frozen { Signal::STOP } else { Signal::CONT })?)
    }

    /// Ends it at once, as kill -9 does, and those that took over or were about to.
    pub fn kill(&mut self) -> Result<()> {
        self.is_killed = true;
        self.child.kill()?;
        self.child.wait()?;
        for process in at_work(&self.data) {
            // It may end by itself just now.
            _ = kill_process(process, Signal::KILL);
        }
        Ok(())
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("the gateway still runs after {patience:?}:\n{}", self.log.tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// A line of `/proc/<pid>/status` that counts kilobytes: `VmRSS` now, `VmHWM` at most since the start. In bytes.
    pub fn memory(&self, line: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let found = status.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(':'));
        let kilobytes: u64 = found.context("the line")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// Lets `VmHWM` count from now on: what starting took is no matter.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.id())?).context("a process id")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_killed {
            _ = self.kill();
        }
    }
}

/// The processes of gateways on this data.
fn at_work(data: &Path) -> Vec<Pid> {
    let mark = format!("SANDGATE_DATA_DIR={}", data.display());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let works = |id: &i32| {
        let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    ids.filter(works).filter_map(Pid::from_raw).collect()
}
