//! Servers and clients that others made: nginx and HAProxy behind the gateway, curl before it.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{Call, Gateway, Peer, Port, TestGateway, TestTarget, Wire};

const SIZE: usize = 5 << 20;

/// A server with its configuration and its port; all end with the value.
struct Server {
    _peer: Peer,
    folder: TempDir,
    _port: Port,
}

impl Server {
    async fn start(program: &str, arguments: &[&str], configuration: &str, port: Port) -> Self {
        let folder = TempDir::new().unwrap();
        let configuration = configuration.replace("FOLDER", folder.path().to_str().unwrap());
        let file = folder.path().join("server.conf");
        fs::write(&file, configuration).unwrap();
        fs::write(folder.path().join("big"), vec![b'x'; SIZE]).unwrap();
        let peer = Peer::start(program, &[arguments, &[file.to_str().unwrap()]].concat());
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port.number()))).await.is_err() {
            assert!(tokio::time::Instant::now() < end, "{program} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { _peer: peer, folder, _port: port }
    }
}

/// A port, and its number: these servers cannot be asked which one they were given.
fn port() -> (Port, u16) {
    let port = Port::reserve();
    let number = port.number();
    (port, number)
}

/// nginx with HTTP/1.1, or with HTTP/2 and prior knowledge.
async fn nginx(protocol: &str) -> (Server, u16) {
    let (reserved, port) = port();
    let configuration = format!(
        r#"daemon off; master_process off; user root; error_log stderr crit; pid FOLDER/pid;
        events {{}}
        http {{
            access_log off; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; client_max_body_size 0;
            fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
            server {{
                listen 127.0.0.1:{port} {protocol};
                location / {{ return 200 "$request_method $request_uri $server_protocol $http_x_forwarded_proto\n"; }}
                location /big {{ root FOLDER; }}
                location /upload {{ proxy_pass http://127.0.0.1:{port}/taken; }}
                location /words.Words/ {{ default_type application/grpc; add_header grpc-status 0; return 200 ""; }}
            }}
        }}"#
    );
    (Server::start("nginx", &["-c"], &configuration, reserved).await, port)
}

async fn haproxy(protocol: &str) -> (Server, u16) {
    let (reserved, port) = port();
    let configuration = format!(
        "global\n  maxconn 100\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 60s\n\
         frontend all\n  bind 127.0.0.1:{port} {protocol}\n  \
         http-request return status 200 content-type application/grpc hdr grpc-status 0 if {{ path_beg /words.Words/ }}\n  \
         http-request return status 200 content-type text/plain lf-string \"%HM %HP %HV\\n\"\n"
    );
    (Server::start("haproxy", &["-db", "-f"], &configuration, reserved).await, port)
}

/// HAProxy in front of the gateway, which it tells of its clients.
async fn haproxy_before(gateway: SocketAddr, how: &str) -> (Server, u16) {
    let (reserved, port) = port();
    let configuration = format!(
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout client 60s\n  timeout server 60s\n  timeout connect 60s\n\
         listen all\n  bind 127.0.0.1:{port}\n  server gateway {gateway} {how}\n"
    );
    (Server::start("haproxy", &["-db", "-f"], &configuration, reserved).await, port)
}

async fn before(url: String, protocols: &[&str]) -> Gateway {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "real", "url": url })).await;
    let route = json!({ "name": "real", "protocols": protocols, "paths": ["/"], "strip_path": false });
    gateway.admin.create("/services/real/routes", route).await;
    gateway.applied().await;
    gateway
}

async fn curl(arguments: &[&str]) -> String {
    curl_any(&[&["--fail"], arguments].concat()).await
}

/// What curl says whatever the status of the answer.
async fn curl_any(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--insecure"]).args(arguments);
    let output: Output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn curl_reaches_nginx_on_every_wire() {
    let (_nginx, port) = nginx("").await;
    let gateway = before(format!("http://127.0.0.1:{port}"), &["http", "https"]).await;
    let (plain, tls) = (format!("http://{}/a?b=c", gateway.proxy()), format!("https://{}/a?b=c", gateway.proxy_tls()));
    let cases = [
        (["--http1.1", &plain], "GET /a?b=c HTTP/1.1 http\n"),
        (["--http2-prior-knowledge", &plain], "GET /a?b=c HTTP/1.1 http\n"),
        (["--http1.1", &tls], "GET /a?b=c HTTP/1.1 https\n"),
        (["--http2", &tls], "GET /a?b=c HTTP/1.1 https\n"),
        // curl asks for h2c; the gateway answers in HTTP/1.1.
        (["--http2", &plain], "GET /a?b=c HTTP/1.1 http\n"),
    ];
    for (arguments, expected) in cases {
        assert_eq!(curl(&arguments).await, expected, "{arguments:?}");
    }
}

/// Its request may have ended or not when the answer comes.
#[tokio::test]
async fn curl_sees_each_refusal_of_a_request_with_a_body() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/known", [&target]).start().await;
    gateway.applied().await;
    let (plain, tls) = (format!("http://{}/", gateway.proxy()), format!("https://{}/", gateway.proxy_tls()));
    for (wire, url) in [("--http2-prior-knowledge", &plain), ("--http2", &tls)] {
        // One after the other, each over a connection of its own.
        for _ in 0..20 {
            let ask = ["-d", "body", "-o", "/dev/null", "-w", "%{http_code}", wire, url];
            assert_eq!(curl_any(&ask).await, "404", "{wire}");
        }
    }
}

