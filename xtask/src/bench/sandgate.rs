//! Our side: what is configured for each row, and the times that no load shows.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::events::{self, Delays};
use super::origin::{METHOD, Origin};
use super::{CONSUMERS, ROUTES, consumer_key, cpu, guests, milliseconds};
use crate::gateway::{Gateway, Ports, Start};
use crate::http;

/// Connections kept open to see what one takes. A process may have 1,024 open files.
const IDLE: usize = 900;
/// Connections that bring traffic beside them, one after the other, and the requests of each.
const OTHERS: usize = 30;
const REQUESTS_EACH: usize = 100;
/// A limit that no load reaches.
const NO_LIMIT: u64 = 1_000_000_000;

/// Where the binary is and what it forwards to.
pub struct Subject<'a> {
    pub binary: &'a Path,
    pub folder: &'a Path,
    pub backend: u16,
}

impl Subject<'_> {
    /// One worker, started below these words, with the data of this name.
    pub fn start(&self, data: &str, under: &[String], workers: Option<usize>) -> Result<Start> {
        Ok(Start {
            binary: self.binary.to_path_buf(),
            ports: Ports::free()?,
            data: self.folder.join(data),
            workers,
            under: under.to_vec(),
        })
    }

    /// Routes for the rows without ten thousand routes; those with the modules too, if there are any.
    pub fn configure(&self, gateway: &Gateway, modules: &[PathBuf]) -> Result<()> {
        self.service(gateway, "bench")?;
        for (name, path) in [("bare", "/x"), ("random", "/svc-"), ("std", "/std")] {
            route(gateway, "bench", name, path)?;
        }
        for number in 0..CONSUMERS {
            let name = format!("consumer-{number:04}");
            gateway.create("/consumers", &json!({ "username": name }))?;
            let key = json!({ "key": consumer_key(number) });
            gateway.create(&format!("/consumers/{name}/key-auth"), &key)?;
        }
        let log = self.folder.join("access.log");
        plugin(gateway, "std", "key-auth", json!({}))?;
        plugin(gateway, "std", "rate-limiting", json!({ "minute": NO_LIMIT, "policy": "local" }))?;
        plugin(gateway, "std", "file-log", json!({ "path": log }))?;
        self.chains(gateway, modules)
    }

    fn service(&self, gateway: &Gateway, name: &str) -> Result<()> {
        let url = format!("http://127.0.0.1:{}", self.backend);
        gateway.create("/services", &json!({ "name": name, "url": url })).map(drop)
    }

    fn chains(&self, gateway: &Gateway, modules: &[PathBuf]) -> Result<()> {
        for module in modules {
            gateway.upload(module)?;
        }
        for count in [1, 5, guests::COUNTERS].into_iter().filter(|_| !modules.is_empty()) {
            let name = format!("chain-{count}");
            route(gateway, "bench", &name, &format!("/{name}"))?;
            for number in 0..count {
                plugin(gateway, &name, &guests::counter(number), json!({}))?;
            }
        }
        for (name, path) in [(guests::LOOKING, "/look"), (guests::CHANGING, "/change")] {
            if !modules.is_empty() {
                route(gateway, "bench", name, path)?;
                plugin(gateway, name, name, json!({}))?;
            }
        }
        Ok(())
    }

    /// Routes to the large bodies and to gRPC.
    pub fn configure_protocols(&self, gateway: &Gateway, origin: &Origin) -> Result<()> {
        let url = format!("http://127.0.0.1:{}", origin.port);
        gateway.create("/services", &json!({ "name": "bodies", "url": url }))?;
        for path in ["/64k", "/1m"] {
            let whole = json!({ "name": &path[1..], "paths": [path], "strip_path": false });
            gateway.create("/services/bodies/routes", &whole)?;
            gateway.await_proxy(path, &[], 200)?;
        }
        let url = format!("grpc://127.0.0.1:{}", origin.grpc);
        gateway.create("/services", &json!({ "name": "grpc", "url": url }))?;
        let method = json!({ "name": "grpc", "protocols": ["grpc", "grpcs"], "paths": [METHOD] });
        gateway.create("/services/grpc/routes", &method).map(drop)
    }

    /// Ten thousand services and routes, all to the one backend.
    pub fn configure_routes(&self, gateway: &Gateway) -> Result<()> {
        for number in 0..ROUTES {
            let name = format!("svc-{number:05}");
            self.service(gateway, &name)?;
            route(gateway, &name, &name, &format!("/{name}"))?;
        }
        Ok(())
    }

    /// Memory at rest and the times of the control plane, with one worker a processor as in production.
    pub fn times(&self) -> Result<Times> {
        let start = self.start("times", &[], None)?;
        let gateway = start.start(Duration::from_secs(120))?;
        self.service(&gateway, "first")?;
        route(&gateway, "first", "first", "/x")?;
        gateway.await_proxy("/x", &[], 200)?;
        let changes = (0..20).map(|number| change(&gateway, number)).collect::<Result<Vec<_>>>()?;
        let upload = self.upload(&gateway)?;
        drop(gateway);
        let starts = (0..5).map(|_| first_answer(&start)).collect::<Result<Vec<_>>>()?;
        let gateway = start.start(Duration::from_secs(60))?;
        gateway.await_proxy("/x", &[], 200)?;
        std::thread::sleep(Duration::from_secs(1));
        let resident = cpu::resident(&cpu::tree(gateway.process.pid()));
        let connection = connection(&gateway, resident)?;
        let (events, direct) = self.events(&gateway)?;
        Ok(Times { resident, change: changes, upload, start: starts, connection, events, direct })
    }

    /// Streams of events through the gateway, and without it.
    fn events(&self, gateway: &Gateway) -> Result<(Delays, Delays)> {
        let source = events::Source::start()?;
        let url = format!("http://127.0.0.1:{}", source.port);
        gateway.create("/services", &json!({ "name": "events", "url": url }))?;
        gateway.create("/services/events/routes?wait=applied", &json!({ "name": "events", "paths": ["/events"] }))?;
        let direct = source.measure(source.port, "/events")?;
        Ok((source.measure(gateway.ports.proxy, "/events")?, direct))
    }

    /// From the first byte of the module to the first answer of a route whose service it guards.
    fn upload(&self, gateway: &Gateway) -> Result<f64> {
        self.service(gateway, "guarded")?;
        let module = guests::component(guests::UPLOADED)?;
        let begin = Instant::now();
        gateway.upload(&module)?;
        gateway.create("/services/guarded/plugins", &json!({ "name": guests::UPLOADED }))?;
        route(gateway, "guarded", "guarded", "/guarded")?;
        gateway.await_proxy("/guarded", &[], 200)?;
        Ok(milliseconds(begin))
    }
}

