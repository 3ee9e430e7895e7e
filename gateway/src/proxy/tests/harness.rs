//! A gateway of one worker and targets, all in this process, over real sockets.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use serde_json::json;
use tokio::{net::TcpSocket, sync::watch};

use crate::{
    listener::{self, Counters, Drained, Entry, Inherited, Place},
    plugin::Directory,
    proxy::{Proxy, Settings},
    router::{Router, Rule},
    shutdown::{Drain, Ending},
    snapshot::{Checks, Ring, RouteEntry, ServiceEntry, Snapshot, TargetEntry, UpstreamEntry},
    tls::{DefaultCertificate, Resolver, server_tls},
    upstream,
};

/// A running gateway; ends when it is dropped.
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    pub(super) tls_address: SocketAddr,
    end: Drain,
    worker: Option<thread::JoinHandle<Drained>>,
}

impl Gateway {
    pub(super) fn start(routes: Vec<Route>) -> Self {
        Self::with(routes, Settings::default(), listener::Settings::default())
    }

    pub(super) fn with(routes: Vec<Route>, settings: Settings, mut limits: listener::Settings) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let entry = |tls| Entry { tls, http2: tls, ..Entry::new(Place::Tcp(loopback)) };
        let sockets =
            listener::bind("proxy", &[entry(false), entry(true)], 1, &mut Inherited::default()).unwrap().remove(0);
        let (address, tls_address) = (sockets[0].address(), sockets[1].address());
        let resolver = Arc::new(Resolver::new(&DefaultCertificate::generate().unwrap()));
        limits.tls = Some(server_tls(resolver).unwrap());
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot(routes)));
        let end = Drain::default();
        let signal = end.clone();
        let worker = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            runtime.unwrap().block_on(async move {
                let upstream = upstream::Client::new(upstream::Settings::default());
                let proxy = Rc::new(Proxy::new(snapshot, upstream, watch::channel(settings).1));
                let counters = Arc::<Counters>::default();
                listener::serve(sockets, proxy, watch::channel(limits).1, counters, signal).await.unwrap()
            })
        });
        Self { address, tls_address, end, worker: Some(worker) }
    }

    pub(super) fn ask(&self, raw: impl AsRef<[u8]>) -> String {
        ask(self.address, raw)
    }

    /// A GET with nothing special, on a connection of its own.
    pub(super) fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: example.test\r\nconnection: close\r\n\r\n"))
    }

    pub(super) fn begin_drain(&self) {
        self.end.advance(Ending::Close);
    }

    pub(super) fn drained(mut self) -> Drained {
        self.end.advance(Ending::Close);
        self.worker.take().unwrap().join().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end.advance(Ending::Close);
    }
}

/// Sends bytes and reads until the other side closes.
pub(super) fn ask(address: SocketAddr, raw: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(raw.as_ref()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads one answer with a Content-Length; the connection stays open.
pub(super) fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(char::from(byte[0]));
    }
    let length = header(&answer, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer + &String::from_utf8(body).unwrap()
}

/// A header of a raw answer.
pub(super) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// The body of a raw answer.
pub(super) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// What the echo target saw: a header of the request it got.
pub(super) fn seen<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let lines = body(answer).lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
}

/// A route and its service.
pub(super) struct Route {
    pub(super) rule: Rule,
    pub(super) route: serde_json::Value,
    pub(super) service: Option<ServiceEntry>,
}

impl Route {
    /// A route for a path that leads to one target.
    pub(super) fn to(path: &str, target: SocketAddr) -> Self {
        let mut route = Self::nowhere(path);
        route.service = Some(service(target));
        route
    }

    /// A route without a service.
    pub(super) fn nowhere(path: &str) -> Self {
        let rule =
            Rule { id: path.into(), protocols: vec!["http".into()], paths: vec![path.into()], ..Rule::default() };
        let route = json!({
            "id": path, "protocols": ["http", "https"], "strip_path": true, "preserve_host": false,
            "https_redirect_status_code": 426, "request_buffering": true, "response_buffering": true, "created_at": 0.0,
        });
        Self { rule, route, service: None }
    }

    pub(super) fn set(mut self, field: &str, value: serde_json::Value) -> Self {
        self.route[field] = value;
        self
    }

    pub(super) fn service(mut self, change: impl FnOnce(&mut ServiceEntry)) -> Self {
        change(self.service.as_mut().unwrap());
        self
    }

