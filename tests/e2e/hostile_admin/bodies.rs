use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use super::{Besieged, is_clear_refusal};
use crate::harness::{Admin, read_until};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=b";

fn json_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str, depth: usize| {
        format!(r#"{{"name":"h","host":"a","path":{}{}}}"#, open.repeat(depth), close.repeat(depth)).into_bytes()
    };
    vec![
        ("not UTF-8", b"{\"name\":\"h\xff\",\"host\":\"a\"}".to_vec()),
        ("half a character", b"{\"name\":\"h\xc3\",\"host\":\"a\"}".to_vec()),
        ("half a surrogate", br#"{"name":"h\ud800","host":"a"}"#.to_vec()),
        ("a NUL", br#"{"name":"h\u0000","host":"a"}"#.to_vec()),
        ("a NUL in a tag", br#"{"name":"h","host":"a","tags":["x\u0000"]}"#.to_vec()),
        ("a NUL in a name of a field", br#"{"name":"h","host":"a","\u0000":1}"#.to_vec()),
        ("a raw NUL", b"{\"name\":\"h\0\",\"host\":\"a\"}".to_vec()),
        ("control characters", br#"{"name":"h","host":"a\u0001\u001b[2J"}"#.to_vec()),
        ("a newline in a host", br#"{"name":"h","host":"a\nb"}"#.to_vec()),
        ("a name twice", br#"{"name":"h","host":"a","host":"b"}"#.to_vec()),
        ("a name twice, spelt otherwise", br#"{"name":"h","host":"a","\u0068ost":"b"}"#.to_vec()),
        ("deep arrays", nested("[", "]", 100_000)),
        ("deep objects", nested("{\"a\":", "}", 100_000)),
        ("arrays that nobody closes", b"[".repeat(1_000_000)),
        ("arrays as deep as are read", nested("[", "]", 100)),
        ("a number beyond doubles", br#"{"name":"h","host":"a","retries":1e400}"#.to_vec()),
        ("a number beyond 2^53", br#"{"name":"h","host":"a","retries":9007199254740993}"#.to_vec()),
        ("a number beyond 2^64", br#"{"name":"h","host":"a","port":36893488147419103232}"#.to_vec()),
        ("a fraction", br#"{"name":"h","host":"a","port":80.5}"#.to_vec()),
        ("no number at all", br#"{"name":"h","host":"a","port":NaN}"#.to_vec()),
        ("a time beyond 2^53", br#"{"name":"h","host":"a","created_at":9007199254740993}"#.to_vec()),
        ("an array", br#"[{"name":"h","host":"a"}]"#.to_vec()),
        ("a text", br#""h""#.to_vec()),
        ("null", b"null".to_vec()),
        ("a mark of byte order", b"\xef\xbb\xbf{\"name\":\"h\",\"host\":\"a\"}".to_vec()),
        ("UTF-16", "{\"name\":\"h\",\"host\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("two values", br#"{"name":"h","host":"a"}{}"#.to_vec()),
        ("an unknown field", br#"{"name":"h","host":"a","__proto__":{"host":"b"}}"#.to_vec()),
        ("an id that is a path", br#"{"name":"h","host":"a","client_certificate":{"id":"../../etc/passwd"}}"#.to_vec()),
        ("a very long host", format!(r#"{{"name":"h","host":"{} "}}"#, "h".repeat(1_000_000)).into_bytes()),
    ]
}

fn other_bodies() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let part = |head: &str, body: &[u8]| [format!("--b\r\n{head}\r\n\r\n").as_bytes(), body, b"\r\n--b--\r\n"].concat();
    let holes: Vec<String> = (0..900).map(|at| format!("a{at}{}=v", "[1000]".repeat(30))).collect();
    vec![
        ("a form that is not UTF-8", FORM, b"name=h&host=a%ff".to_vec()),
        ("raw bytes in a form", FORM, b"name=h\xff&host=a".to_vec()),
        ("a NUL in a form", FORM, b"name=h%00&host=a".to_vec()),
        ("a form that asks for much more than it holds", FORM, holes.join("&").into_bytes()),
        ("a form of brackets", FORM, format!("name=h&host=a&{}=v", "[".repeat(100_000)).into_bytes()),
        ("a form of dots", FORM, format!("name=h&host=a&{}=v", "a.".repeat(100_000)).into_bytes()),
        ("a number that a form cannot hold", FORM, b"name=h&host=a&port=1e400".to_vec()),
        ("parts without an end", PARTS, b"--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nh".to_vec()),
        ("parts without a beginning", PARTS, b"name=h".to_vec()),
        ("parts without a boundary", "multipart/form-data", b"--b--".to_vec()),
        ("a part that is not UTF-8", PARTS, part("Content-Disposition: form-data; name=\"host\"", b"a\xff")),
        ("a part without a name", PARTS, part("Content-Disposition: form-data", b"a")),
        ("a part without a head", PARTS, b"--b\r\n\r\n\r\n--b--\r\n".to_vec()),
        (
            "a part that says it is JSON",
            PARTS,
            part("Content-Disposition: form-data; name=\"host\"\r\nContent-Type: application/json", b"{"),
        ),
        ("a type that nobody reads", "application/x-java-serialized-object", b"\xac\xed\0\x05".to_vec()),
    ]
}

async fn send(admin: &Admin, line: &str, media_type: &str, body: Vec<u8>) -> (u16, String) {
    let answer = admin.call(line).header("content-type", media_type).body(body).send().await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_hostile_body_is_refused_and_changes_nothing() {
    for mut besieged in Besieged::both().await {
        for line in ["POST /services", "PUT /services/h", "PATCH /services/a", "POST /schemas/services/validate"] {
            for (label, body) in json_bodies() {
                let (status, text) = send(&besieged.gateway.admin, line, JSON, body).await;
                assert!(is_clear_refusal(status, &text), "{line}, {label}: {status} {text}");
            }
            for (label, media_type, body) in other_bodies() {
                let (status, text) = send(&besieged.gateway.admin, line, media_type, body).await;
                assert!(is_clear_refusal(status, &text), "{line}, {label}: {status} {text}");
            }
            besieged.is_unharmed(line).await;
        }
    }
}

#[tokio::test]
async fn a_hostile_body_is_refused_by_every_collection() {
    for mut besieged in Besieged::both().await {
        for path in [
            "/routes",
            "/consumers",
            "/plugins",
            "/upstreams",
            "/upstreams/a/targets",
            "/consumers/a/key-auth",
            "/consumers/a/acls",
        ] {
            for (label, body) in json_bodies() {
                let (status, text) = send(&besieged.gateway.admin, &format!("POST {path}"), JSON, body).await;
                assert!(is_clear_refusal(status, &text), "{path}, {label}: {status} {text}");
            }
            besieged.is_unharmed(path).await;
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_kept() {
    let mut besieged = Besieged::start().await;
    let before = besieged.gateway.process.memory("VmRSS").unwrap();
    let mut senders = JoinSet::new();
    for at in 0..8 {
        let (admin, address) = (besieged.gateway.admin.clone(), besieged.gateway.admin.address);
        senders.spawn(async move {
            if at % 2 == 0 {
                return send(&admin, "POST /services", JSON, vec![b' '; 24 << 20]).await.0;
            }
            chunked(address, 24 << 20).await
        });
    }
    for status in senders.join_all().await {
        assert_eq!(status, 413);
    }
    let most = besieged.gateway.process.memory("VmHWM").unwrap();
    assert!(most < before + (160 << 20), "{before} bytes before, {most} at most: four may have 10 MiB and its growth");
    besieged.is_unharmed("bodies over the limit").await;
}

/// Sends so many bytes without saying how many, and answers with the status.
async fn chunked(address: std::net::SocketAddr, bytes: usize) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        "POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..bytes / 0x10000 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    _ = stream.write_all(b"0\r\n\r\n").await;
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn what_databases_take_for_their_own_is_plain_text() {
    for mut besieged in Besieged::both().await {
        let admin = besieged.gateway.admin.clone();
        for name in [
            "'; DROP TABLE services; --",
            "\" OR \"1\"=\"1",
            "%",
            "_",
            "\\",
            "*",
            "a' --",
            "$1",
            "?1",
            ":a",
            "\u{2028}é",
        ] {
            let encoded: String =
                form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
            let consumer = admin.create("/consumers", json!({ "username": name, "tags": ["t'\"%_;--"] })).await;
            assert_eq!(consumer["username"], *name);
            let found = admin.get(&format!("/consumers/{encoded}")).await.expect(200).json();
            assert_eq!(found["id"], consumer["id"], "{name}");
            let tagged = admin.get("/consumers?tags=t%27%22%25%5F%3B--").await.expect(200).json();
            assert_eq!(tagged["data"].as_array().unwrap().len(), 1, "{name}: one at a time");
            admin.get(&format!("/services/{encoded}")).await.expect(404);
            admin.get(&format!("/tags/{encoded}")).await.expect(200);
            admin.get(&format!("/consumers?offset={encoded}")).await.expect(400);
            admin.get(&format!("/consumers?size={encoded}")).await.expect(400);
            admin.get(&format!("/consumers?custom_id={encoded}")).await.expect(200);
            admin.delete(&format!("/consumers/{encoded}")).await.expect(204);
        }
        // Each name cost two writes.
        besieged.version += 22;
        besieged.is_unharmed("names like SQL").await;
    }
}