#[tokio::test]
async fn h2load_gets_every_answer_over_many_streams() {
    let (_nginx, port) = nginx("").await;
    let gateway = before(format!("http://127.0.0.1:{port}"), &["http", "https"]).await;
    let (plain, tls) = (format!("http://{}/a", gateway.proxy()), format!("https://{}/a", gateway.proxy_tls()));
    for (streams, url) in [(&["-m20"][..], &plain), (&["-m20"], &tls), (&["--h1", "-m1"], &tls)] {
        let mut command = Command::new("h2load");
        command.args(streams).args(["-t1", "-c10", "-n4000", "--connection-inactivity-timeout=60", url.as_str()]);
        let output: Output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{streams:?} {url}: {told}");
        assert!(told.contains("4000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{streams:?} {url}: {told}");
    }
}

#[tokio::test]
async fn long_bodies_pass_to_and_from_nginx() {
    let (nginx, port) = nginx("").await;
    let gateway = before(format!("http://127.0.0.1:{port}"), &["http", "https"]).await;
    let big = nginx.folder.path().join("big");
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let url = format!("http://{}", gateway.proxy());
        let told = curl(&[flag, &format!("{url}/big")]).await;
        assert_eq!(told.len(), SIZE, "{flag}");
        let data = format!("@{}", big.display());
        let told = curl(&[flag, "--data-binary", &data, &format!("{url}/upload")]).await;
        assert!(told.starts_with("POST /taken"), "{flag}: {told}");
        let chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", &data];
        let told = curl(&[&[flag], &chunked[..], &[&format!("{url}/upload")]].concat()).await;
        assert!(told.starts_with("POST /taken"), "{flag}: {told}");
    }
}

#[tokio::test]
async fn haproxy_is_a_target_too() {
    let (_haproxy, port) = haproxy("").await;
    let gateway = before(format!("http://127.0.0.1:{port}"), &["http", "https"]).await;
    for wire in [Wire::Http1, Wire::Http2] {
        let told = Call::new(gateway.proxy(), "GET /a").over(wire).send().await.expect(200);
        assert_eq!(told.text(), "GET /a HTTP/1.1\n", "{wire:?}");
    }
}

#[tokio::test]
async fn servers_with_prior_knowledge_are_spoken_to_in_http2() {
    let (_nginx, of_nginx) = nginx("http2").await;
    let (_haproxy, of_haproxy) = haproxy("proto h2").await;
    for port in [of_nginx, of_haproxy] {
        // Routes for HTTP may lead to services for gRPC.
        let gateway = before(format!("grpc://127.0.0.1:{port}"), &["http", "https"]).await;
        let told = curl(&["--http2-prior-knowledge", &format!("http://{}/a", gateway.proxy())]).await;
        // HAProxy shows the whole URL.
        assert!(told.starts_with("GET ") && told.contains("/a HTTP/2.0"), "{told}");
        gateway.admin.patch("/routes/real", json!({ "protocols": ["grpc", "grpcs"] })).await.expect(200);
        let call = gateway.call("POST /words.Words/Once").await.over(Wire::Http2);
        let told = call.header("content-type", "application/grpc").header("te", "trailers").send().await.expect(200);
        assert_eq!((told.header("grpc-status"), told.header("via")), ("0", "2 sandgate/0.1.0"));
    }
}

#[tokio::test]
async fn haproxy_says_who_its_clients_are() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new()
        .setting("SANDGATE_PROXY_LISTEN", "127.0.0.1:0 proxy_protocol, 127.0.0.1:0 ssl")
        .setting("SANDGATE_TRUSTED_IPS", "127.0.0.1")
        .setting("SANDGATE_REAL_IP_HEADER", "proxy_protocol")
        .route("/", [&target])
        .start()
        .await;
    gateway.applied().await;
    for how in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"] {
        let (_haproxy, port) = haproxy_before(gateway.proxy(), how).await;
        let told = curl(&["--interface", "127.0.0.7", &format!("http://127.0.0.1:{port}/")]).await;
        assert!(told.contains(r#"["x-real-ip","127.0.0.7"]"#), "{how}: {told}");
        assert!(told.contains(r#"["x-forwarded-for","127.0.0.1"]"#), "{how}: {told}");
    }
}

#[tokio::test]
async fn nginx_believes_what_it_is_told_of_a_client() {
    let (reserved, port) = port();
    let configuration = format!(
        r#"daemon off; master_process off; user root; error_log stderr crit; pid FOLDER/pid;
        events {{}}
        http {{
            access_log off; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
            fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
            server {{
                listen 127.0.0.1:{port} proxy_protocol;
                location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_server_port"; }}
            }}
        }}"#
    );
    let _nginx = Server::start("nginx", &["-c"], &configuration, reserved).await;
    for version in ["v1", "v2"] {
        let gateway = TestGateway::new()
            .setting("SANDGATE_STREAM_LISTEN", "127.0.0.1:0")
            .setting("SANDGATE_STREAM_PROXY_PROTOCOL_UPSTREAM", version)
            .start()
            .await;
        let listener = gateway.streams()[0];
        let service = json!({ "name": "nginx", "protocol": "tcp", "host": "127.0.0.1", "port": port });
        gateway.admin.create("/services", service).await;
        let route = json!({ "protocols": ["tcp"], "destinations": [{ "port": listener.port() }] });
        gateway.admin.create("/services/nginx/routes", route).await;
        gateway.applied().await;
        let told = curl(&["--interface", "127.0.0.7", &format!("http://{listener}/")]).await;
        assert_eq!(told, format!("127.0.0.7 {}", listener.port()), "{version}");
    }
}
