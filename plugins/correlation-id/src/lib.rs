//! correlation-id: gives every request an id that the upstream, the client and the logs share.

use std::cell::{Cell, OnceCell};

use sandgate_sdk::{json, prelude::*, text};

/// What operators configure.
#[derive(Debug, Config)]
pub struct Settings {
    /// Header that carries the id.
    #[config(default = "Kong-Request-ID", kind = "header_name")]
    header_name: String,
    /// How ids are made.
    #[config(default = "uuid#counter", required)]
    generator: Generator,
    /// Whether the client gets the id too.
    #[config(default = false, required)]
    echo_downstream: bool,
}

/// How ids are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
enum Generator {
    Uuid,
    #[config(rename = "uuid#counter")]
    Counter,
    Tracker,
}

/// One configuration.
#[derive(Debug)]
pub struct CorrelationId {
    settings: Settings,
    /// Prefix of counted ids, made with the first request.
    uuid: OnceCell<String>,
    count: Cell<u64>,
}

#[plugin(name = "correlation-id", priority = 100001)]
impl Plugin for CorrelationId {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self { settings, uuid: OnceCell::new(), count: Cell::new(0) })
    }

    fn prepare(&self) -> Prepared {
        Prepared { request_headers: vec![self.settings.header_name.clone()], ..Prepared::default() }
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        let name = &self.settings.header_name;
        let id = match request.header(0).value() {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => {
                let id = self.generate(host);
                request.set_header(name, &id);
                id
            }
        };
        if self.settings.echo_downstream {
            request.set_response_header(name, &id);
        }
        if host.set_log_field("correlation_id", &json::Value::from(id).to_string()).is_err() {
            host.log(Level::Warn, "the access record does not take the correlation id");
        }
        Flow::Next
    }
}

impl CorrelationId {
    fn generate(&self, host: &impl Host) -> String {
        match self.settings.generator {
            Generator::Uuid => text::uuid(host),
            Generator::Counter => {
                self.count.set(self.count.get() + 1);
                let uuid = self.uuid.get_or_init(|| text::uuid(host));
                [uuid, "#", &self.count.get().to_string()].concat()
            }
            Generator::Tracker => tracker(host),
        }
    }
}

/// `<server ip>-<port>-<process>-<connection>-<request on it>-<seconds with three decimals>`.
fn tracker(host: &impl Host) -> String {
    let (address, port) = host.server_address();
    let (connection, request) = host.connection();
    let now = host.now();
    let decimals = (1_000 + now % 1_000).to_string();
    let time = [&(now / 1_000).to_string(), ".", &decimals[1..]].concat();
    let numbers = [u64::from(port), u64::from(host.process_id()), connection, request];
    let mut parts = vec![address];
    parts.extend(numbers.iter().map(u64::to_string));
    parts.push(time);
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use sandgate_sdk::{mock::MockHost, testing::Tester};

    use super::*;

    fn id(config: &str, host: &MockHost) -> String {
        let outcome = Tester::<CorrelationId>::new(config).on_request(host);
        outcome.upstream_header("Kong-Request-ID").unwrap_or_default().into()
    }

    #[test]
    fn a_uuid_is_of_version_4() {
        let id = id(r#"{"generator":"uuid"}"#, &MockHost::get("/"));
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!((lengths, &id[14..15]), (vec![8, 4, 4, 4, 12], "4"), "{id}");
    }

    #[test]
    fn counted_ids_share_a_uuid() {
        let (tester, host) = (Tester::<CorrelationId>::new("{}"), MockHost::get("/"));
        let next = || tester.on_request(&host).upstream_header("Kong-Request-ID").map(String::from);
        let (first, second) = (next().unwrap_or_default(), next().unwrap_or_default());
        assert_eq!((first.split('#').next(), &second[36..]), (second.split('#').next(), "#2"));
    }

    #[test]
    fn a_tracker_tells_where_and_when() {
        let host = MockHost::get("/").at(1_700_000_000_007);
        assert_eq!(id(r#"{"generator":"tracker"}"#, &host), "127.0.0.1-8000-42-7-1-1700000000.007");
    }

    #[test]
    fn the_clients_id_is_kept_unless_it_is_empty() {
        let given = |value| id("{}", &MockHost::get("/").header("Kong-Request-ID", value));
        assert_eq!(given("mine"), "mine");
        assert!(given("").ends_with("#1"));
    }

    #[test]
    fn the_client_gets_the_id_when_asked_for() {
        let echo = |config| {
            let outcome = Tester::<CorrelationId>::new(config).on_request(&MockHost::get("/").header("x-id", "mine"));
            outcome.answer_header("x-id").map(String::from)
        };
        assert_eq!(echo(r#"{"header_name":"x-id","echo_downstream":true}"#).as_deref(), Some("mine"));
        assert_eq!(echo(r#"{"header_name":"x-id"}"#), None);
    }

    #[test]
    fn the_log_has_the_id() {
        let host = MockHost::get("/").header("Kong-Request-ID", "a\"b");
        id("{}", &host);
        assert_eq!(host.log_field("correlation_id").as_deref(), Some(r#""a\"b""#));
    }
}