    /// Leads to an upstream with these targets, in this order.
    pub(super) fn balanced(self, targets: &[SocketAddr]) -> Self {
        let ring = Ring::of(targets);
        let upstream =
            serde_json::from_value(json!({"id": "u", "name": "u", "algorithm": "round-robin", "slots": 1000}));
        let targets = targets.iter().map(target_entry).collect();
        let (upstream, checks) = (upstream.unwrap(), Checks::default());
        let upstream = UpstreamEntry {
            upstream,
            targets,
            ring,
            hashing: None,
            checks,
            checked_over: crate::snapshot::Security::Clear,
        };
        self.service(|service| service.upstream = Some(Arc::new(upstream)))
    }
}

fn target_entry(target: &SocketAddr) -> TargetEntry {
    TargetEntry {
        host: target.ip().to_string().into(),
        port: target.port(),
        weight: 100,
        host_header: target.to_string().parse().unwrap(),
    }
}

fn service(target: SocketAddr) -> ServiceEntry {
    let service = json!({
        "id": "s", "protocol": "http", "host": target.ip().to_string(), "port": target.port(), "enabled": true,
    });
    ServiceEntry {
        service: serde_json::from_value(service).unwrap(),
        http2: false,
        tls: crate::snapshot::Security::Clear,
        retries: 5,
        connect_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        read_timeout: Duration::from_secs(30),
        upstream: None,
        host_header: target.to_string().parse().unwrap(),
        address: Some(target),
        ring: None,
        json: "{}".into(),
    }
}

fn snapshot(routes: Vec<Route>) -> Snapshot {
    let rules = routes.into_iter().map(|route| {
        let entry = RouteEntry {
            route: serde_json::from_value(route.route).unwrap(),
            facts: Arc::default(),
            service: route.service.map(Arc::new),
            chain: Arc::default(),
            path_handling: Default::default(),
        };
        (route.rule, Arc::new(entry))
    });
    let (router, rejected) = Router::build(rules.collect());
    assert!(rejected.is_empty(), "{rejected:?}");
    let directory = Arc::new(Directory::default());
    Snapshot { version: 1, router, global: Arc::default(), directory, ..Snapshot::empty() }
}

/// A target that gets each connection in a thread of its own.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Target {
    pub(super) fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let (serve, counted) = (Arc::new(serve), connections.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serve = serve.clone();
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || serve(stream.unwrap()));
            }
        });
        Self { address, connections }
    }

    /// Answers with the request line, the headers, an empty line and the body that it got.
    pub(super) fn echo() -> Self {
        Self::serving(|mut stream| {
            while let Some((head, body)) = read_request(&mut stream) {
                let text = format!("{head}{body}");
                let length = text.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nserver: echo\r\nx-backend: yes\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all((head + &text).as_bytes()).unwrap();
            }
        })
    }

    /// Answers every request with these bytes and keeps the connection.
    pub(super) fn answering(answer: &'static str) -> Self {
        Self::serving(move |mut stream| {
            while read_request(&mut stream).is_some() {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        })
    }

    /// An address where nothing listens, nor anything else of this process or another will.
    pub(super) fn refusing() -> SocketAddr {
        let socket: &TcpSocket = Box::leak(Box::new(TcpSocket::new_v4().unwrap()));
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        socket.local_addr().unwrap()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits for so many connections; no more may come. A client may have given up before they are counted.
    #[track_caller]
    pub(super) fn has_accepted(&self, connections: usize) {
        let begun = Instant::now();
        while self.connections() < connections && begun.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.connections(), connections);
    }
}

/// Reads a request; `None` when the connection ended.
pub(super) fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = String::new();
    let mut byte = [0];
    while !head.ends_with("\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(char::from(byte[0])),
            _ => return None,
        }
    }
    let head = head.replace("\r\n", "\n");
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let mut body = vec![0; value("content-length: ").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    if value("transfer-encoding: ").is_some() {
        while !body.ends_with(b"0\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            body.push(byte[0]);
        }
    }
    Some((head, String::from_utf8(body).unwrap()))
}

/// A channel to tell threads of targets when to go on.
pub(super) fn gate() -> (mpsc::Sender<()>, std::sync::Mutex<mpsc::Receiver<()>>) {
    let (open, wait) = mpsc::channel();
    (open, std::sync::Mutex::new(wait))
}
