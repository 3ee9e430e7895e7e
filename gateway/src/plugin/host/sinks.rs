//! `sinks`: append-only files. Workers collect what a path gets and hand it to one writer thread: every 256 KiB, and 50 ms
//! after the first byte. At most that much is lost when the process is killed.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::logging;
use crate::plugin::{
    bindings::sandgate::plugin::{sinks::Host, types::HostError},
    instance::{HostState, Stage},
    worker,
};

const FULL: usize = 256 << 10;
/// Empty buffers that go round between workers and the writer.
const SPARE: usize = 16;
const LINGER: Duration = Duration::from_millis(50);
const BACKLOG: usize = 16 << 20;

/// The writer's side.
#[derive(Debug, Clone)]
pub(in crate::plugin) struct Sinks {
    orders: mpsc::Sender<Order>,
    backlog: Arc<AtomicUsize>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Debug)]
enum Order {
    Write { path: Arc<str>, data: Vec<u8>, reopen: bool },
    Flush(mpsc::SyncSender<()>),
}

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// What a worker has not handed over yet.
#[derive(Default)]
struct Held {
    by_path: HashMap<Arc<str>, (Vec<u8>, bool)>,
    timer: bool,
}

impl Sinks {
    /// Starts the writer.
    pub(in crate::plugin) fn start() -> Self {
        let (orders, incoming) = mpsc::channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let spare = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let writing = Writer { files: HashMap::new(), backlog: backlog.clone(), spare: spare.clone() };
        let writer = thread::Builder::new().name("sink-writer".into());
        let started = writer.spawn(move || writing.run(incoming));
        started.expect("the process can start a thread at its start");
        Self { orders, backlog, spare }
    }

    /// Hands over what this thread holds, and waits until all of it is written.
    pub(in crate::plugin) fn flush(&self) {
        self.hand_over();
        let (done, wait) = mpsc::sync_channel(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(5));
        }
    }

    /// Hands over what this thread holds.
    pub(in crate::plugin) fn hand_over(&self) {
        let held = HELD.with_borrow_mut(|held| {
            held.timer = false;
            std::mem::take(&mut held.by_path)
        });
        for (path, (data, reopen)) in held {
            self.order(path, data, reopen);
        }
    }

    /// Appends what `write` adds to the buffer it is given.
    fn append(&self, path: &str, reopen: bool, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), HostError> {
        if self.backlog.load(Relaxed) > BACKLOG {
            return Err(HostError::Failed("the writer is too far behind".into()));
        }
        if !worker::is_worker() {
            let mut data = Vec::new();
            write(&mut data);
            self.order(path.into(), data, reopen);
            return Ok(());
        }
        let full = HELD.with_borrow_mut(|held| held.add(path, reopen, self, write));
        match full {
            Full::Yes => self.hand_over(),
            Full::StartTimer => {
                let sinks = self.clone();
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(LINGER).await;
                    sinks.hand_over();
                });
            }
            Full::No => {}
        }
        Ok(())
    }

    /// An empty buffer, used before where there is one: fresh memory of this size costs page faults.
    fn buffer(&self) -> Vec<u8> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn order(&self, path: Arc<str>, data: Vec<u8>, reopen: bool) {
        self.backlog.fetch_add(data.len(), Relaxed);
        let _ = self.orders.send(Order::Write { path, data, reopen });
    }
}

enum Full {
    Yes,
    StartTimer,
    No,
}

impl Held {
    fn add(&mut self, path: &str, reopen: bool, sinks: &Sinks, write: impl FnOnce(&mut Vec<u8>)) -> Full {
        let place = match self.by_path.get_mut(path) {
            Some(place) => place,
            None => self.by_path.entry(path.into()).or_insert_with(|| (sinks.buffer(), false)),
        };
        write(&mut place.0);
        place.1 |= reopen;
        if place.0.len() >= FULL {
            return Full::Yes;
        }
        if std::mem::replace(&mut self.timer, true) { Full::No } else { Full::StartTimer }
    }
}

struct Writer {
    files: HashMap<Arc<str>, File>,
    backlog: Arc<AtomicUsize>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Writer {
    fn run(mut self, orders: mpsc::Receiver<Order>) {
        for order in orders {
            match order {
                Order::Write { path, data, reopen } => {
                    if let Err(error) = self.write(&path, &data, reopen) {
                        self.files.remove(&path);
                        tracing::error!(path = &*path, %error, bytes = data.len(), "a sink could not be written");
                    }
                    self.backlog.fetch_sub(data.len(), Relaxed);
                    self.keep(data);
                }
                Order::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn keep(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE && buffer.capacity() <= 2 * FULL {
            spare.push(buffer);
        }
    }

    fn write(&mut self, path: &Arc<str>, data: &[u8], reopen: bool) -> std::io::Result<()> {
        if reopen {
            self.files.remove(path);
        }
        if !self.files.contains_key(path) {
            let file = OpenOptions::new().append(true).create(true).open(&**path)?;
            self.files.insert(path.clone(), file);
        }
        match self.files.get_mut(path) {
            Some(file) => file.write_all(data),
            None => Ok(()),
        }
    }
}

impl Host for HostState {
    fn append(&mut self, path: String, data: Vec<u8>, reopen: bool) -> Result<(), HostError> {
        if !matches!(self.stage, Stage::Log | Stage::Background) {
            return Err(HostError::Denied("sinks outside the log, batch and timer phases".into()));
        }
        self.permit_for("sinks", &path)?;
        self.services().sinks.append(&path, reopen, |buffer| buffer.extend_from_slice(&data))
    }

    fn append_record(&mut self, path: String, reopen: bool) -> Result<(), HostError> {
        self.permit_for("sinks", &path)?;
        let services = self.services().clone();
        let write = logging::record_writer(self)?;
        services.sinks.append(&path, reopen, |buffer| {
            write(buffer);
            buffer.push(b'\n');
        })
    }
}
