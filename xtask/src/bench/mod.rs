//! The gateway beside Debian's nginx, in one interleaved run: processor time and user instructions per request, memory,
//! start, upload and change. `docs/performance.md` says how to read it.

pub mod backend;
mod cpu;
mod events;
mod guests;
mod instructions;
mod load;
mod nginx;
mod origin;
mod sandgate;
mod scale;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::gateway::{self, Gateway};
use crate::plugins;
use crate::setup::{self, Purpose};
use crate::shell::{self, Running, say};
use instructions::Counter;
use load::{Kind, Loader, PLAIN, Side};
use nginx::Nginx;
use origin::Origin;
use sandgate::Subject;
use table::Results;

/// `cargo xtask bench`
#[derive(clap::Args)]
pub struct Options {
    /// Three rounds of one second, no instruction counts: a first impression
    #[arg(long)]
    quick: bool,
    /// Measure only these rows
    #[arg(long, value_enum)]
    only: Vec<Rows>,
    /// Rounds; each loads every side once
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of one load
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Measure this binary instead of building one
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Print the table without writing docs/performance.md
    #[arg(long)]
    dry: bool,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// No plugin, beside nginx
    Bare,
    /// key-auth + rate-limiting + file-log, beside nginx + Lua
    Std,
    /// 1, 5 and 10 plugins
    Chain,
    /// 1 and 10,000 routes
    Routes,
    /// TLS, handshakes, HTTP/2, large bodies, many connections, gRPC, beside nginx
    Protocols,
    /// Memory, start, upload, change
    Times,
    /// 10,000 routes and 10,000 consumers: import, memory, traffic while things change
    Scale,
    /// Only the controls, without a gateway: to check the yardstick
    Control,
}

/// The sides of a round, each beside what it is compared with, and the rows that need them.
const ORDER: [(&str, &[Rows]); 30] = [
    ("nginx", &[Rows::Bare, Rows::Std, Rows::Control]),
    ("bare", &[Rows::Bare, Rows::Std, Rows::Chain]),
    ("std", &[Rows::Std]),
    ("lua-std", &[Rows::Std, Rows::Control]),
    ("chain-1", &[Rows::Chain]),
    ("chain-5", &[Rows::Chain]),
    ("chain-10", &[Rows::Chain]),
    ("look", &[Rows::Chain]),
    ("change", &[Rows::Chain]),
    ("lua", &[Rows::Chain, Rows::Control]),
    ("lua-chain-1", &[Rows::Chain, Rows::Control]),
    ("lua-chain-5", &[Rows::Chain, Rows::Control]),
    ("lua-chain-10", &[Rows::Chain, Rows::Control]),
    ("routes-1", &[Rows::Routes]),
    ("routes-10000", &[Rows::Routes]),
    ("nginx-tls", &[Rows::Protocols]),
    ("tls", &[Rows::Protocols]),
    ("nginx-handshake", &[Rows::Protocols]),
    ("handshake", &[Rows::Protocols]),
    ("nginx-h2", &[Rows::Protocols]),
    ("h2", &[Rows::Protocols]),
    ("nginx-64k", &[Rows::Protocols]),
    ("nginx-64k-roomy", &[Rows::Protocols]),
    ("64k", &[Rows::Protocols]),
    ("nginx-1m", &[Rows::Protocols]),
    ("1m", &[Rows::Protocols]),
    ("nginx-c1000", &[Rows::Protocols]),
    ("c1000", &[Rows::Protocols]),
    ("nginx-grpc", &[Rows::Protocols]),
    ("grpc", &[Rows::Protocols]),
];

/// The sides of the rows of protocols, in one order.
const OURS: [&str; 7] = ["tls", "handshake", "h2", "64k", "1m", "c1000", "grpc"];
const NGINX: [&str; 7] =
    ["nginx-tls", "nginx-handshake", "nginx-h2", "nginx-64k", "nginx-1m", "nginx-c1000", "nginx-grpc"];

