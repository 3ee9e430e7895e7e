//! A file with every kind of entity that there is, every credential, and plugins at every scope.

use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

pub const SERVICES: usize = 20;
pub const ROUTES: usize = 3 * SERVICES + 2;

/// Ids that other entities name.
const CLIENT: &str = "11111111-1111-4111-8111-111111111111";
const AUTHORITY: &str = "22222222-2222-4222-8222-222222222222";

/// Made once, as the file must be the same each time.
static MADE: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut made: Vec<_> = (0..6).map(|at| certificate(&KeyPair::generate().unwrap(), at < 2)).collect();
    made.push(certificate(&rsa, false));
    made
});

/// A certificate and its key.
fn certificate(key: &KeyPair, authority: bool) -> (String, String) {
    let mut params = CertificateParams::new(vec!["made.test".to_owned()]).unwrap();
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    (params.self_signed(key).unwrap().pem(), key.serialize_pem())
}

fn certificates() -> Value {
    let [client, named, two, referring] = [&MADE[2], &MADE[3], &MADE[4], &MADE[5]];
    json!([
        { "id": CLIENT, "cert": client.0, "key": client.1 },
        { "cert": named.0, "key": named.1, "snis": [{ "name": "a.certs.test", "tags": ["first"] }, { "name": "*.certs.test" }] },
        { "cert": two.0, "key": two.1, "cert_alt": MADE[6].0, "key_alt": MADE[6].1, "snis": [{ "name": "two.test" }], "tags": ["both"] },
        { "cert": referring.0, "key": "{vault://my-env/tls-key}", "tags": ["b", "a"] },
    ])
}

