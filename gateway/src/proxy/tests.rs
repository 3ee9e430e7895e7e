//! A gateway in this process and real sockets.

mod harness;
mod http2;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use harness::{Gateway, Route, Target, ask, body, gate, header, read_answer, read_request, seen};
use serde_json::json;

use super::words::IDENTITY;
use crate::listener::Drained;

#[test]
fn a_request_reaches_its_target_with_the_forwarding_headers() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let answer = gateway.get("/p1/a/b?x=1&y=%20z");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(body(&answer).starts_with("GET /a/b?x=1&y=%20z HTTP/1.1\n"), "{answer}");
    let port = gateway.address.port().to_string();
    let via = format!("1.1 {IDENTITY}");
    let id = header(&answer, "x-kong-request-id").unwrap();
    let cases = [
        ("host", target.address.to_string()),
        ("via", via.clone()),
        ("x-forwarded-for", "127.0.0.1".into()),
        ("x-forwarded-proto", "http".into()),
        ("x-forwarded-host", "example.test".into()),
        ("x-forwarded-port", port),
        ("x-forwarded-path", "/p1/a/b".into()),
        ("x-forwarded-prefix", "/p1".into()),
        ("x-real-ip", "127.0.0.1".into()),
        ("x-kong-request-id", id.to_owned()),
    ];
    for (name, expected) in cases {
        assert_eq!(seen(&answer, name), Some(&*expected), "{name}");
    }
    assert_eq!(header(&answer, "server"), Some("echo"));
    assert_eq!(header(&answer, "via"), Some(&*via));
    assert!(header(&answer, "x-kong-upstream-latency").is_some());
    assert!(header(&answer, "x-kong-proxy-latency").is_some());
}

#[test]
fn without_a_route_the_answer_is_kongs_in_the_format_that_the_client_accepts() {
    let gateway = Gateway::start(vec![]);
    let answer = gateway.get("/zzz");
    let id = header(&answer, "x-kong-request-id").unwrap().to_owned();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    let expected = format!("{{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"{id}\"\n}}");
    assert_eq!(body(&answer), expected);
    assert_eq!(header(&answer, "server"), Some(IDENTITY));
    let html = gateway.ask("GET /z HTTP/1.1\r\nhost: a\r\naccept: text/html\r\nconnection: close\r\n\r\n");
    assert!(body(&html).starts_with("<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n"), "{html}");
    let grpc = gateway.ask("GET /z HTTP/1.1\r\nhost: a\r\naccept: application/grpc\r\nconnection: close\r\n\r\n");
    assert_eq!((header(&grpc, "content-type"), header(&grpc, "content-length")), (Some(""), Some("0")));
}

#[test]
fn broken_requests_are_answered_in_kongs_words_and_closed() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let long = "a".repeat(40_000);
    let cases = [
        ("garbage", "GARBAGE\r\n\r\n".to_owned(), 400, "Bad request"),
        ("no host", "GET /p1 HTTP/1.1\r\n\r\n".to_owned(), 400, "Bad request"),
        ("two hosts", "GET /p1 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(), 400, "Bad request"),
        (
            "huge header",
            format!("GET /p1 HTTP/1.1\r\nHost: a\r\nx: {long}\r\n\r\n"),
            400,
            "Request header or cookie too large",
        ),
        ("huge target", format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "URI too long"),
        ("long target", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..9000]), 414, "URI too long"),
        ("bad escape", "GET /p1/%zz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400, "Bad request"),
        ("trace", "TRACE /p1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405, "Method not allowed"),
        (
            "two lengths",
            "POST /p1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
            400,
            "Bad request",
        ),
        (
            "two lengths the other way",
            "POST /p1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
                .to_owned(),
            400,
            "Bad request",
        ),
    ];
    for (label, raw, status, message) in cases {
        let answer = gateway.ask(raw);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{label}: {answer}");
        let id = header(&answer, "x-kong-request-id").unwrap();
        assert_eq!(body(&answer), format!("{message}\nrequest_id: {id}\n"), "{label}");
        assert_eq!(header(&answer, "content-type"), Some("text/plain; charset=utf-8"), "{label}");
        assert_eq!(header(&answer, "connection"), Some("close"), "{label}");
        assert!(header(&answer, "x-kong-response-latency").is_some(), "{label}");
        assert!(header(&answer, "date").is_some(), "{label}");
    }
}

