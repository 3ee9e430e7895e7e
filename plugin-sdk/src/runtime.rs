//! The component's side of the contract: keeps configurations by id and hands calls to the plugin. Used by the attribute
//! `plugin` alone.

use std::{cell::RefCell, marker::PhantomData};

use crate::{
    bindings::{
        exports::sandgate::plugin::{
            batch, lifecycle, log, request_body, request_head, response_body, response_head, timer,
        },
        sandgate::plugin::types::{ChunkDecision, ConfigId},
    },
    config::{self, ConfigError},
    flow::Chunk,
    host::WasmHost,
    plugin::{Describe, Manifest, Plugin, Prepared, Scope},
    request::Request,
    response::Response,
};

/// The configurations of one instance, sorted by id.
pub struct Table<P>(RefCell<Vec<(ConfigId, P)>>);

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Table<P> {
    /// Without configurations.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    fn insert(&self, id: ConfigId, plugin: P) {
        let mut rows = self.0.borrow_mut();
        match rows.binary_search_by_key(&id, |row| row.0) {
            Ok(place) => rows[place].1 = plugin,
            Err(place) => rows.insert(place, (id, plugin)),
        }
    }

    fn remove(&self, id: ConfigId) {
        self.0.borrow_mut().retain(|row| row.0 != id);
    }

    fn with<R>(&self, id: ConfigId, call: impl FnOnce(&P) -> R) -> R {
        let rows = self.0.borrow();
        let place = rows.binary_search_by_key(&id, |row| row.0).expect("the host configures an id before it uses it");
        call(&rows[place].1)
    }
}

/// A plugin with a place for its configurations.
pub trait Stored: Plugin + Describe {
    /// Calls with the table of this instance.
    fn table<R>(call: impl FnOnce(&Table<Self>) -> R) -> R;
}

/// Implements every exported interface for a plugin; the attribute exports those with a written method.
pub struct Runtime<P>(PhantomData<P>);

fn with<P: Stored, R>(id: ConfigId, call: impl FnOnce(&P, &WasmHost) -> R) -> R {
    P::table(|table| table.with(id, |plugin| call(plugin, &WasmHost::new(id))))
}

/// Parses and checks, as `validate` and `configure` both do.
pub(crate) fn build<P: Plugin>(config: &str, scope: &Scope) -> Result<P, Vec<ConfigError>> {
    let settings = config::from_json::<P::Settings>(config)?;
    let mistakes = P::validate(&settings);
    if mistakes.is_empty() { P::new(settings, scope) } else { Err(mistakes) }
}

impl<P: Stored> lifecycle::Guest for Runtime<P> {
    fn describe() -> Manifest {
        P::manifest()
    }

    fn validate(config: String) -> Result<(), Vec<ConfigError>> {
        build::<P>(&config, &Scope::default()).map(drop)
    }

    fn configure(id: ConfigId, config: String, scope: Scope) -> Result<Prepared, Vec<ConfigError>> {
        let plugin = build::<P>(&config, &scope)?;
        let prepared = plugin.prepare();
        P::table(|table| table.insert(id, plugin));
        Ok(prepared)
    }

    fn release(id: ConfigId) {
        P::table(|table| table.remove(id));
    }
}

impl<P: Stored> request_head::Guest for Runtime<P> {
    fn on_request(config: ConfigId, headers: String) {
        let mut request = Request::handed(headers);
        let flow = with::<P, _>(config, |plugin, host| plugin.on_request(&mut request, host));
        request.tell(flow);
    }
}

impl<P: Stored> request_body::Guest for Runtime<P> {
    fn on_request_chunk(config: ConfigId, chunk: Vec<u8>, last: bool) -> ChunkDecision {
        decision(with::<P, _>(config, |plugin, host| plugin.on_request_chunk(chunk, last, host)))
    }
}

impl<P: Stored> response_head::Guest for Runtime<P> {
    fn on_response(config: ConfigId, status: u16, headers: String) {
        let mut response = Response::handed(status, headers);
        let flow = with::<P, _>(config, |plugin, host| plugin.on_response(&mut response, host));
        response.tell(flow);
    }
}

impl<P: Stored> response_body::Guest for Runtime<P> {
    fn on_response_chunk(config: ConfigId, chunk: Vec<u8>, last: bool) -> ChunkDecision {
        decision(with::<P, _>(config, |plugin, host| plugin.on_response_chunk(chunk, last, host)))
    }
}

impl<P: Stored> log::Guest for Runtime<P> {
    fn on_log(config: ConfigId) {
        with::<P, _>(config, |plugin, host| plugin.on_log(host));
    }
}

impl<P: Stored> batch::Guest for Runtime<P> {
    fn on_batch(config: ConfigId, entries: Vec<Vec<u8>>) -> Result<(), String> {
        with::<P, _>(config, |plugin, host| plugin.on_batch(entries, host))
    }
}

impl<P: Stored> timer::Guest for Runtime<P> {
    fn on_timer(config: ConfigId) -> Result<(), String> {
        with::<P, _>(config, |plugin, host| plugin.on_timer(host))
    }
}

fn decision(chunk: Chunk) -> ChunkDecision {
    match chunk {
        Chunk::Pass => ChunkDecision::Pass,
        Chunk::Replace(bytes) => ChunkDecision::Replace(bytes),
        Chunk::Refuse(refusal) => ChunkDecision::Refuse(refusal),
    }
}