fn keys() -> Value {
    let jwk = |kid: &str| {
        let point =
            r#""x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
        format!(r#"{{"kty":"EC","crv":"P-256",{point},"kid":"{kid}"}}"#)
    };
    let public = KeyPair::from_pem(&MADE[2].1).unwrap().public_key_pem();
    json!([
        { "name": "jwk-1", "kid": "one", "set": { "name": "set-a" }, "jwk": jwk("one") },
        { "name": "jwk-2", "kid": "one", "set": { "name": "set-b" }, "jwk": jwk("one"), "tags": ["t"] },
        { "name": "pem", "kid": "three", "pem": { "private_key": MADE[2].1, "public_key": public } },
    ])
}

/// The file. `port` is of a target that service 1 leads to.
pub fn source(port: u16) -> Value {
    json!({
        "_format_version": "3.0",
        "services": (0..SERVICES).map(|number| service(number, port)).collect::<Vec<_>>(),
        "routes": [
            { "name": "without-service", "hosts": ["alone.test"], "strip_path": false, "tags": ["edge", "alone"] },
            { "name": "by-header", "headers": { "x-version": ["1", "2"] }, "service": { "name": "service-02" } },
        ],
        "consumers": (0..10).map(consumer).collect::<Vec<_>>(),
        "upstreams": (0..5).map(upstream).collect::<Vec<_>>(),
        "plugins": plugins(),
        "certificates": certificates(),
        "snis": [{ "name": "top.test", "certificate": CLIENT, "tags": ["own"] }],
        "ca_certificates": [{ "id": AUTHORITY, "cert": MADE[0].0, "tags": ["root"] }],
        "vaults": [
            { "name": "env", "prefix": "my-env", "description": "of the machine", "config": { "prefix": "DECK_TEST_" } },
            { "name": "env", "prefix": "other-env", "tags": ["x"] },
        ],
        "key_sets": [{ "name": "set-a", "tags": ["k"] }, { "name": "set-b" }],
        "keys": keys(),
    })
}

fn service(number: usize, port: u16) -> Value {
    let mut service = json!({
        "name": format!("service-{number:02}"),
        "host": if number.is_multiple_of(4) { format!("upstream-{}.test", number / 4) } else { format!("10.0.0.{number}") },
        "port": 8000 + number,
        "protocol": if number % 5 == 4 { "https" } else { "http" },
        "routes": (0..3).map(|at| route(number, at)).collect::<Vec<_>>(),
    });
    match number {
        1 => {
            service["host"] = "127.0.0.1".into();
            service["port"] = port.into();
        }
        2 => {
            service["path"] = "/v1".into();
            service["retries"] = 0.into();
            service["read_timeout"] = 1500.into();
            service["tags"] = json!(["team-b", "team-a"]);
        }
        3 => service["enabled"] = false.into(),
        4 => {
            service["client_certificate"] = json!({ "id": CLIENT });
            service["ca_certificates"] = json!([AUTHORITY]);
            service["tls_verify"] = true.into();
            service["tls_verify_depth"] = 3.into();
        }
        5 => {
            service["plugins"] = json!([
                { "name": "key-auth", "config": { "key_names": ["x-key"], "hide_credentials": true } },
                { "name": "acl", "config": { "allow": ["gold", "silver"] } },
            ]);
        }
        _ => {}
    }
    service
}

fn route(service: usize, at: usize) -> Value {
    let name = format!("route-{service:02}-{at}");
    let mut route = match at {
        0 => json!({ "name": name, "paths": [format!("/s{service}")] }),
        1 => {
            json!({ "name": name, "hosts": [format!("s{service}.test"), format!("*.s{service}.test")], "methods": ["GET", "POST"] })
        }
        _ => json!({
            "name": name, "paths": [format!("~/s{service}/(?<id>\\d+)$"), format!("/also/s{service}")], "regex_priority": service,
            "protocols": ["https"], "https_redirect_status_code": 301, "preserve_host": true, "path_handling": "v0",
        }),
    };
    if (service, at) == (1, 0) {
        route["plugins"] = json!([
            { "name": "key-auth" },
            { "name": "request-transformer", "config": { "add": { "headers": ["x-b:2", "x-a:1"] }, "remove": { "querystring": ["q"] } } },
        ]);
    }
    route
}

fn consumer(number: usize) -> Value {
    let mut consumer = json!({
        "username": format!("consumer-{number}"),
        "keyauth_credentials": [{ "key": format!("key-{number}-a") }, { "key": format!("key-{number}-b"), "tags": ["spare"] }],
        "acls": [{ "group": if number.is_multiple_of(2) { "gold" } else { "silver" } }, { "group": "all" }],
    });
    if number == 3 {
        consumer["custom_id"] = "number three".into();
        consumer["plugins"] = json!([{ "name": "rate-limiting", "config": { "minute": 3, "policy": "local" } }]);
    }
    consumer
}

fn upstream(number: usize) -> Value {
    let mut upstream = json!({
        "name": format!("upstream-{number}.test"),
        "targets": (0..3).map(|at| json!({ "target": format!("10.1.{number}.{at}:80"), "weight": 50 * at })).collect::<Vec<_>>(),
    });
    match number {
        1 => {
            upstream["algorithm"] = "consistent-hashing".into();
            upstream["hash_on"] = "header".into();
            upstream["hash_on_header"] = "x-user".into();
            upstream["slots"] = 100.into();
        }
        2 => {
            upstream["algorithm"] = "least-connections".into();
            upstream["client_certificate"] = json!({ "id": CLIENT });
        }
        3 => {
            upstream["healthchecks"] =
                json!({ "active": { "http_path": "/ready", "healthy": { "interval": 5, "successes": 2 } } })
        }
        _ => {}
    }
    upstream
}

/// For everything, and for each combination of service, route and consumer.
fn plugins() -> Value {
    let limit = |minute: u64| json!({ "minute": minute, "policy": "local" });
    json!([
        { "name": "correlation-id", "config": { "header_name": "X-Trace", "generator": "uuid", "echo_downstream": true } },
        { "name": "http-log", "enabled": false, "tags": ["log"], "config": { "http_endpoint": "http://127.0.0.1:9/log", "headers": { "x-from": "sandgate" } } },
        { "name": "rate-limiting", "service": "service-02", "config": limit(60) },
        { "name": "rate-limiting", "route": "route-02-0", "config": limit(50) },
        { "name": "rate-limiting", "consumer": "consumer-1", "config": limit(40) },
        { "name": "rate-limiting", "service": "service-02", "route": "route-02-1", "config": limit(30) },
        { "name": "rate-limiting", "service": "service-02", "consumer": "consumer-1", "config": limit(20) },
        { "name": "rate-limiting", "route": "route-02-2", "consumer": "consumer-1", "config": limit(10) },
        {
            "name": "rate-limiting", "service": "service-02", "route": "route-02-2", "consumer": "consumer-2",
            "protocols": ["https"], "instance_name": "narrowest", "config": limit(5),
        },
    ])
}

/// The file after some work: of each kind something is new, changed and gone.
pub fn changed(port: u16) -> Value {
    let mut file = source(port);
    for (kind, added) in
        [("services", service(SERVICES, port)), ("consumers", consumer(10)), ("upstreams", upstream(5))]
    {
        let list = file[kind].as_array_mut().expect("a list");
        list.pop();
        list.push(added);
    }
    file["services"][0]["connect_timeout"] = 2000.into();
    file["services"][0]["routes"][0]["strip_path"] = false.into();
    file["services"][0]["routes"][1] = json!({ "name": "route-new", "paths": ["/new"] });
    file["services"][2]["tags"] = json!(["team-c"]);
    file["services"][5]["plugins"] = json!([
        { "name": "key-auth", "config": { "key_names": ["x-key"] } },
        { "name": "file-log", "config": { "path": "/dev/null" } },
    ]);
    file["routes"] = json!([{ "name": "without-service", "hosts": ["alone.test"], "tags": ["edge"] }]);
    file["consumers"][0]["custom_id"] = "zero".into();
    file["consumers"][0]["keyauth_credentials"] = json!([{ "key": "key-0-a", "tags": ["kept"] }, { "key": "key-0-c" }]);
    file["consumers"][0]["acls"] = json!([{ "group": "gold", "tags": ["kept"] }, { "group": "platinum" }]);
    file["upstreams"][0]["targets"] = json!([{ "target": "10.1.0.0:80", "weight": 7 }, { "target": "10.1.0.9:80" }]);
    file["upstreams"][2]["algorithm"] = "round-robin".into();
    change_the_rest(&mut file);
    file
}

fn change_the_rest(file: &mut Value) {
    file["certificates"][1]["snis"] = json!([{ "name": "a.certs.test" }, { "name": "new.certs.test" }]);
    file["certificates"][2] = json!({ "cert": MADE[6].0, "key": MADE[6].1, "snis": [{ "name": "three.test" }] });
    file["certificates"][3]["tags"] = json!(["c"]);
    file["ca_certificates"] =
        json!([{ "cert": MADE[1].0 }, { "id": AUTHORITY, "cert": MADE[0].0, "tags": ["old root"] }]);
    file["vaults"] = json!([
        { "name": "env", "prefix": "my-env", "description": "of the new machine", "config": { "prefix": "DECK_TEST_" } },
        { "name": "env", "prefix": "third-env" },
    ]);
    file["key_sets"] = json!([{ "name": "set-a", "tags": ["l"] }, { "name": "set-c" }]);
    let keys = file["keys"].as_array_mut().expect("a list");
    keys[1] = json!({ "name": "jwk-3", "kid": "one", "set": { "name": "set-c" }, "jwk": keys[1]["jwk"] });
    keys[2]["tags"] = json!(["private"]);
}