#[test]
fn a_broken_request_after_a_good_one_is_answered_too() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let answers = gateway.ask("GET /p1 HTTP/1.1\r\nhost: a\r\n\r\nGARBAGE\r\n\r\n");
    let (_, second) = answers.split_once("HTTP/1.1 400").unwrap();
    assert!(second.contains("Bad request\nrequest_id: "), "{answers}");
}

#[test]
fn a_client_of_http_1_0_needs_no_host() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let answer = gateway.ask("GET /p1 HTTP/1.0\r\n\r\n");
    assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    assert_eq!(seen(&answer, "x-forwarded-host"), Some("kong"));
    assert_eq!(seen(&answer, "via"), Some(&*format!("1 {IDENTITY}")));
}

#[test]
fn bodies_reach_the_target_and_small_chunked_ones_get_a_length() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let chunked =
        "POST /p1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = gateway.ask(chunked);
    assert_eq!(seen(&answer, "content-length"), Some("3"), "{answer}");
    assert!(answer.ends_with("\n\nabc"), "{answer}");
    let expecting =
        "POST /p1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
    let answer = gateway.ask(expecting);
    let (interim, answer) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(interim, "HTTP/1.1 100 Continue");
    assert_eq!(seen(answer, "expect"), None, "{answer}");
    assert!(answer.ends_with("\n\nabc"), "{answer}");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let mut client = TcpStream::connect(gateway.address).unwrap();
    for _ in 0..20 {
        client.write_all(b"GET /p1/x HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert!(read_answer(&mut client).starts_with("HTTP/1.1 200 OK"));
    }
    assert_eq!(target.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let mut client = TcpStream::connect(gateway.address).unwrap();
    let requests: String = (0..5).map(|n| format!("GET /p1/{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    client.write_all(requests.as_bytes()).unwrap();
    for n in 0..5 {
        let answer = read_answer(&mut client);
        assert!(body(&answer).starts_with(&format!("GET /{n} ")), "{answer}");
    }
}

#[test]
fn what_the_client_says_of_its_connection_goes_no_further() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let answer = gateway.ask(
        "GET /p1/h HTTP/1.1\r\nHost: example.test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 5.6.7.8\r\nVia: 1.0 zz\r\n\
         Connection: x-hop, close\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(seen(&answer, "x-hop"), None);
    assert_eq!(seen(&answer, "upgrade"), None);
    assert_eq!(seen(&answer, "te"), Some("trailers"));
    assert_eq!(seen(&answer, "x-forwarded-for"), Some("1.2.3.4, 127.0.0.1"));
    assert_eq!(seen(&answer, "x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen(&answer, "via"), Some(&*format!("1.0 zz, 1.1 {IDENTITY}")));
}

#[test]
fn routes_for_https_send_plain_clients_away() {
    let target = Target::echo();
    let secure = |path| Route::to(path, target.address).set("protocols", json!(["https"]));
    let routes = vec![secure("/p5"), secure("/p6").set("https_redirect_status_code", json!(301))];
    let gateway = Gateway::start(routes);
    let upgrade = gateway.get("/p5/a");
    assert!(upgrade.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{upgrade}");
    assert_eq!(header(&upgrade, "upgrade"), Some("TLS/1.2, HTTP/1.1"));
    let redirect = gateway.get("/p6/a?q=1");
    assert!(redirect.starts_with("HTTP/1.1 301 "), "{redirect}");
    assert_eq!(header(&redirect, "location"), Some("https://example.test/p6/a?q=1"));
    assert!(body(&redirect).contains("<center><h1>301 Moved Permanently</h1></center>"));
}

#[test]
fn a_route_without_a_service_says_so() {
    let gateway = Gateway::start(vec![Route::nowhere("/n")]);
    let answer = gateway.get("/n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(body(&answer).contains("no Service found with those values"));
}

#[test]
fn a_dead_target_costs_no_request() {
    let (alive, dead) = (Target::echo(), Target::refusing());
    let gateway = Gateway::start(vec![Route::to("/p1", dead).balanced(&[dead, alive.address])]);
    for _ in 0..6 {
        assert!(gateway.get("/p1").starts_with("HTTP/1.1 200 OK"));
    }
}

#[test]
fn without_a_target_that_answers_the_client_hears_of_it() {
    let dead = Target::refusing();
    let gateway = Gateway::start(vec![Route::to("/p1", dead)]);
    let answer = gateway.get("/p1");
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert!(body(&answer).starts_with("An invalid response was received from the upstream server\nrequest_id: "));
}

#[test]
fn a_target_that_speaks_no_http_is_not_asked_twice() {
    let target = Target::answering("garbage\r\n\r\n");
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    assert!(gateway.get("/p1").starts_with("HTTP/1.1 502 "));
    assert_eq!(target.connections(), 1);
}

#[test]
fn a_target_that_says_nothing_times_out_and_is_asked_as_often_as_the_service_says() {
    let target = Target::serving(|mut stream| {
        let _ = read_request(&mut stream);
        thread::sleep(Duration::from_secs(60));
    });
    let quick = Route::to("/p1", target.address).service(|service| {
        service.read_timeout = Duration::from_millis(100);
        service.retries = 2;
    });
    let gateway = Gateway::start(vec![quick]);
    let begun = Instant::now();
    let answer = gateway.get("/p1");
    assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    target.has_accepted(3);
    let posted = gateway.ask("POST /p1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1\r\n\r\na");
    assert!(posted.starts_with("HTTP/1.1 504 "), "{posted}");
    // A POST that was sent is not sent again.
    target.has_accepted(4);
}

#[test]
fn an_idle_connection_that_died_costs_no_request() {
    let target = Target::serving(|mut stream| {
        // One answer a connection, without saying that it ends.
        let _ = read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    });
    let gateway = Gateway::start(vec![Route::to("/p1", target.address).service(|service| service.retries = 0)]);
    for _ in 0..10 {
        let answer = gateway.get("/p1");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert_eq!(target.connections(), 10);
}

#[test]
fn an_idle_connection_that_dies_on_a_request_is_replaced_for_free() {
    let target = Target::serving(|mut stream| {
        let _ = read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        // The second request is read, then the connection breaks.
        let _ = read_request(&mut stream);
    });
    let gateway = Gateway::start(vec![Route::to("/p1", target.address).service(|service| service.retries = 0)]);
    for _ in 0..6 {
        let answer = gateway.get("/p1");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[test]
fn a_large_answer_waits_for_a_slow_client() {
    const LENGTH: usize = 64 << 20;
    let (sent, progress) = std::sync::mpsc::channel();
    let target = Target::serving(move |mut stream| {
        let _ = read_request(&mut stream);
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").as_bytes()).unwrap();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..LENGTH >> 20 {
            stream.write_all(&piece).unwrap();
            sent.send(()).unwrap();
        }
    });
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let mut client = TcpStream::connect(gateway.address).unwrap();
    client.write_all(b"GET /p1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(500));
    let before = progress.try_iter().count();
    assert!(before < 32, "{before} MiB were taken although nobody reads");
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert!(all.len() > LENGTH);
}

#[test]
fn a_large_request_is_passed_on_piece_by_piece() {
    const LENGTH: usize = 8 << 20;
    let target = Target::serving(|mut stream| {
        let head = {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            String::from_utf8(head).unwrap()
        };
        assert!(head.contains(&format!("content-length: {LENGTH}\r\n")), "{head}");
        let mut rest = vec![0; LENGTH];
        stream.read_exact(&mut rest).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    });
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let mut request = format!("POST /p1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {LENGTH}\r\n\r\n");
    request.push_str(&"y".repeat(LENGTH));
    assert!(ask(gateway.address, request).starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn heads_and_empty_answers_keep_their_shape() {
    let target = Target::answering("HTTP/1.1 204 No Content\r\nx: y\r\n\r\n");
    let sized = Target::answering("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n");
    let gateway = Gateway::start(vec![Route::to("/empty", target.address), Route::to("/sized", sized.address)]);
    let empty = gateway.get("/empty");
    assert!(empty.starts_with("HTTP/1.1 204 ") && body(&empty).is_empty(), "{empty}");
    let head = gateway.ask("HEAD /sized HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(header(&head, "content-length"), Some("12"));
    assert_eq!(body(&head), "");
}

#[test]
fn a_drain_lets_open_requests_finish_and_cuts_idle_connections() {
    let (open, wait) = gate();
    let target = Target::serving(move |mut stream| {
        let _ = read_request(&mut stream);
        wait.lock().unwrap().recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    });
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let idle = TcpStream::connect(gateway.address).unwrap();
    let mut busy = TcpStream::connect(gateway.address).unwrap();
    busy.write_all(b"GET /p1 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    while target.connections() == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    gateway.begin_drain();
    assert_eq!((&idle).read(&mut [0]).unwrap(), 0);
    open.send(()).unwrap();
    let answer = read_answer(&mut busy);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert_eq!(gateway.drained(), Drained { finished: 2, cut: 0 });
}
