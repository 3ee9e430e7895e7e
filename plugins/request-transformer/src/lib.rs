//! request-transformer: removes, renames, replaces, adds and appends headers, query arguments and body fields, and sets
//! method and path.

mod headers;
mod settings;

use sandgate_sdk::{body::Fields, prelude::*, query::Pairs};

pub use self::settings::Settings;
use self::{
    headers::Headers,
    settings::{Changes, Op},
};

/// The most of a body that is changed.
const BODY_LIMIT: u32 = 8 << 20;

/// One configuration.
#[derive(Debug)]
pub struct RequestTransformer {
    method: Option<String>,
    path: Option<String>,
    headers: Headers,
    query: Changes,
    body: Changes,
}

#[plugin(name = "request-transformer", priority = 801)]
impl Plugin for RequestTransformer {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self {
            headers: Headers::new(settings.header_changes()),
            query: settings.query_changes(),
            body: settings.body_changes(),
            method: settings.http_method,
            path: settings.replace.uri,
        })
    }

    fn validate(settings: &Settings) -> Vec<ConfigError> {
        settings.check()
    }

    fn prepare(&self) -> Prepared {
        Prepared { request_headers: self.headers.names().to_vec(), ..Prepared::default() }
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        if let Some(path) = &self.path {
            request.set_path(path);
        }
        let mut moved = None;
        if let Some(method) = &self.method {
            request.set_method(method);
            moved = form_without_body(method, host);
        }
        self.headers.apply(request, host);
        self.change_body(request, host);
        self.change_query(moved, request, host);
        Flow::Next
    }
}

impl RequestTransformer {
    fn change_body(&self, request: &mut Request, host: &impl Host) {
        if self.body.is_empty() {
            return;
        }
        if let Some(mut fields) = Fields::of_request(host, BODY_LIMIT)
            && self.body.iter().fold(false, |changed, op| change_field(&mut fields, op) | changed)
        {
            request.set_body(fields.encode());
        }
    }

    fn change_query(&self, moved: Option<Pairs>, request: &mut Request, host: &impl Host) {
        if self.query.is_empty() && moved.is_none() {
            return;
        }
        let mut pairs = Pairs::parse(&host.query().unwrap_or_default());
        let mut changed = moved.is_some();
        pairs.merge(moved.unwrap_or_default());
        for op in &self.query {
            changed |= change_argument(&mut pairs, op);
        }
        if changed {
            // Kong writes them in the order of their names.
            pairs.sort();
            request.set_query(&pairs.encode());
        }
    }
}

/// A form whose method does not take a body goes to the query too.
fn form_without_body(method: &str, host: &impl Host) -> Option<Pairs> {
    if !matches!(method, "GET" | "HEAD" | "TRACE") {
        return None;
    }
    match Fields::of_request(host, BODY_LIMIT)? {
        Fields::Form(pairs) if !pairs.is_empty() => Some(pairs),
        _ => None,
    }
}

fn change_field(fields: &mut Fields, op: &Op) -> bool {
    match op {
        Op::Remove(name) => fields.remove(name),
        Op::Rename(old, new) => fields.rename(old, new),
        Op::Replace(name, value) => fields.replace(name, value),
        Op::Add(name, value) => fields.add(name, value),
        Op::Append(name, value) => fields.append(name, value),
    }
}

fn change_argument(pairs: &mut Pairs, op: &Op) -> bool {
    match op {
        Op::Remove(name) => pairs.remove(name),
        Op::Rename(old, new) => pairs.rename(old, new),
        Op::Replace(name, value) => pairs.replace(name, value),
        Op::Add(name, value) => pairs.add(name, value),
        Op::Append(name, value) => {
            pairs.append(name, value);
            true
        }
    }
}

#[cfg(test)]
mod tests;
