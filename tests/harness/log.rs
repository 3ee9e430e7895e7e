//! What the gateway says on standard error, and the events in it that tests wait for.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

/// Events of the gateway, as it words them.
const READY: &str = "sandgate is ready";
const SERVED: &str = "a configuration is served";
/// Lines that are kept.
const KEPT: usize = 2_000;

/// Where a gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub proxy: SocketAddr,
    pub proxy_tls: SocketAddr,
    pub admin: SocketAddr,
    pub status: SocketAddr,
}

/// What was said so far.
#[derive(Debug, Default)]
struct Heard {
    lines: VecDeque<String>,
    addresses: Option<Addresses>,
    streams: Vec<SocketAddr>,
    /// Id of the process that got ready last.
    process: u32,
    served: u64,
    ended: bool,
}

/// The log of one process.
#[derive(Debug, Clone)]
pub struct Log(Arc<watch::Sender<Heard>>);

impl Log {
    /// Reads `output` to its end on a thread, so that the gateway never waits for a busy test.
    pub fn listen(output: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::new(watch::Sender::default()));
        let heard = log.0.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                heard.send_modify(|heard| heard.take(line));
            }
            heard.send_modify(|heard| heard.ended = true);
        });
        log
    }

    /// Waits until the gateway is ready.
    pub async fn ready(&self, patience: Duration) -> Result<Addresses> {
        self.wait(patience, "the gateway is not ready", |heard| heard.addresses.is_some()).await?;
        self.0.borrow().addresses.ok_or_else(|| anyhow!("the gateway ended:\n{}", self.tail()))
    }

    /// Waits until another process than this one is ready. Its id, and where it listens.
    pub async fn taken_over(&self, from: u32, patience: Duration) -> Result<(u32, Addresses)> {
        self.wait(patience, "no other process is ready", |heard| heard.process != from).await?;
        let heard = self.0.borrow();
        Ok((heard.process, heard.addresses.ok_or_else(|| anyhow!("it does not say where"))?))
    }

    /// Waits until a configuration at least as new as `version` is served.
    pub async fn served(&self, version: u64, patience: Duration) -> Result<()> {
        self.wait(patience, &format!("version {version} is not served"), |heard| heard.served >= version).await
    }

    /// Where the process that got ready last takes streams.
    pub fn streams(&self) -> Vec<SocketAddr> {
        self.0.borrow().streams.clone()
    }

    /// Waits until so many lines hold `text`.
    pub async fn lines(&self, text: &str, count: usize, patience: Duration) -> Result<()> {
        let what = format!("not {count} lines with {text:?}");
        let found = |heard: &Heard| heard.lines.iter().filter(|line| line.contains(text)).count() >= count;
        self.wait(patience, &what, found).await
    }

    /// Waits until a line holds `text`.
    pub async fn line(&self, text: &str, patience: Duration) -> Result<()> {
        let what = format!("no line with {text:?}");
        self.wait(patience, &what, |heard| heard.lines.iter().any(|line| line.contains(text))).await
    }

    async fn wait(&self, patience: Duration, what: &str, mut done: impl FnMut(&Heard) -> bool) -> Result<()> {
        let mut heard = self.0.subscribe();
        let waited = timeout(patience, heard.wait_for(|heard| heard.ended || done(heard))).await;
        let done = matches!(waited, Ok(Ok(heard)) if done(&heard));
        if !done {
            bail!("{what} after {patience:?}, or the gateway has ended:\n{}", self.tail());
        }
        Ok(())
    }

    /// The newest version that is served.
    pub fn version(&self) -> u64 {
        self.0.borrow().served
    }

    /// Every line that is kept.
    pub fn all(&self) -> String {
        self.0.borrow().lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// The last lines.
    pub fn tail(&self) -> String {
        let heard = self.0.borrow();
        let skipped = heard.lines.len().saturating_sub(40);
        heard.lines.iter().skip(skipped).cloned().collect::<Vec<_>>().join("\n")
    }
}

impl Heard {
    fn take(&mut self, line: String) {
        if let Ok(event) = serde_json::from_str::<Value>(&line) {
            match event["message"].as_str() {
                Some(READY) => {
                    self.streams = streams(&event);
                    self.addresses = addresses(&event);
                    self.process = event["process"].as_u64().and_then(|id| id.try_into().ok()).unwrap_or_default();
                }
                Some(SERVED) => self.served = self.served.max(event["version"].as_u64().unwrap_or_default()),
                _ => {}
            }
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Of `127.0.0.1:9000, 127.0.0.1:9001 ssl`.
fn streams(event: &Value) -> Vec<SocketAddr> {
    let all = event["stream"].as_str().unwrap_or_default().split(", ");
    all.filter_map(|one| one.split(' ').next()?.parse().ok()).collect()
}

fn addresses(event: &Value) -> Option<Addresses> {
    let address = |name: &str| event[name].as_str()?.split(", ").next()?.parse().ok();
    Some(Addresses {
        proxy: address("proxy")?,
        proxy_tls: address("proxy_tls")?,
        admin: address("admin")?,
        status: address("status")?,
    })
}
