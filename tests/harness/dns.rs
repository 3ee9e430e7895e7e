//! A server of names, over UDP and TCP on one port.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
};

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
/// Where answers point to for the name of the question.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, 0x0c];

/// How the server fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    #[default]
    Well,
    /// Says that it failed.
    Failing,
    /// Answers nothing until it is well again.
    Silent,
    /// Has answers for TCP alone.
    Truncating,
}

/// A server in this process; it ends with its value.
pub struct TestDns {
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    zone: Mutex<Zone>,
    mood: watch::Sender<Mood>,
}

#[derive(Default)]
struct Zone {
    /// By name and type.
    records: BTreeMap<(String, u16), (u32, Vec<Vec<u8>>)>,
    asked: HashMap<String, u64>,
    over_tcp: u64,
}

impl TestDns {
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
            // Another process may have the same port of TCP.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("an address");
        let (state, mut tasks) = (Arc::<State>::default(), JoinSet::new());
        tasks.spawn(answer_datagrams(udp, state.clone()));
        tasks.spawn(answer_connections(tcp, state.clone()));
        Self { address, state, _tasks: tasks }
    }

    /// Has these addresses, all of one family, for so many seconds; none: no records of it.
    pub fn addresses(&self, name: &str, seconds: u32, addresses: &[&str]) {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let kind = if addresses.iter().any(IpAddr::is_ipv6) { AAAA } else { A };
        let data = addresses.into_iter().map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        self.zone().records.insert((name.to_owned(), kind), (seconds, data.collect()));
    }

    /// Has these services: priority, weight, port, name.
    pub fn services(&self, name: &str, seconds: u32, services: &[(u16, u16, u16, &str)]) {
        let data = services.iter().map(|(priority, weight, port, name)| {
            let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|number| number.to_be_bytes()).collect();
            for label in name.split('.') {
                data.push(u8::try_from(label.len()).expect("a short label"));
                data.extend_from_slice(label.as_bytes());
            }
            data.push(0);
            data
        });
        let data = data.collect();
        self.zone().records.insert((name.to_owned(), SRV), (seconds, data));
    }

    /// Knows a name no more.
    pub fn forget(&self, name: &str) {
        self.zone().records.retain(|(known, _), _| known != name);
    }

    pub fn turn(&self, mood: Mood) {
        self.state.mood.send_replace(mood);
    }

    /// How often it was asked for a name.
    pub fn asked(&self, name: &str) -> u64 {
        self.zone().asked.get(name).copied().unwrap_or_default()
    }

    /// Questions that came over TCP.
    pub fn over_tcp(&self) -> u64 {
        self.zone().over_tcp
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.state.zone.lock().expect("no test panics with it")
    }
}

async fn answer_datagrams(socket: UdpSocket, state: Arc<State>) {
    let socket = Arc::new(socket);
    let mut waiting = JoinSet::new();
    let mut buffer = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let (question, state, socket) = (buffer[..length].to_vec(), state.clone(), socket.clone());
        waiting.spawn(async move {
            let mood = state.patience().await;
            let answer = state.answer(&question, mood);
            drop(socket.send_to(&answer, client).await);
        });
    }
}

async fn answer_connections(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer_connection(stream, state.clone()));
    }
}

async fn answer_connection(mut stream: TcpStream, state: Arc<State>) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; length.into()];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        state.zone.lock().expect("no test panics with it").over_tcp += 1;
        let mood = match state.patience().await {
            Mood::Truncating => Mood::Well,
            mood => mood,
        };
        let answer = state.answer(&question, mood);
        let mut message = u16::try_from(answer.len()).expect("a short answer").to_be_bytes().to_vec();
        message.extend(answer);
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

impl State {
    /// Waits for as long as the server is silent.
    async fn patience(&self) -> Mood {
        let mut mood = self.mood.subscribe();
        *mood.wait_for(|mood| *mood != Mood::Silent).await.expect("the sender is here")
    }

    /// RFC 1035 §4.
    fn answer(&self, message: &[u8], mood: Mood) -> Vec<u8> {
        let (name, end) = name_of(message);
        let kind = u16::from_be_bytes([message[end], message[end + 1]]);
        let mut zone = self.zone.lock().expect("no test panics with it");
        *zone.asked.entry(name.clone()).or_default() += 1;
        let is_known = zone.records.keys().any(|(known, _)| *known == name);
        let (seconds, records) = zone.records.get(&(name, kind)).cloned().unwrap_or_default();
        let (code, truncated, records) = match mood {
            Mood::Failing => (2, 0, Vec::new()),
            Mood::Truncating => (0, 0x02, Vec::new()),
            Mood::Well | Mood::Silent => (if is_known { 0 } else { 3 }, 0, records),
        };
        let count = u16::try_from(records.len()).expect("few records").to_be_bytes();
        let mut answer = message[..2].to_vec();
        answer.extend([0x81 | truncated, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
        answer.extend_from_slice(&message[12..end + 4]);
        for data in records {
            answer.extend(NAME_OF_QUESTION);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(seconds.to_be_bytes());
            answer.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
            answer.extend(data);
        }
        answer
    }
}

/// The name of the question, and where its type begins.
fn name_of(message: &[u8]) -> (String, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}
