//! User instructions per request, counted by valgrind: the same on a noisy machine.
//!
//! The process runs under callgrind with counting off until it is ready, so that starting and compiling cost little.
//! Then a few and many requests are counted, and the difference is divided by the difference: what a load costs once is
//! in both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::load::Side;
use crate::shell;

const FEW: u64 = 200;
const MANY: u64 = 2200;

/// Counts for one process.
pub struct Counter {
    output: PathBuf,
    dumps: u32,
}

impl Counter {
    /// For a process that is about to be started below `under`.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { output: folder.join(format!("callgrind.{name}")), dumps: 0 }
    }

    /// What to start the process under.
    pub fn under(&self) -> Vec<String> {
        let output = format!("--callgrind-out-file={}", self.output.display());
        let log = format!("--log-file={}.log", self.output.display());
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", &output, &log].map(str::to_owned).to_vec()
    }

    /// User instructions per request of one side of the process.
    pub fn count(&mut self, side: &Side) -> Result<f64> {
        control(side.pid, &["-i", "on"])?;
        // What happens once, such as connecting to the target, happens now.
        self.load(side, FEW)?;
        let few = self.load(side, FEW)?;
        let many = self.load(side, MANY)?;
        control(side.pid, &["-i", "off"])?;
        Ok((many - few) as f64 / (MANY - FEW) as f64)
    }

    /// Instructions during a load of this many requests.
    fn load(&mut self, side: &Side, requests: u64) -> Result<i64> {
        control(side.pid, &["-z"])?;
        let path = if side.random > 0 { "/svc-04242/x" } else { side.path };
        let mut command = shell::command("h2load");
        command.args(["--h1", "-t1", "-c8", "-m1", &format!("-n{requests}")]);
        command.args(["-H", &format!("apikey: {}", super::API_KEY), &format!("http://127.0.0.1:{}{path}", side.port)]);
        let text = shell::output(&mut command)?;
        if !text.contains(&format!("status codes: {requests} 2xx")) {
            bail!("{}: not every request under valgrind succeeded: {text}", side.name);
        }
        control(side.pid, &["-d"])?;
        self.dumps += 1;
        self.dumped()
    }

    /// The sum over the threads, which callgrind writes as one number, of the last dump.
    fn dumped(&self) -> Result<i64> {
        let file = PathBuf::from(format!("{}.{}", self.output.display(), self.dumps));
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
        total.with_context(|| format!("{} has no total", file.display()))
    }
}

fn control(pid: u32, arguments: &[&str]) -> Result<()> {
    shell::output(shell::command("callgrind_control").args(arguments).arg(pid.to_string())).map(drop)
}
