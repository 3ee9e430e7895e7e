//! Ten thousand routes and ten thousand consumers with keys: import, memory, changes, and traffic while things change.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::sandgate::Subject;
use super::{cpu, milliseconds};
use crate::gateway::Gateway;
use crate::shell::say;

/// As many routes, and as many consumers with a key each.
const MANY: usize = 10_000;
/// Routes of one service.
const ROUTES_A_SERVICE: usize = 100;
/// Writes under way at once, as decK has them.
const PARALLEL: usize = 10;
/// Changes a second beside the traffic.
const CHANGES: u32 = 50;
/// Requests a second, and the connections that they are spread over.
const REQUESTS: u32 = 2000;
const CONNECTIONS: u32 = 8;
/// Seconds of one load, and how often each kind of load is repeated, one after the other.
const SECONDS: u32 = 10;
const ROUNDS: usize = 5;
/// Changes whose way to being served is timed.
const TIMED: usize = 20;

/// What was measured. Times in milliseconds, memory in MiB.
pub struct Scale {
    import: f64,
    empty: f64,
    resident: f64,
    restart: f64,
    changes: Vec<f64>,
    quiet: Vec<Latencies>,
    changing: Vec<Latencies>,
}

/// Of one load: milliseconds from when a request was due to its last byte.
struct Latencies {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// One of them.
type Pick = fn(&Latencies) -> f64;

/// Measures all of it.
pub fn measure(subject: &Subject<'_>) -> Result<Scale> {
    let start = subject.start("scale", &[], None)?;
    let gateway = start.start(Duration::from_secs(120))?;
    let resident = |gateway: &Gateway| cpu::resident(&cpu::tree(gateway.process.pid()));
    let empty = resident(&gateway);
    let import = import(&gateway, subject.backend)?;
    thread::sleep(Duration::from_secs(2));
    let after = resident(&gateway);
    say(format!("{MANY} routes and consumers imported in {import:.0} ms, {after:.0} MiB"));
    let changes = (0..TIMED).map(|number| change(&gateway, number)).collect::<Result<Vec<_>>>()?;
    let (mut quiet, mut changing) = (Vec::new(), Vec::new());
    load(&gateway)?;
    for round in 0..ROUNDS {
        quiet.push(load(&gateway)?);
        changing.push(load_while_changing(&gateway)?);
        let (one, other) = (&quiet[round], &changing[round]);
        say(format!("round {round}: p99 {:.2} ms without changes, {:.2} ms with", one.p99, other.p99));
    }
    drop(gateway);
    let begin = Instant::now();
    let gateway = start.start(Duration::from_secs(120))?;
    gateway.await_proxy(&path(0), &[("apikey", &key(0))], 200)?;
    let restart = milliseconds(begin);
    Ok(Scale { import, empty, resident: after, restart, changes, quiet, changing })
}

fn id(kind: u32, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

fn path(number: usize) -> String {
    format!("/scale-{number:05}")
}

fn key(number: usize) -> String {
    format!("scale-key-{number:05}")
}

fn route(number: usize, path: &str) -> (String, Value) {
    let service = json!({ "id": id(1, number / ROUTES_A_SERVICE) });
    (
        format!("/routes/{}", id(2, number)),
        json!({ "name": format!("scale-{number:05}"), "paths": [path], "service": service }),
    )
}

fn consumer(number: usize, custom: &str) -> (String, Value) {
    (format!("/consumers/{}", id(3, number)), json!({ "username": format!("scale-{number:05}"), "custom_id": custom }))
}

fn credential(number: usize, key: &str) -> (String, Value) {
    (format!("/consumers/{}/key-auth/{}", id(3, number), id(4, number)), json!({ "key": key }))
}

/// Milliseconds from the first write to the first answer with all of it.
fn import(gateway: &Gateway, backend: u16) -> Result<f64> {
    let begin = Instant::now();
    let url = format!("http://127.0.0.1:{backend}");
    let services = MANY / ROUTES_A_SERVICE;
    put_all(gateway, services, |number| {
        (format!("/services/{}", id(1, number)), json!({ "name": format!("scale-{number:03}"), "url": url }))
    })?;
    put_all(gateway, MANY, |number| consumer(number, &format!("custom-{number:05}")))?;
    put_all(gateway, MANY, |number| credential(number, &key(number)))?;
    put_all(gateway, MANY, |number| route(number, &path(number)))?;
    gateway.create("/plugins", &json!({ "name": "key-auth" }))?;
    gateway.await_proxy(&path(MANY - 1), &[], 401)?;
    gateway.await_proxy(&path(MANY - 1), &[("apikey", &key(MANY - 1))], 200)?;
    Ok(milliseconds(begin))
}

/// So many writes, some at a time.
fn put_all(gateway: &Gateway, count: usize, entity: impl Fn(usize) -> (String, Value) + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= count {
                return Ok(());
            }
            put(gateway, entity(number))?;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a writer does not panic"))
    })
}

fn put(gateway: &Gateway, (path, entity): (String, Value)) -> Result<()> {
    gateway.change(&format!("PUT {path}"), "application/json", entity.to_string().as_bytes()).map(drop)
}