/// Milliseconds, each as often as it was measured, and MiB.
pub struct Times {
    pub resident: f64,
    pub change: Vec<f64>,
    pub upload: f64,
    pub start: Vec<f64>,
    /// KiB of a connection that was used once and waits.
    pub connection: Waiting,
    /// Events through the gateway, and straight from their source.
    pub events: Delays,
    pub direct: Delays,
}

fn route(gateway: &Gateway, service: &str, name: &str, path: &str) -> Result<Value> {
    gateway.create(&format!("/services/{service}/routes"), &json!({ "name": name, "paths": [path] }))
}

fn plugin(gateway: &Gateway, route: &str, name: &str, config: Value) -> Result<()> {
    let path = format!("/routes/{route}/plugins");
    gateway.create(&path, &json!({ "name": name, "config": config })).map(drop)
}

/// From the request that creates a route to the first answer through it.
fn change(gateway: &Gateway, number: usize) -> Result<f64> {
    let path = format!("/change-{number:02}");
    let begin = Instant::now();
    route(gateway, "first", &path[1..], &path)?;
    gateway.await_proxy(&path, &[], 200)?;
    Ok(milliseconds(begin))
}

/// KiB of each of many connections that were used once.
pub struct Waiting {
    /// In their first second.
    pub at_once: f64,
    /// After some seconds without any traffic.
    pub asleep: f64,
    /// When requests came on another connection since: only then does the allocator give back what it was given.
    pub settled: f64,
}

/// What each of many idle connections takes; `before` is the memory without them in MiB.
fn connection(gateway: &Gateway, before: f64) -> Result<Waiting> {
    let mut open = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.ports.proxy))?;
        ask(&mut stream)?;
        open.push(stream);
    }
    let each = || (cpu::resident(&cpu::tree(gateway.process.pid())) - before) * 1024.0 / IDLE as f64;
    let at_once = each();
    std::thread::sleep(Duration::from_secs(4));
    let asleep = each();
    // Connections of their own, so that every worker has some.
    for _ in 0..OTHERS {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.ports.proxy))?;
        (0..REQUESTS_EACH).try_for_each(|_| ask(&mut stream))?;
    }
    Ok(Waiting { at_once, asleep, settled: each() })
}

/// Sends a request and reads its answer, which is short.
fn ask(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    if stream.read(&mut [0; 4096])? == 0 {
        bail!("the gateway closed a connection that should be kept");
    }
    Ok(())
}

/// From the start of the process to its first proxied answer.
fn first_answer(start: &Start) -> Result<f64> {
    let begin = Instant::now();
    let mut process = start.spawn()?;
    while !http::call(start.ports.proxy, "GET /x", &[], b"").is_ok_and(|answer| answer.status == 200) {
        process.alive().context("starting with a warm cache")?;
        if begin.elapsed() > Duration::from_secs(60) {
            bail!("no proxied answer within a minute of the start");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(milliseconds(begin))
}
