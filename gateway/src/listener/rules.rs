//! What the connections of a worker go by. It can change while they are served.

use std::{cell::RefCell, future::Future, rc::Rc, sync::Arc};

use hyper::server::conn::{http1, http2};
use tokio::sync::watch::Receiver as Changes;

use super::{Counters, MAX_STREAMS, SEND_BUFFER, Service, Settings, watch::Registry};

/// One worker.
pub(super) struct Worker<S> {
    pub(super) service: Rc<S>,
    pub(super) rules: RefCell<Rc<Rules>>,
    pub(super) changes: RefCell<Changes<Settings>>,
    pub(super) counters: Arc<Counters>,
    pub(super) registry: Rc<Registry>,
}

/// What a connection goes by from its first byte on.
pub(super) struct Rules {
    pub(super) settings: Settings,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<Local>,
}

impl Rules {
    pub(super) fn new(settings: Settings) -> Rc<Self> {
        let (http1, http2) = (http1_builder(&settings), http2_builder(&settings));
        Rc::new(Self { settings, http1, http2 })
    }
}

impl<S: Service> Worker<S> {
    /// Those of now; a connection keeps them.
    pub(super) fn rules(&self) -> Rc<Rules> {
        self.rules.borrow().clone()
    }

    /// A second went by.
    pub(super) fn tick(&self) {
        let mut changes = self.changes.borrow_mut();
        if changes.has_changed().unwrap_or(false) {
            *self.rules.borrow_mut() = Rules::new(changes.borrow_and_update().clone());
        }
        self.registry.tick(&self.rules().settings);
        self.service.tick();
    }
}

fn http1_builder(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.half_close(false).max_header_size(settings.head_bytes);
    builder.max_buf_size((settings.head_bytes + settings.uri_bytes).max(8192));
    if settings.header_count != 100 {
        // Any other number costs two allocations a request.
        builder.max_headers(settings.header_count);
    }
    builder
}

fn http2_builder(settings: &Settings) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder.max_concurrent_streams(MAX_STREAMS);
    builder.max_send_buf_size(SEND_BUFFER);
    builder.max_header_list_size(u32::try_from(settings.head_bytes).unwrap_or(u32::MAX));
    builder
}

/// Streams of HTTP/2 connections run beside them on the worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(async move {
            stream.await;
        });
    }
}
