//! One load, and what the loaded process spent on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::cpu;
use crate::shell;

/// Connections kept open by a load, where a row is not about their number.
pub const CONNECTIONS: usize = 64;
/// The part of requests over HTTP/2 that may fail: nginx before nginx answers one of some ten thousand calls of gRPC with
/// 502, and a control that fails is no control.
const TOLERATED: f64 = 0.001;
/// Connections and streams on each in the loads of HTTP/2.
const MULTIPLEXED: [&str; 2] = ["-c16", "-m16"];
/// Measured again, once, if other processes took more of the machine than this (in processors).
const COMPANY: f64 = 0.25;

/// wrk calls these: a random route for each request if asked for, and one line of results at the end.
const SCRIPT: &str = r#"
function init()
   local routes = tonumber(os.getenv("BENCH_ROUTES") or "0")
   if routes == 0 then return end
   local requests = {}
   for i = 1, routes do requests[i] = wrk.format(nil, string.format("/svc-%05d/x", i - 1)) end
   math.randomseed(42)
   request = function() return requests[math.random(routes)] end
end
function done(summary)
   local e = summary.errors
   print("RESULT", summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout + e.status)
end
"#;

/// How a side is loaded.
#[derive(Clone)]
pub enum Kind {
    /// HTTP/1.1, so many connections kept open, with TLS or without.
    Kept { connections: usize, tls: bool },
    /// HTTP/1.1 with TLS, a new connection for each request, never resumed.
    Handshakes,
    /// HTTP/2 with TLS, many streams on a few connections.
    Multiplexed,
    /// The same with this question of gRPC as the body of every request.
    Grpc(PathBuf),
}

/// Plain HTTP/1.1 as most rows have it.
pub const PLAIN: Kind = Kind::Kept { connections: CONNECTIONS, tls: false };

/// What is loaded.
#[derive(Clone)]
pub struct Side {
    pub name: &'static str,
    pub port: u16,
    /// The process that was started; its children count too.
    pub pid: u32,
    pub path: &'static str,
    /// Random paths below `/svc-…/` instead of `path`.
    pub random: usize,
    pub kind: Kind,
}

impl Side {
    /// Whether its instructions can be counted: valgrind makes loads with TLS too slow to be worth it.
    pub fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Kept { connections: CONNECTIONS, tls: false })
    }
}

/// What one load cost.
#[derive(Clone, Copy)]
pub struct Sample {
    pub cpu_us: f64,
    pub requests_per_second: f64,
    /// Processors that others used meanwhile.
    pub company: f64,
}

/// Runs loads on processors of their own.
pub struct Loader {
    script: PathBuf,
    cpus: String,
    backends: Vec<u32>,
}

impl Loader {
    /// `cpus` as taskset takes them.
    pub fn new(folder: &Path, cpus: String, backends: Vec<u32>) -> Result<Self> {
        let script = folder.join("load.lua");
        fs::write(&script, SCRIPT)?;
        Ok(Self { script, cpus, backends })
    }

    /// Loads one side; again if the machine was not its own.
    pub fn measure(&self, side: &Side, seconds: u32) -> Result<Sample> {
        let first = self.once(side, seconds)?;
        if first.company <= COMPANY {
            return Ok(first);
        }
        let second = self.once(side, seconds)?;
        Ok(if second.company < first.company { second } else { first })
    }

    fn once(&self, side: &Side, seconds: u32) -> Result<Sample> {
        let pids = cpu::tree(side.pid);
        let clocks = || [cpu::used(&pids), cpu::machine(), cpu::ended_children(), cpu::used(&self.backends)];
        let (before, begin) = (clocks(), Instant::now());
        let requests = match &side.kind {
            Kind::Kept { connections, tls } => self.wrk(side, seconds, *connections, *tls)?,
            Kind::Handshakes => self.wrk(side, seconds, CONNECTIONS, true)?,
            Kind::Multiplexed => self.h2load(side, seconds, &[])?,
            Kind::Grpc(question) => self.h2load(side, seconds, &grpc(question))?,
        };
        let wall = begin.elapsed().as_nanos() as f64;
        let after = clocks();
        let [used, machine, load, backend] =
            [0, 1, 2, 3].map(|index: usize| after[index].saturating_sub(before[index]) as f64);
        Ok(Sample {
            cpu_us: used / requests / 1000.0,
            requests_per_second: requests / wall * 1e9,
            company: ((machine - used - load - backend) / wall).max(0.0),
        })
    }

    fn wrk(&self, side: &Side, seconds: u32, connections: usize, tls: bool) -> Result<f64> {
        let mut command = shell::command("taskset");
        command.args([
            "--cpu-list",
            &self.cpus,
            "prlimit",
            "--nofile=8192",
            "wrk",
            "--threads",
            "1",
            "--timeout",
            "10s",
        ]);
        if matches!(side.kind, Kind::Handshakes) {
            command.args(["--header", "connection: close"]);
        }
        command.args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s"), "--script"]);
        command.arg(&self.script).args(["--header", &format!("apikey: {}", super::API_KEY)]);
        let scheme = if tls { "https" } else { "http" };
        command.arg(format!("{scheme}://127.0.0.1:{}{}", side.port, side.path));
        let text = shell::output(command.env("BENCH_ROUTES", side.random.to_string()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT")).context("wrk without a result")?;
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [requests, _, 0.0] if requests > 0.0 => Ok(requests),
            [requests, _, errors] => bail!("{}: {errors} of {requests} requests failed", side.name),
            _ => bail!("wrk printed {line}"),
        }
    }

    fn h2load(&self, side: &Side, seconds: u32, more: &[String]) -> Result<f64> {
        let mut command = shell::command("taskset");
        command.args(["--cpu-list", &self.cpus, "h2load", "-t1"]).args(MULTIPLEXED).args(more);
        command.args([&format!("-D{seconds}"), &format!("https://127.0.0.1:{}{}", side.port, side.path)]);
        let text = shell::output(&mut command)?;
        let numbers = |label: &str| -> Vec<f64> {
            let line = text.lines().find(|line| line.starts_with(label)).unwrap_or_default();
            line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect()
        };
        // requests: total, started, done, succeeded, failed, errored, timeout; status codes: 2xx, 3xx, 4xx, 5xx
        match (&numbers("requests:")[..], &numbers("status codes:")[..]) {
            ([_, _, done, good, ..], [_, 0.0, 0.0, _]) if *done > 0.0 && done - good <= done * TOLERATED => Ok(*done),
            _ => bail!("{}: h2load says {text}", side.name),
        }
    }
}

fn grpc(question: &Path) -> Vec<String> {
    let data = format!("--data={}", question.display());
    ["--header=content-type: application/grpc", "--header=te: trailers", &data].map(str::to_owned).to_vec()
}
