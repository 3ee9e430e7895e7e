//! Calls every capability without having asked for one, and tells the client what the gateway said.

use sandgate_sdk::{
    host::{Call, Digest, Limit, Period},
    prelude::*,
};

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
#[derive(Debug)]
pub struct Meddle;

#[plugin(name = "meddle", priority = 500)]
impl Plugin for Meddle {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        let answers = [
            said("consumers", &host.find_credential("keyauth_credentials", "key")),
            said("consumers", &host.authenticate("keyauth_credentials", "key", None)),
            said("consumers", &host.set_anonymous("anyone")),
            said("consumers", &host.owned("acls", "group")),
            said("counters", &host.take("key", &[Limit { period: Period::Hour, ceiling: 1 }], 1)),
            said("counters", &host.increment("key", 1, 1_000)),
            said("key-value", &host.set_value("key", b"value", None)),
            said("key-value", &host.get_value("key")),
            said("metrics", &host.count("calls", 1)),
            said("queue", &host.enqueue(b"entry")),
            said("sinks", &host.append("/tmp/meddle.log", b"line", false)),
            said("outbound-http", &host.send(&call())),
            said("crypto", &host.hash(Digest::Sha256, b"data")),
            said("secrets", &host.secret("PATH")),
        ];
        request.set_response_header("x-meddle", &answers.join(", "));
        Flow::Next
    }
}

fn call() -> Call {
    Call {
        method: "GET".into(),
        url: "http://127.0.0.1:1/".into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: 100,
        verify_tls: true,
    }
}

/// `capability=denied:name`, or how else the call went.
fn said<T>(capability: &str, result: &Result<T, HostError>) -> String {
    let answer = match result {
        Ok(_) => "ok",
        Err(HostError::Denied(name)) => return [capability, "=denied:", name].concat(),
        Err(HostError::Timeout) => "timeout",
        Err(HostError::Invalid(_)) => "invalid",
        Err(HostError::Failed(_)) => "failed",
    };
    [capability, "=", answer].concat()
}