/// From the write of a route to the first answer through it.
fn change(gateway: &Gateway, number: usize) -> Result<f64> {
    let path = format!("/moved-{number:02}");
    let begin = Instant::now();
    put(gateway, route(MANY / 2 + number, &path))?;
    gateway.await_proxy(&path, &[("apikey", &key(number))], 200)?;
    Ok(milliseconds(begin))
}

/// One load while routes, consumers and keys change.
fn load_while_changing(gateway: &Gateway) -> Result<Latencies> {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(gateway, &ended));
        let measured = load(gateway);
        ended.store(true, Relaxed);
        let written = writer.join().expect("the writer does not panic")?;
        // A writer that cannot keep up would flatter the traffic.
        if written < usize::try_from(CHANGES * SECONDS)? * 95 / 100 {
            bail!("only {written} changes in {SECONDS} s");
        }
        measured
    })
}

/// Changes entities of the second half, which the traffic leaves alone; says how many.
fn write_until(gateway: &Gateway, ended: &AtomicBool) -> Result<usize> {
    let begin = Instant::now();
    for at in 0.. {
        wait_until(begin + Duration::from_secs(1) / CHANGES * u32::try_from(at)?);
        if ended.load(Relaxed) {
            return Ok(at);
        }
        let number = MANY / 2 + at % (MANY / 2);
        let text = format!("{:08x}-{at}", begin.elapsed().as_nanos());
        put(
            gateway,
            match at % 3 {
                0 => route(number, &format!("/moved-{text}")),
                1 => consumer(number, &text),
                _ => credential(number, &text),
            },
        )?;
    }
    Ok(0)
}

/// Requests at a fixed rate. A late answer makes the next requests of its connection late, and that counts.
fn load(gateway: &Gateway) -> Result<Latencies> {
    let port = gateway.ports.proxy;
    let begin = Instant::now() + Duration::from_millis(50);
    let measured = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CONNECTIONS).map(|number| scope.spawn(move || requests(port, begin, number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect::<Result<Vec<_>>>()
    })?;
    let mut all: Vec<f64> = measured.into_iter().flatten().collect();
    all.sort_by(f64::total_cmp);
    let at = |share: usize| all[(all.len() * share / 1000).min(all.len() - 1)];
    Ok(Latencies { p50: at(500), p99: at(990), p999: at(999) })
}

/// The requests of one connection.
fn requests(port: u16, begin: Instant, connection: u32) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let each = Duration::from_secs(1) * CONNECTIONS / REQUESTS;
    let first = begin + each / CONNECTIONS * connection;
    let count = REQUESTS / CONNECTIONS * SECONDS;
    let mut latencies = Vec::with_capacity(usize::try_from(count)?);
    for at in 0..count {
        let due = first + each * at;
        wait_until(due);
        // A multiplier without a factor of 5,000 goes through all of them before it repeats one.
        let number = usize::try_from(at * CONNECTIONS + connection)? * 2657 % (MANY / 2);
        let (path, key) = (path(number), key(number));
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\napikey: {key}\r\n\r\n").as_bytes())?;
        read_answer(&mut reader)?;
        latencies.push(milliseconds(due));
    }
    Ok(latencies)
}

fn wait_until(due: Instant) {
    if let Some(left) = due.checked_duration_since(Instant::now()) {
        thread::sleep(left);
    }
}

/// Reads an answer with a length, which must be 200.
fn read_answer(reader: &mut BufReader<TcpStream>) -> Result<()> {
    let (mut line, mut length) = (String::new(), None);
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        bail!("an answer began with {line}");
    }
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let length = length.context("an answer without a length")?;
    let read = std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    if read == length { Ok(()) } else { bail!("a body ended early") }
}

impl Scale {
    /// The rows in Markdown.
    pub fn markdown(&self, begin: &str) -> String {
        let of = |loads: &[Latencies], pick: Pick| median(loads.iter().map(pick).collect());
        let mut text = format!("{begin}\n\n| what | figure | beside it |\n|---|---|---|\n");
        let mut row = |what: &str, figure: String, control: String| {
            text.push_str(&format!("| {what} | {figure} | {control} |\n"));
        };
        let writes = (3 * MANY + MANY / ROUTES_A_SERVICE + 1) as f64;
        let rate = format!("{:.0} writes a second", writes / self.import * 1000.0);
        row("import through the Admin API, 10 PUTs at once", format!("{:.1} s", self.import / 1000.0), rate);
        row("resident memory after it", format!("{:.0} MiB", self.resident), format!("{:.0} MiB empty", self.empty));
        row("start to the first answer of a guarded route", format!("{:.0} ms", self.restart), String::new());
        let (least, most) =
            (self.changes.iter().copied().fold(f64::MAX, f64::min), self.changes.iter().copied().fold(0.0, f64::max));
        let span = format!("{least:.0}–{most:.0} ms, {} times", self.changes.len());
        row("one changed route to served", format!("{:.0} ms", median(self.changes.clone())), span);
        let picks: [(_, Pick); 3] = [("p50", |it| it.p50), ("p99", |it| it.p99), ("p99.9", |it| it.p999)];
        for (name, pick) in picks {
            let what = format!("{name} of {REQUESTS} requests/s while {CHANGES} changes a second are applied");
            let control = format!("{:.2} ms without changes", of(&self.quiet, pick));
            row(&what, format!("{:.2} ms", of(&self.changing, pick)), control);
        }
        text
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
