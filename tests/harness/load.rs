//! Clients that keep asking while something else happens.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use http::Request;
use tokio::task::JoinSet;

use super::{
    client::{Answer, Wire, full},
    connection::Client,
};

/// Between two requests of a client, so that a few clients do not take the machine.
const PACE: Duration = Duration::from_millis(2);

/// No number of requests that a test asks for takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Clients with keep-alive connections, each asking the same thing again and again.
pub struct Load {
    clients: JoinSet<()>,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    /// No connection is used twice.
    fresh: bool,
    stop: AtomicBool,
    requests: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Starts `clients` clients that expect 200.
    pub fn start(address: SocketAddr, path: &str, clients: usize) -> Self {
        Self::with(address, path, &[], clients)
    }

    /// As `start`, with a new connection for each request.
    pub fn fresh(address: SocketAddr, path: &str, clients: usize) -> Self {
        let told = Arc::new(Told { fresh: true, ..Told::default() });
        let mut set = JoinSet::new();
        for _ in 0..clients {
            set.spawn(run(address, path.to_owned(), Vec::new(), told.clone()));
        }
        Self { clients: set, told }
    }

    /// Requests that were made so far.
    pub fn requests(&self) -> u64 {
        self.told.requests.load(Relaxed)
    }

    /// As `start`, with headers.
    pub fn with(address: SocketAddr, path: &str, headers: &[(&str, &str)], clients: usize) -> Self {
        let told = Arc::new(Told::default());
        let mut set = JoinSet::new();
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for _ in 0..clients {
            set.spawn(run(address, path.to_owned(), headers.clone(), told.clone()));
        }
        Self { clients: set, told }
    }

    /// Ends the clients; every request they began is answered first. Requests that were made, and what failed.
    pub async fn stop(self) -> (u64, Vec<String>) {
        self.told.stop.store(true, Relaxed);
        self.clients.join_all().await;
        let failures = std::mem::take(&mut *self.told.failures.lock().expect("no client panics"));
        (self.told.requests.load(Relaxed), failures)
    }

    /// As `stop`, for clients that must get what they ask for, at least `least` times: on a busy machine what happens beside
    /// them may be over before.
    pub async fn stop_without_failures(self, least: u64) {
        self.made(least).await;
        let (requests, failures) = self.stop().await;
        assert!(failures.is_empty(), "{} of {requests} requests failed: {:?}", failures.len(), &failures[..1]);
    }

    /// Waits until so many requests were made.
    pub async fn made(&self, requests: u64) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.requests() < requests {
            assert!(tokio::time::Instant::now() < end, "only {} of {requests} requests were made", self.requests());
            tokio::time::sleep(PACE).await;
        }
    }
}

async fn run(address: SocketAddr, path: String, headers: Vec<(String, String)>, told: Arc<Told>) {
    let mut client = None;
    while !told.stop.load(Relaxed) {
        let asked = ask(&mut client, address, &path, &headers).await;
        told.requests.fetch_add(1, Relaxed);
        if told.fresh {
            client = None;
        }
        if let Err(error) = asked {
            client = None;
            told.failures.lock().expect("no client panics").push(format!("{error:#}"));
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn ask(
    client: &mut Option<Client>,
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<Answer> {
    let open = match client {
        Some(open) => open,
        None => client.insert(Client::connect(address, Wire::Http1).await?),
    };
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = open.send(request.body(full(""))?).await?;
    ensure!(answer.status == 200, "{answer:?}");
    // Only when it is asked to, a client leaves: a connection that closes on its own is a request that failed.
    if answer.headers.get("connection").is_some_and(|value| value == "close") {
        *client = None;
    }
    Ok(answer)
}
