//! WASI 0.2 for guests that were built for it: clocks, random, and a standard output that goes to the log. No files, no
//! environment, no arguments, no sockets.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream},
};

use super::logging::write_log;
use crate::plugin::{bindings::sandgate::plugin::logging::Level, instance::HostState};

/// What WASI functions of one instance work on.
pub(in crate::plugin) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    pub(in crate::plugin) fn new(plugin: Arc<str>) -> Self {
        let mut builder = WasiCtx::builder();
        builder.stdout(Lines::new(plugin.clone(), Level::Info)).stderr(Lines::new(plugin, Level::Warn));
        builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        Self { context: builder.build(), table: ResourceTable::new() }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.as_mut().expect("only modules that import WASI are linked with it");
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

/// An output stream that becomes a log line at each end of line.
#[derive(Clone)]
struct Lines {
    plugin: Arc<str>,
    level: Level,
    partial: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    const LONGEST: usize = 8 << 10;

    fn new(plugin: Arc<str>, level: Level) -> Self {
        Self { plugin, level, partial: Arc::default() }
    }

    fn add(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if *byte == b'\n' || partial.len() >= Self::LONGEST {
                write_log(&self.plugin, self.level, &String::from_utf8_lossy(&partial));
                partial.clear();
            }
            if *byte != b'\n' {
                partial.push(*byte);
            }
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.add(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