/// As many consumers with a key each.
pub const CONSUMERS: usize = 1000;
/// As many routes in the row with many.
pub const ROUTES: usize = 10_000;
/// The key that loads send.
pub const API_KEY: &str = "bench-key-0500";

/// The key of one consumer.
pub fn consumer_key(number: usize) -> String {
    format!("bench-key-{number:04}")
}

impl Options {
    fn wants(&self, rows: Rows) -> bool {
        if self.only.is_empty() { rows != Rows::Control } else { self.only.contains(&rows) }
    }

    fn wants_gateway(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|rows| *rows != Rows::Control)
    }

    fn wants_load(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|rows| !matches!(rows, Rows::Times | Rows::Scale))
    }
}

/// Measures, prints and writes the table.
pub fn run(options: &Options) -> Result<()> {
    setup::prepare(Purpose::Bench)?;
    shell::end_children_on_signals()?;
    let binary = binary(options)?;
    let folder = shell::target().join("bench");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let bench = Bench::start(options, &binary, &folder)?;
    let mut results = Results::default();
    if options.wants_load() {
        bench.loads(&mut results)?;
    }
    if options.wants(Rows::Times) {
        guests::build()?;
        results.times = Some(bench.subject().times()?);
    }
    let scale = options.wants(Rows::Scale).then(|| scale::measure(&bench.subject())).transpose()?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let begin = format!("`cargo xtask {}`, {}.", arguments.join(" "), table::machine());
    let page = shell::root().join("docs/performance.md");
    if let Some(scale) = scale {
        let table = scale.markdown(&begin);
        println!("{table}");
        if !options.dry {
            table::write(&page, table::SCALE, &table)?;
        }
    }
    if options.only == [Rows::Scale] {
        return Ok(());
    }
    let table = results.markdown(&begin);
    println!("{table}");
    if options.dry || !options.only.is_empty() {
        return Ok(());
    }
    table::write(&page, table::BESIDE_NGINX, &table)
}

/// Since this moment.
fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}

fn binary(options: &Options) -> Result<PathBuf> {
    if let Some(binary) = &options.binary {
        return Ok(binary.clone());
    }
    if options.wants_gateway() {
        plugins::run(&plugins::Options::default())?;
        return gateway::build(true);
    }
    Ok(gateway::binary(true))
}

/// What all measurements share.
struct Bench<'a> {
    options: &'a Options,
    binary: &'a Path,
    folder: &'a Path,
    /// The words that pin a measured process; none where there is only one processor.
    pinned: Vec<String>,
    /// The processors of load and backend.
    others: String,
    backend: Running,
    port: u16,
    /// For the rows of protocols.
    origin: Option<Origin>,
}

impl<'a> Bench<'a> {
    fn start(options: &'a Options, binary: &'a Path, folder: &'a Path) -> Result<Self> {
        let mut cpus = cpu::allowed()?;
        let last = cpus.pop().context("no processor is allowed")?;
        let others: Vec<_> = cpus.iter().map(ToString::to_string).collect();
        let others = if others.is_empty() { last.to_string() } else { others.join(",") };
        let pinned = ["taskset", "--cpu-list", &last.to_string()].map(str::to_owned).to_vec();
        let port = shell::free_port()?;
        let program = std::env::current_exe()?;
        let mut command = shell::command("taskset");
        command.args(["--cpu-list", &others]).arg(program).args(["bench-backend", &port.to_string()]);
        let backend = Running::start(&mut command)?;
        let wants_origin = options.wants(Rows::Protocols);
        let origin = wants_origin.then(|| Origin::start(&folder.join("origin"), &others)).transpose()?;
        Ok(Self { options, binary, folder, pinned, others, backend, port, origin })
    }

