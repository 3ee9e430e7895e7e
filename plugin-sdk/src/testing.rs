//! Runs a plugin as the gateway would, natively: configures it, hands over the declared headers, applies its changes.

use crate::{
    bindings::sandgate::plugin::types::{HeaderOp, RequestChanges, RequestDecision, ResponseDecision},
    changes::ANSWER,
    config::ConfigError,
    flow::Refusal,
    mock::MockHost,
    plugin::{Describe, Manifest, Plugin, Prepared, Scope},
    request::Request,
    response::Response,
    runtime,
};

/// A configured plugin.
#[derive(Debug)]
pub struct Tester<P> {
    plugin: P,
    manifest: Manifest,
    prepared: Prepared,
}

impl<P: Plugin + Describe> Tester<P> {
    /// With a configuration (JSON), on every route. Panics with every mistake in it.
    #[expect(clippy::panic, reason = "a test that configures wrongly has failed")]
    pub fn new(config: &str) -> Self {
        Self::try_new(config).unwrap_or_else(|errors| panic!("the configuration is refused: {errors:?}"))
    }

    /// As [`new`](Self::new), for configurations that may be refused.
    pub fn try_new(config: &str) -> Result<Self, Vec<ConfigError>> {
        Self::scoped(config, &Scope::default())
    }

    /// On a route, a service or a consumer.
    pub fn scoped(config: &str, scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        let plugin = runtime::build::<P>(config, scope)?;
        let prepared = plugin.prepare();
        Ok(Self { plugin, manifest: P::manifest(), prepared })
    }

    /// The plugin itself.
    pub fn plugin(&self) -> &P {
        &self.plugin
    }

    /// What the configuration asks of the host.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Lets the plugin see the request of `host`.
    pub fn on_request(&self, host: &MockHost) -> RequestOutcome {
        let declared = self.manifest.request_headers.iter().chain(&self.prepared.request_headers);
        let (values, repeated) = hand_over(declared, &host.request.headers);
        let mut request = Request::new(values, repeated);
        let flow = self.plugin.on_request(&mut request, host);
        let (changes, decision) = request.decide(flow);
        let mut headers = host.request.headers.clone();
        let mut answer = Vec::new();
        apply(&mut headers, &changes.ops(0));
        apply(&mut answer, &changes.ops(ANSWER));
        match &decision {
            RequestDecision::Respond(response) => answer.clone_from(&response.headers),
            RequestDecision::Refuse(refusal) => answer.clone_from(&refusal.headers),
            RequestDecision::Next | RequestDecision::Change(_) => {}
        }
        RequestOutcome { decision, headers, answer }
    }

    /// Lets the plugin see the response of `host`.
    pub fn on_response(&self, host: &MockHost) -> ResponseOutcome {
        let declared = self.manifest.response_headers.iter().chain(&self.prepared.response_headers);
        let (values, repeated) = hand_over(declared, &host.response.headers);
        let mut response = Response::new(host.response.status, values, repeated);
        let flow = self.plugin.on_response(&mut response, host);
        let (changes, decision) = response.decide(flow);
        let mut headers = host.response.headers.clone();
        apply(&mut headers, &changes.ops(ANSWER));
        if let ResponseDecision::Replace(answer) = &decision {
            headers.clone_from(&answer.headers);
        }
        ResponseOutcome { decision, headers }
    }

    /// Runs the log phase, and the background work that it enqueued as one batch.
    pub fn on_log(&self, host: &MockHost) -> Result<(), String> {
        self.plugin.on_log(host);
        match host.enqueued() {
            entries if entries.is_empty() => Ok(()),
            entries => self.plugin.on_batch(entries, host),
        }
    }
}

/// What a plugin made of a request.
#[derive(Debug)]
pub struct RequestOutcome {
    /// As the gateway gets it; changes of headers are told apart from it.
    pub decision: RequestDecision,
    headers: Vec<(String, String)>,
    answer: Vec<(String, String)>,
}

impl RequestOutcome {
    /// Status of the answer, `None` when the request goes on.
    pub fn status(&self) -> Option<u16> {
        match &self.decision {
            RequestDecision::Respond(answer) => Some(answer.status),
            RequestDecision::Refuse(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Status and message of a refusal.
    pub fn refusal(&self) -> Option<(u16, &str)> {
        match &self.decision {
            RequestDecision::Refuse(Refusal { status, message, .. }) => Some((*status, message)),
            _ => None,
        }
    }

    /// A header that the upstream would get.
    pub fn upstream_header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    /// Every value of a header that the upstream would get.
    pub fn upstream_values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|header| header.0.eq_ignore_ascii_case(name));
        named.map(|header| header.1.as_str()).collect()
    }

    /// A header that the plugin adds to the client's answer.
    pub fn answer_header(&self, name: &str) -> Option<&str> {
        value(&self.answer, name)
    }

    /// The query, where the plugin changed it.
    pub fn query(&self) -> Option<&str> {
        self.changes()?.query.as_deref()
    }

    /// The upstream path, where the plugin changed it.
    pub fn path(&self) -> Option<&str> {
        self.changes()?.path.as_deref()
    }

    /// The method, where the plugin changed it.
    pub fn method(&self) -> Option<&str> {
        self.changes()?.method.as_deref()
    }

    /// The body, where the plugin changed it.
    pub fn body(&self) -> Option<&str> {
        std::str::from_utf8(self.changes()?.body.as_deref()?).ok()
    }

    fn changes(&self) -> Option<&RequestChanges> {
        match &self.decision {
            RequestDecision::Change(changes) => Some(changes),
            _ => None,
        }
    }
}

/// What a plugin made of a response.
#[derive(Debug)]
pub struct ResponseOutcome {
    /// As the gateway gets it; changes of headers are told apart from it.
    pub decision: ResponseDecision,
    headers: Vec<(String, String)>,
}

impl ResponseOutcome {
    /// A header that the client would get.
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }
}

fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1.as_str())
}

fn hand_over<'a>(
    declared: impl Iterator<Item = &'a String>,
    headers: &[(String, String)],
) -> (Vec<Option<String>>, u64) {
    let mut repeated = 0;
    let values = declared.enumerate().map(|(n, name)| {
        let mut named = headers.iter().filter(|header| header.0.eq_ignore_ascii_case(name));
        let first = named.next().map(|header| header.1.clone());
        if n < 64 {
            repeated |= u64::from(named.next().is_some()) << n;
        }
        first
    });
    (values.collect(), repeated)
}

fn apply(headers: &mut Vec<(String, String)>, changes: &[HeaderOp]) {
    for change in changes {
        match change {
            HeaderOp::Set((name, value)) => {
                headers.retain(|header| !header.0.eq_ignore_ascii_case(name));
                headers.push((name.clone(), value.clone()));
            }
            HeaderOp::Append(header) => headers.push(header.clone()),
            HeaderOp::Remove(name) => headers.retain(|header| !header.0.eq_ignore_ascii_case(name)),
        }
    }
}
