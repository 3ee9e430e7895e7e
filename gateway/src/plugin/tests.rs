//! The host with real modules: the built-in plugins, as `cargo xtask plugins` left them.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use http::{HeaderMap, Method, Version};
use serde_json::json;

use super::*;
use crate::shutdown::Tasks;

fn module(name: &str) -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("../target"), PathBuf::from);
    let path = target.join("plugins").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|_| panic!("{} is missing: run `cargo xtask plugins`", path.display()))
}

struct Host {
    catalog: Arc<Catalog>,
    _cache: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let cache = tempfile::tempdir().unwrap();
        let node = NodeFacts { id: "node".into(), hostname: "host".into() };
        let services = Services::start(node, Tasks::new(tokio::runtime::Handle::current()), Arc::default());
        Self { catalog: Catalog::new(cache.path(), Bounds::default(), services).unwrap(), _cache: cache }
    }

    async fn plugin(&self, name: &str, config: serde_json::Value, limits: Limits) -> Arc<Plugin> {
        let deployment = self.deployment(name, limits).await;
        let config = config.to_string().into();
        let plugin =
            prepare(&deployment, Entity { id: "p1".into(), config, route: None, service: None, consumer: None });
        let plugin = plugin.await;
        assert_eq!(plugin.quarantine(), None);
        plugin
    }

    async fn deployment(&self, name: &str, limits: Limits) -> Arc<Deployment> {
        let inspected = self.catalog.inspect(module(name)).await.unwrap();
        let code = self.catalog.load(&inspected.digest, inspected.component.to_vec()).await.unwrap();
        let all = inspected.manifest.capabilities.iter();
        let granted: BTreeMap<Arc<str>, Vec<Arc<str>>> = all
            .map(|wanted| {
                (wanted.name.as_str().into(), wanted.scope.iter().map(|scope| scope.as_str().into()).collect())
            })
            .collect();
        let grants = Grants::intersect(&inspected.manifest, &granted);
        let terms = Terms { grants, limits, policy: FailurePolicy::Closed, priority: inspected.manifest.priority };
        self.catalog.deploy(code, Arc::new(inspected.manifest), terms)
    }
}

fn chain(plugins: &[&Arc<Plugin>]) -> Chain {
    Chain::new(plugins.iter().map(|plugin| Slot { broad: Some((*plugin).clone()), ..Slot::default() }).collect())
}

fn directory() -> Arc<Directory> {
    let mut directory = Directory::default();
    let consumer = crate::model::Consumer { id: "c1".into(), username: Some("alice".into()), custom_id: None };
    directory.add_consumer(Arc::new(ConsumerEntry { consumer, json: "{}".into() }));
    let data = json!({ "key": "alice-key" }).as_object().unwrap().clone();
    let collection: Arc<str> = "keyauth_credentials".into();
    let credential = Credential { id: "k1".into(), collection, consumer: Some("c1".into()), data, expires: None };
    directory.add_credential(Arc::new(credential), Some("alice-key"));
    Arc::new(directory)
}

fn exchange(headers: &[(&str, &str)]) -> Held {
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    Held::new(Exchange {
        connection: Arc::new(Connection { serial: 1, peer: address, local: address, tls: None }),
        number: 1,
        id: RequestId::new(7),
        id_value: http::HeaderValue::from_static("7"),
        timing: Timing {
            started: Instant::now(),
            started_at: std::time::SystemTime::now(),
            upstream_started: None,
            upstream_answered: None,
            finished: None,
        },
        client: address.ip(),
        client_method: Method::GET,
        host: "example.test".into(),
        request: RequestHead {
            method: Method::GET,
            target: "/a?x=1".parse().unwrap(),
            version: Version::HTTP_11,
            headers: map,
        },
        path: "/a".into(),
        upstream: UpstreamTarget { path: "/a".into(), query: Some("x=1".into()), ..Default::default() },
        upstream_host: None,
        body: RequestBody::Empty,
        body_changed: false,
        switches: false,
        route: Arc::default(),
        captures: Vec::new(),
        directory: directory(),
        consumer: None,
        credential: None,
        selected: Default::default(),
        notes: Vec::new(),
        asked: None,
        log_fields: Vec::new(),
        response_changes: Vec::new(),
        response: None,
        tries: Default::default(),
        bytes_in: 0,
        bytes_out: 0,
        record: None,
    })
}

#[tokio::test]
async fn key_auth_lets_a_known_key_in_and_refuses_the_rest() {
    let host = Host::new();
    let plugin = host.plugin("key-auth", json!({}), Limits::default()).await;
    let chain = chain(&[&plugin]);
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
    let rows: [Row<'_>; 4] = [
        ("no key", &[], Some("No API key found in request")),
        ("a wrong key", &[("apikey", "zz")], Some("Unauthorized")),
        ("two keys", &[("apikey", "alice-key"), ("apikey", "x")], Some("Duplicate API key found")),
        ("the key", &[("apikey", "alice-key"), ("x-consumer-username", "root")], None),
    ];
    for (label, headers, refused) in rows {
        let mut held = exchange(headers);
        match (chain.on_request(&mut held).await.expect(label), refused) {
            (Flow::Continue, None) => assert_eq!(held.request.headers["x-consumer-username"], "alice"),
            (Flow::Refuse(refusal), Some(message)) => {
                assert_eq!((refusal.status.as_u16(), refusal.message.as_str()), (401, message), "{label}");
                assert_eq!(refusal.headers["www-authenticate"], "Key", "{label}");
            }
            (flow, _) => panic!("{label}: {flow:?}"),
        }
    }
}

#[tokio::test]
async fn rate_limiting_counts_and_refuses_with_headers() {
    let host = Host::new();
    let plugin = host.plugin("rate-limiting", json!({ "minute": 2, "policy": "local" }), Limits::default()).await;
    let chain = chain(&[&plugin]);
    let mut refused = 0;
    for _ in 0..4 {
        let mut held = exchange(&[]);
        match chain.on_request(&mut held).await.unwrap() {
            Flow::Continue => assert!(!held.response_changes.is_empty()),
            Flow::Refuse(refusal) => {
                refused += 1;
                assert_eq!(refusal.status.as_u16(), 429);
            }
            Flow::Answer(_) => panic!("an answer of its own"),
        }
    }
    assert_eq!(refused, 2);
}

#[tokio::test]
async fn a_plugin_that_refuses_its_configuration_is_quarantined_and_refuses_requests() {
    let host = Host::new();
    let deployment = host.deployment("rate-limiting", Limits::default()).await;
    let config = r#"{"nonsense":1}"#.into();
    let entity = Entity { id: "p1".into(), config, route: None, service: None, consumer: None };
    let plugin = prepare(&deployment, entity).await;
    assert!(plugin.quarantine().is_some_and(|reason| reason.contains("refused its configuration")), "{plugin:?}");
    let failure = chain(&[&plugin]).on_request(&mut exchange(&[])).await.unwrap_err();
    assert_eq!(&*failure.plugin, "rate-limiting");
}