    fn subject(&self) -> Subject<'_> {
        Subject { binary: self.binary, folder: self.folder, backend: self.port }
    }

    /// Every side once a round, so that all see the same machine; then the instructions.
    fn loads(&self, results: &mut Results) -> Result<()> {
        let sides = self.processes(&self.pinned)?;
        let (rounds, seconds) = if self.options.quick { (3, 1) } else { (self.options.rounds, self.options.seconds) };
        let origin = self.origin.as_ref().map(|origin| origin.process.pid());
        let backends = origin.into_iter().chain([self.backend.pid()]).collect();
        let loader = Loader::new(self.folder, self.others.clone(), backends)?;
        for side in &sides.all {
            loader.measure(side, 1)?;
        }
        for round in 0..rounds {
            for side in &sides.all {
                let sample = loader.measure(side, seconds)?;
                let (name, cpu, rate) = (side.name, sample.cpu_us, sample.requests_per_second);
                say(format!("round {round} {name:<14} {cpu:>7.2} µs {rate:>7.0}/s others {:.2}", sample.company));
                results.samples.entry(name).or_default().push(sample);
            }
        }
        drop(sides);
        if self.options.quick { Ok(()) } else { self.count(results) }
    }

    fn processes(&self, under: &[String]) -> Result<Sides> {
        let mut sides = Sides::default();
        let wants = |rows| self.options.wants(rows);
        sides.nginx(self.nginx("nginx", false, under)?, self.origin.as_ref());
        if wants(Rows::Std) || wants(Rows::Chain) || wants(Rows::Control) {
            sides.lua(self.nginx("lua", true, under)?);
        }
        if self.options.wants_gateway() {
            sides.gateway(self.main(under)?, self.origin.as_ref());
        }
        if wants(Rows::Routes) {
            sides.routes(self.many_routes(under)?);
        }
        sides.all.retain(|side| self.is_wanted(side.name));
        sides.all.sort_by_key(|side| ORDER.iter().position(|(name, _)| *name == side.name));
        Ok(sides)
    }

    fn is_wanted(&self, side: &str) -> bool {
        let rows = ORDER.iter().filter(|(name, _)| *name == side).flat_map(|(_, rows)| *rows);
        rows.into_iter().any(|rows| self.options.wants(*rows))
    }

    fn nginx(&self, name: &str, lua: bool, under: &[String]) -> Result<Nginx> {
        let origin = self.origin.as_ref();
        nginx::Start { folder: &self.folder.join(name), backend: self.port, lua, origin, under }.start()
    }

    /// The gateway with everything but many routes. Configured in its first start, found in the database later.
    fn main(&self, under: &[String]) -> Result<(Gateway, bool)> {
        let fresh = !self.folder.join("main").exists();
        let gateway = self.subject().start("main", under, Some(1))?.start(Duration::from_secs(900))?;
        if fresh {
            let modules = if self.options.wants(Rows::Chain) { guests::build()? } else { Vec::new() };
            self.subject().configure(&gateway, &modules)?;
            self.origin.iter().try_for_each(|origin| self.subject().configure_protocols(&gateway, origin))?;
        }
        gateway.await_proxy("/x", &[], 200)?;
        gateway.await_proxy("/std", &[], 401)?;
        gateway.await_proxy("/std", &[("apikey", API_KEY)], 200)?;
        let chains = gateway.get("/routes/chain-10")?.status == 200;
        if chains {
            gateway.await_proxy("/chain-10", &[], 200)?;
        }
        Ok((gateway, chains))
    }

    fn many_routes(&self, under: &[String]) -> Result<Gateway> {
        let fresh = !self.folder.join("routes").exists();
        let gateway = self.subject().start("routes", under, Some(1))?.start(Duration::from_secs(900))?;
        if fresh {
            let begin = Instant::now();
            self.subject().configure_routes(&gateway)?;
            say(format!("{ROUTES} services and routes created in {:.0?}", begin.elapsed()));
        }
        gateway.await_proxy(&format!("/svc-{:05}/x", ROUTES - 1), &[], 200)?;
        Ok(gateway)
    }

    /// One process at a time under valgrind.
    fn count(&self, results: &mut Results) -> Result<()> {
        for group in ["nginx", "lua", "main"] {
            let mut counter = Counter::new(self.folder, group);
            let under = counter.under();
            let mut sides = Sides::default();
            match group {
                "nginx" => sides.nginx(self.nginx("nginx", false, &under)?, None),
                "lua" => sides.lua(self.nginx("lua", true, &under)?),
                _ if self.options.wants_gateway() => sides.gateway(self.main(&under)?, None),
                _ => continue,
            }
            for side in sides.all.iter().filter(|side| side.is_plain() && self.is_wanted(side.name)) {
                let count = counter.count(side)?;
                say(format!("{:<14} {count:>9.0} user instructions", side.name));
                results.instructions.insert(side.name, count);
            }
        }
        Ok(())
    }
}

