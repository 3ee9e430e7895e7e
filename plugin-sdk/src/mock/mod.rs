//! A gateway for unit tests: one request, what it carries, and a record of what a plugin did.

mod calendar;
mod calls;

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::{BTreeMap, HashMap, VecDeque},
};

use crate::host::{Answer, Call, Consumer, Credential, Host, HostError, Level};

/// Stands in for the gateway. Made by a chain of calls; inspected after the plugin has run.
#[derive(Debug)]
pub struct MockHost {
    pub(crate) request: Head,
    pub(crate) response: Answer,
    entities: HashMap<String, Vec<Credential>>,
    consumers: Vec<Consumer>,
    denied: Vec<String>,
    record: String,
    secrets: HashMap<String, String>,
    now: Cell<u64>,
    state: RefCell<State>,
}

/// The head of the request, and its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    client: String,
    certificates: Option<(Vec<Vec<u8>>, bool)>,
    route: Option<(String, String)>,
    service: Option<(String, String)>,
    captures: Vec<(String, String)>,
}

/// What changes while plugins run.
#[derive(Debug, Default)]
struct State {
    consumer: Option<Consumer>,
    credential: Option<String>,
    notes: HashMap<String, String>,
    counters: HashMap<(String, u64, u64), u64>,
    values: HashMap<String, (Vec<u8>, Option<u64>)>,
    metrics: BTreeMap<String, f64>,
    logs: Vec<(Level, String)>,
    fields: BTreeMap<String, String>,
    files: BTreeMap<String, Vec<u8>>,
    queue: Vec<Vec<u8>>,
    calls: Vec<Call>,
    kept: Vec<u32>,
    answers: VecDeque<Result<Answer, HostError>>,
    numbers: u64,
}

impl Host for MockHost {}

impl MockHost {
    /// A request with a path and perhaps a query.
    pub fn new(method: &str, uri: &str) -> Self {
        let (path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query.into())));
        Self {
            request: Head {
                method: method.into(),
                path: path.into(),
                query,
                client: "127.0.0.1".into(),
                ..Head::default()
            },
            response: Answer { status: 0, headers: Vec::new(), body: Vec::new() },
            entities: HashMap::new(),
            consumers: Vec::new(),
            denied: Vec::new(),
            record: "{}".into(),
            secrets: HashMap::new(),
            now: Cell::new(1_700_000_000_000),
            state: RefCell::default(),
        }
    }

    /// A GET request.
    pub fn get(uri: &str) -> Self {
        Self::new("GET", uri)
    }

    /// A POST request with a body.
    pub fn post(uri: &str, content_type: &str, body: &str) -> Self {
        let mut host = Self::new("POST", uri).header("Content-Type", content_type);
        host.request.body = body.as_bytes().to_vec();
        host
    }

    /// Adds a request header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// Address of the client; 127.0.0.1 without this.
    #[must_use]
    pub fn client(mut self, address: &str) -> Self {
        self.request.client = address.into();
        self
    }

    /// Certificates in DER that the client showed, its own first, and whether an authority of the listener vouches for it.
    #[must_use]
    pub fn client_certificates(mut self, chain: &[&[u8]], verified: bool) -> Self {
        self.request.certificates = Some((chain.iter().map(|certificate| certificate.to_vec()).collect(), verified));
        self
    }

    /// The route that matched.
    #[must_use]
    pub fn route(mut self, id: &str, name: &str) -> Self {
        self.request.route = Some((id.into(), name.into()));
        self
    }

    /// The service of the request.
    #[must_use]
    pub fn service(mut self, id: &str, name: &str) -> Self {
        self.request.service = Some((id.into(), name.into()));
        self
    }

    /// A group of the regex path that matched.
    #[must_use]
    pub fn capture(mut self, name: &str, value: &str) -> Self {
        self.request.captures.push((name.into(), value.into()));
        self
    }

    /// The response in hand.
    #[must_use]
    pub fn response(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        self.response.status = status;
        self.response.headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self
    }

    /// A consumer; its id is `<username>-id`.
    #[must_use]
    pub fn with_consumer(mut self, username: &str) -> Self {
        self.consumers.push(named(username));
        self
    }

    /// An entity of a collection that a consumer owns; its id is `<key>-id`.
    #[must_use]
    pub fn entity(mut self, collection: &str, key: &str, username: &str, data: &str) -> Self {
        let owner = Some(named(username));
        let entity = Credential { id: [key, "-id"].concat(), consumer: owner, data: data.into() };
        if !self.consumers.contains(&named(username)) {
            self.consumers.push(named(username));
        }
        self.entities.entry(collection.into()).or_default().push(entity);
        self
    }

    /// A credential that a consumer owns.
    #[must_use]
    pub fn credential(self, collection: &str, key: &str, username: &str) -> Self {
        let data = ["{\"key\":\"", key, "\"}"].concat();
        self.entity(collection, key, username, &data)
    }

    /// An earlier plugin has authenticated the request.
    #[must_use]
    pub fn authenticated(self, username: &str, credential: &str) -> Self {
        self.state().consumer = Some(named(username));
        self.state().credential = Some(credential.into());
        self.with_consumer(username)
    }

    /// An earlier plugin has accepted a credential that has no consumer.
    #[must_use]
    pub fn credential_only(self, credential: &str) -> Self {
        self.state().credential = Some(credential.into());
        self
    }

    /// An earlier plugin has made the request an anonymous consumer's.
    #[must_use]
    pub fn anonymous(self, username: &str) -> Self {
        self.state().consumer = Some(named(username));
        self.with_consumer(username)
    }

    /// The time, in milliseconds since the epoch.
    #[must_use]
    pub fn at(self, now: u64) -> Self {
        self.now.set(now);
        self
    }

    /// Lets time pass.
    pub fn advance(&self, milliseconds: u64) {
        self.now.set(self.now.get() + milliseconds);
    }

    /// What the next outbound request gets; without one it fails.
    #[must_use]
    pub fn answering(self, answer: Result<Answer, HostError>) -> Self {
        self.state().answers.push_back(answer);
        self
    }

    /// The access record, as JSON.
    #[must_use]
    pub fn record(mut self, json: &str) -> Self {
        self.record = json.into();
        self
    }

    /// A secret of the operator.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// A capability that was not granted.
    #[must_use]
    pub fn deny(mut self, capability: &str) -> Self {
        self.denied.push(capability.into());
        self
    }

    /// Messages written to the log.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.state().logs.clone()
    }

    /// Members added to the access record, as JSON.
    pub fn log_field(&self, key: &str) -> Option<String> {
        self.state().fields.get(key).cloned()
    }

    /// What was appended to a file.
    pub fn appended(&self, path: &str) -> String {
        let state = self.state();
        state.files.get(path).map(|data| String::from_utf8_lossy(data).into_owned()).unwrap_or_default()
    }

    /// Takes what was enqueued.
    pub fn enqueued(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.state().queue)
    }

    /// Outbound requests.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// For how many milliseconds connections of outbound requests were to be kept, where that was said.
    pub fn kept(&self) -> Vec<u32> {
        self.state().kept.clone()
    }

    /// Sum of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        self.state().metrics.get(name).copied().unwrap_or_default()
    }

    fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn granted(&self, capability: &str) -> Result<(), HostError> {
        if self.denied.iter().any(|denied| denied == capability) {
            return Err(HostError::Denied(capability.into()));
        }
        Ok(())
    }
}

fn named(username: &str) -> Consumer {
    Consumer { id: [username, "-id"].concat(), username: Some(username.into()), custom_id: None }
}
