//! The demo: a gateway that answers through two plugins, and every call that made it so.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::gateway::{self, Gateway, Ports, Start};
use crate::http::{self, Response};
use crate::plugins;
use crate::setup::{self, Purpose};
use crate::shell::{self, say};

/// `cargo xtask run`
#[derive(clap::Args)]
pub struct Options {
    /// Build the gateway with optimizations: slower to build
    #[arg(long)]
    release: bool,
    /// Listen on this port (proxy), +443 (TLS), +1 (Admin) and +7 (Status)
    #[arg(long, default_value_t = 8000)]
    port_base: u16,
    /// End after the calls
    #[arg(long)]
    once: bool,
}

const KEY: &str = "demo-key";

/// What is configured, as form posts: path and fields. The route comes last, so that it never serves unguarded.
const CHANGES: [(&str, &[&str]); 6] = [
    ("/services", &["name=demo", "url=http://127.0.0.1:{upstream}"]),
    ("/services/demo/plugins", &["name=key-auth"]),
    ("/services/demo/plugins", &["name=rate-limiting", "config.minute=3", "config.policy=local"]),
    ("/consumers", &["username=alice"]),
    ("/consumers/alice/key-auth", &["key=demo-key"]),
    ("/services/demo/routes", &["name=demo", "paths[]=/demo"]),
];

/// Builds, starts, configures, calls, and stays up until Ctrl-C.
pub fn run(options: &Options) -> Result<()> {
    let base = options.port_base;
    let ports = Ports { proxy: base, proxy_tls: base + 443, admin: base + 1, status: base + 7 };
    refuse_taken(&ports)?;
    setup::prepare(Purpose::Run)?;
    plugins::run(&plugins::Options::default())?;
    let binary = gateway::build(options.release)?;
    shell::end_children_on_signals()?;
    let upstream = start_upstream()?;
    let start = Start { binary, ports, data: fresh_data()?, workers: None, under: Vec::new() };
    let mut gateway = start.start(Duration::from_secs(60))?;
    configure(&gateway, upstream)?;
    call(&gateway)?;
    if options.once {
        return Ok(());
    }
    println!("\nThe gateway stays up (proxy {base}, Admin API {}); Ctrl-C ends it.", ports.admin);
    loop {
        gateway.process.alive()?;
        thread::sleep(Duration::from_millis(200));
    }
}

fn refuse_taken(ports: &Ports) -> Result<()> {
    for port in [ports.proxy, ports.proxy_tls, ports.admin, ports.status] {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        free.with_context(|| format!("port {port} is not free: choose others with --port-base"))?;
    }
    Ok(())
}

/// Every demo begins with nothing configured.
fn fresh_data() -> Result<PathBuf> {
    let folder = shell::target().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

fn configure(gateway: &Gateway, upstream: u16) -> Result<()> {
    for (path, fields) in CHANGES {
        let fields: Vec<_> = fields.iter().map(|field| field.replace("{upstream}", &upstream.to_string())).collect();
        let data: String = fields.iter().map(|field| format!(" -d '{field}'")).collect();
        println!("\n$ curl -X POST http://127.0.0.1:{}{path}{data}", gateway.ports.admin);
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = http::call(gateway.ports.admin, &format!("POST {path}"), &form, fields.join("&").as_bytes())?;
        show(&answer);
        if answer.status != 201 {
            bail!("POST {path} answered {}", answer.status);
        }
    }
    Ok(())
}

/// Without a key, with it, and more often than the limit of three a minute allows.
fn call(gateway: &Gateway) -> Result<()> {
    // The configuration reaches the workers a moment after the Admin API has answered.
    gateway.await_proxy("/demo", &[], 401)?;
    expect(&curl(gateway, &[])?, &[401])?;
    expect(&curl(gateway, &[("apikey", KEY)])?, &[200])?;
    // A minute may end between two calls; then the count begins again.
    for _ in 0..6 {
        let answer = curl(gateway, &[("apikey", KEY)])?;
        expect(&answer, &[200, 429])?;
        if answer.status == 429 {
            return Ok(());
        }
    }
    bail!("seven calls were let through where three a minute are allowed")
}

fn curl(gateway: &Gateway, headers: &[(&str, &str)]) -> Result<Response> {
    let shown: String = headers.iter().map(|(name, value)| format!(" -H '{name}: {value}'")).collect();
    println!("\n$ curl http://127.0.0.1:{}/demo{shown}", gateway.ports.proxy);
    let answer = http::call(gateway.ports.proxy, "GET /demo", headers, b"")?;
    show(&answer);
    Ok(answer)
}

fn show(answer: &Response) {
    let text = answer.text();
    println!("{} {}", answer.status, text.trim().chars().take(200).collect::<String>());
}

fn expect(answer: &Response, allowed: &[u16]) -> Result<()> {
    if !allowed.contains(&answer.status) {
        bail!("the gateway answered {}, not one of {allowed:?}", answer.status);
    }
    Ok(())
}

/// An upstream that answers with what it was sent. Its threads end with this program.
fn start_upstream() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("starting the demo upstream")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    say(format!("demo upstream on port {port}"));
    Ok(port)
}

/// Serves one connection until it ends or is not understood.
fn echo(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let head = read_head(&mut reader)?;
        let mut body = vec![0; head.iter().find_map(|line| length(line)).unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let seen =
            json!({ "request": head[0], "headers": head[1..], "body": String::from_utf8_lossy(&body) }).to_string();
        let length = seen.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{seen}");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn length(header: &str) -> Option<usize> {
    let (name, value) = header.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

/// Request line and headers; `None` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|size| *size > 0)?;
        match line.trim_end() {
            "" if !lines.is_empty() => return Some(lines),
            "" => {}
            text => lines.push(text.to_owned()),
        }
    }
}