/// Running processes and what can be loaded of them.
#[derive(Default)]
struct Sides {
    all: Vec<Side>,
    nginx: Vec<Nginx>,
    gateways: Vec<Gateway>,
}

impl Sides {
    fn add(&mut self, (port, pid): (u16, u32), name: &'static str, path: &'static str, random: usize) {
        self.all.push(Side { name, port, pid, path, random, kind: PLAIN });
    }

    /// The rows of protocols by their names, for a process with these ports.
    fn protocols(&mut self, pid: u32, [plain, tls]: [u16; 2], names: [&'static str; 7], question: &Path) {
        let kept = |connections, tls| Kind::Kept { connections, tls };
        let rows = [
            (tls, "/x", kept(load::CONNECTIONS, true)),
            (tls, "/x", Kind::Handshakes),
            (tls, "/x", Kind::Multiplexed),
            (plain, "/64k", PLAIN),
            (plain, "/1m", PLAIN),
            (plain, "/x", kept(1000, false)),
            (tls, origin::METHOD, Kind::Grpc(question.to_owned())),
        ];
        for (name, (port, path, kind)) in names.into_iter().zip(rows) {
            self.all.push(Side { name, port, pid, path, random: 0, kind });
        }
    }

    fn nginx(&mut self, nginx: Nginx, origin: Option<&Origin>) {
        self.add((nginx.port, nginx.process.pid()), "nginx", "/x", 0);
        if let Some(origin) = origin {
            self.protocols(nginx.process.pid(), [nginx.port, nginx.tls], NGINX, &origin.question);
            self.add((nginx.port, nginx.process.pid()), "nginx-64k-roomy", "/roomy/64k", 0);
        }
        self.nginx.push(nginx);
    }

    fn lua(&mut self, nginx: Nginx) {
        let at = (nginx.port, nginx.process.pid());
        for (name, path) in [
            ("lua", "/x"),
            ("lua-std", "/std"),
            ("lua-chain-1", "/chain-1"),
            ("lua-chain-5", "/chain-5"),
            ("lua-chain-10", "/chain-10"),
        ] {
            self.add(at, name, path, 0);
        }
        self.nginx.push(nginx);
    }

    fn gateway(&mut self, (gateway, chains): (Gateway, bool), origin: Option<&Origin>) {
        let at = (gateway.ports.proxy, gateway.process.pid());
        if let Some(origin) = origin {
            self.protocols(at.1, [at.0, gateway.ports.proxy_tls], OURS, &origin.question);
        }
        self.add(at, "bare", "/x", 0);
        self.add(at, "std", "/std", 0);
        self.add(at, "routes-1", "", ROUTES);
        let chained = [
            ("chain-1", "/chain-1"),
            ("chain-5", "/chain-5"),
            ("chain-10", "/chain-10"),
            ("look", "/look"),
            ("change", "/change"),
        ];
        for (name, path) in chained.into_iter().filter(|_| chains) {
            self.add(at, name, path, 0);
        }
        self.gateways.push(gateway);
    }

    fn routes(&mut self, gateway: Gateway) {
        self.add((gateway.ports.proxy, gateway.process.pid()), "routes-10000", "", ROUTES);
        self.gateways.push(gateway);
    }
}
