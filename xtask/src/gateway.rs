//! The gateway as a child: how it is built and started, and calls to its Admin API.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::http::{self, Response};
use crate::shell::{self, Running};

/// Where it listens, on this machine only.
#[derive(Clone, Copy)]
pub struct Ports {
    pub proxy: u16,
    pub proxy_tls: u16,
    pub admin: u16,
    pub status: u16,
}

impl Ports {
    /// Ports that are free now.
    pub fn free() -> Result<Self> {
        let port = shell::free_port;
        Ok(Self { proxy: port()?, proxy_tls: port()?, admin: port()?, status: port()? })
    }
}

/// How to start one.
pub struct Start {
    pub binary: PathBuf,
    pub ports: Ports,
    /// Database, caches, snapshot.
    pub data: PathBuf,
    pub workers: Option<usize>,
    /// A program that runs the gateway, and its arguments: taskset, valgrind.
    pub under: Vec<String>,
}

impl Start {
    /// Starts it and waits until its Admin API answers.
    pub fn start(&self, patience: Duration) -> Result<Gateway> {
        let mut gateway = Gateway { process: self.spawn()?, ports: self.ports };
        let end = Instant::now() + patience;
        while !gateway.get("/status").is_ok_and(|answer| answer.status == 200) {
            gateway.process.alive().with_context(|| format!("{} did not start", self.binary.display()))?;
            if Instant::now() > end {
                bail!("{} did not answer on port {} in {patience:?}", self.binary.display(), self.ports.admin);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(gateway)
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Result<Running> {
        let words: Vec<_> =
            self.under.iter().cloned().chain([self.binary.display().to_string(), "run".into()]).collect();
        let mut command = shell::command(&words[0]);
        let Ports { proxy, proxy_tls, admin, status } = self.ports;
        command
            .args(&words[1..])
            .env("SANDGATE_PROXY_LISTEN", format!("127.0.0.1:{proxy}, 127.0.0.1:{proxy_tls} ssl http2"))
            .env("SANDGATE_ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
            .env("SANDGATE_STATUS_LISTEN", format!("127.0.0.1:{status}"))
            .env("SANDGATE_DATA_DIR", &self.data)
            .env("SANDGATE_LOG_LEVEL", "warn")
            // As nginx has it in the same run.
            .env("SANDGATE_UPSTREAM_KEEPALIVE_POOL_SIZE", "2048")
            .env("SANDGATE_UPSTREAM_KEEPALIVE_MAX_REQUESTS", "1000000000")
            .env("SANDGATE_PROXY_ACCESS_LOG", "off");
        if let Some(workers) = self.workers {
            command.env("SANDGATE_WORKERS", workers.to_string());
        }
        Running::start(&mut command)
    }
}

/// A running gateway; ended when dropped.
pub struct Gateway {
    pub process: Running,
    pub ports: Ports,
}

impl Gateway {
    /// Reads from the Admin API.
    pub fn get(&self, path: &str) -> Result<Response> {
        http::call(self.ports.admin, &format!("GET {path}"), &[], b"")
    }

    /// Creates an entity from JSON and returns it.
    pub fn create(&self, path: &str, entity: &Value) -> Result<Value> {
        self.change(&format!("POST {path}"), "application/json", entity.to_string().as_bytes())
    }

    /// Any change: fails unless the answer is of the 200s.
    pub fn change(&self, target: &str, kind: &str, body: &[u8]) -> Result<Value> {
        let answer = http::call(self.ports.admin, target, &[("Content-Type", kind)], body)?;
        if answer.status / 100 != 2 {
            bail!("{target} answered {}: {}", answer.status, answer.text());
        }
        Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Uploads a module with everything granted.
    pub fn upload(&self, module: &Path) -> Result<Value> {
        let bytes = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
        self.change("POST /modules?grants=*", "application/wasm", &bytes)
    }

    /// Waits until the proxy answers this path with this status.
    pub fn await_proxy(&self, path: &str, headers: &[(&str, &str)], status: u16) -> Result<Response> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = http::call(self.ports.proxy, &format!("GET {path}"), headers, b"")?;
            if answer.status == status {
                return Ok(answer);
            }
            if Instant::now() > end {
                bail!("GET {path} answers {}, not {status}: {}", answer.status, answer.text());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Builds the binary and says where it is.
pub fn build(release: bool) -> Result<PathBuf> {
    let mut command = shell::cargo();
    command.args(["build", "--package", "sandgate"]);
    if release {
        command.arg("--release");
    }
    shell::run(&mut command)?;
    Ok(binary(release))
}

/// Where cargo puts the binary.
pub fn binary(release: bool) -> PathBuf {
    shell::target().join(if release { "release" } else { "debug" }).join("sandgate")
}
