//! Bytes as they come from the network.

use http::{HeaderName, HeaderValue, Method, Request, Version, header};
use sandgate::{
    admin::{form_object, form_pairs},
    listener::{
        FrameScan, HeadScan,
        proxy_protocol::{self, Header, Progress, Version as HeaderVersion},
    },
    model::json,
    proxy::is_websocket,
};
use serde_json::Value;

use crate::harness::{LONGEST, Numbers, Target, made};

/// The bytes in pieces, as reads may cut them.
fn cut(numbers: &mut Numbers, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let mut pieces = vec![bytes];
    for _ in 0..numbers.below(5) {
        let last = pieces.last_mut().unwrap();
        let rest = last.split_off(numbers.below(last.len() + 1));
        pieces.push(rest);
    }
    pieces
}

fn pieces(corpus: &'static [&'static [u8]]) -> impl Fn(&mut Numbers) -> Vec<Vec<u8>> {
    move |numbers| {
        let bytes = made(numbers, corpus, LONGEST);
        cut(numbers, bytes)
    }
}

/// Frames of HTTP/2 that bring nothing, found with all bytes at hand.
fn idle_frames(bytes: &[u8]) -> u32 {
    let (mut rest, mut idle) = (bytes.get(24..).unwrap_or_default(), 0);
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let (kind, flags) = (rest[3], rest[4]);
        idle += u32::from(match kind {
            4 | 6 => flags & 1 == 0,
            2 | 3 => true,
            0 => length == 0 && flags & 1 == 0,
            9 => length == 0 && flags & 4 == 0,
            _ => false,
        });
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    idle
}

#[test]
fn frames_are_counted_however_they_arrive() {
    const CORPUS: &[&[u8]] = &[
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\0\0\x04\x01\0\0\0\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x08\x06\0\0\0\0\0abcdefgh\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08\0\0\0\0\0\0\0\0\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x09\0\0\0\0\x01\0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x10\xff\xff\xff\0\0\0\0\0\x01",
    ];
    Target { name: "frames_are_counted_however_they_arrive", runs: 50_000 }.run(pieces(CORPUS), |pieces| {
        let mut scan = FrameScan::default();
        let seen: u32 = pieces.iter().map(|piece| scan.see(piece)).sum();
        assert_eq!(seen, idle_frames(&pieces.concat()));
    });
}

#[test]
fn requests_are_judged_alike_however_they_arrive() {
    const CORPUS: &[&[u8]] = &[
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\nHost: a\r\nCONTENT-LENGTH: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nbGET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Type: a\r\nTransfer-Encodings: x\r\nContent-Lengt\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
    ];
    Target { name: "requests_are_judged_alike_however_they_arrive", runs: 50_000 }.run(pieces(CORPUS), |pieces| {
        let (mut scan, mut at_once) = (HeadScan::default(), HeadScan::default());
        pieces.iter().for_each(|piece| scan.see(piece));
        at_once.see(&pieces.concat());
        for limit in [0, 5, 15, 16, 100, 1_000] {
            assert_eq!(scan.request_line_exceeds(limit), at_once.request_line_exceeds(limit), "{limit}");
        }
        assert_eq!(scan.judge(), at_once.judge());
    });
}

#[test]
fn websocket_is_only_what_asks_for_it_alone() {
    let make = |numbers: &mut Numbers| {
        let method = numbers.of_list(&[Method::GET, Method::GET, Method::GET, Method::POST]).clone();
        let version = *numbers.of_list(&[Version::HTTP_11, Version::HTTP_11, Version::HTTP_10, Version::HTTP_2]);
        let names = [header::UPGRADE, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        let values: &[&[u8]] = &[
            b"websocket",
            b"WebSocket",
            b"Upgrade",
            b"keep-alive, Upgrade",
            b"h2c",
            b"0",
            b"3",
            b"chunked",
            b"upgrade,",
        ];
        let count = 1 + numbers.below(4);
        let headers: Vec<(HeaderName, HeaderValue)> = (0..count)
            .filter_map(|_| {
                let made = if numbers.one_in(4) { made(numbers, values, 40) } else { numbers.of_list(values).to_vec() };
                let kinds = if numbers.one_in(4) { 4 } else { 2 };
                let at = numbers.below(kinds);
                Some((names[at].clone(), HeaderValue::from_bytes(&made).ok()?))
            })
            .collect();
        (method, version, headers)
    };
    Target { name: "websocket_is_only_what_asks_for_it_alone", runs: 40_000 }.run(
        make,
        |(method, version, headers)| {
            let mut request = Request::new(());
            (*request.method_mut(), *request.version_mut()) = (method.clone(), *version);
            for (name, value) in headers {
                request.headers_mut().append(name, value.clone());
            }
            let texts = |name: &HeaderName| -> Vec<String> {
                let named = headers.iter().filter(|(own, _)| own == name);
                named.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).to_lowercase()).collect()
            };
            let connection = texts(&header::CONNECTION).join(",");
            let lengths = texts(&header::CONTENT_LENGTH);
            let expected = *method == Method::GET
                && *version == Version::HTTP_11
                && texts(&header::UPGRADE) == ["websocket"]
                && connection.split(',').any(|option| option.trim_matches([' ', '\t']) == "upgrade")
                && texts(&header::TRANSFER_ENCODING).is_empty()
                && lengths.first().is_none_or(|length| length == "0");
            assert_eq!(is_websocket(&request.into_parts().0), expected);
        },
    );
}

#[test]
fn forms_are_read_or_refused_and_never_blown_up() {
    let corpus = [
        "a.b.c=v&hosts[]=x&hosts[]=y",
        "config[limits][sms][minute]=5&config.limits.sms.minute=6",
        "hosts[1]=x&hosts[1000]=y&hosts[2][3]=z",
        "a=1&a=2&a.b=3&a[]=4&fields[a.b]=%41%2e+%zz",
        "a[1000][1000]=x&b[1000][1000]=y&[]=1&.=&=",
    ];
    Target { name: "forms_are_read_or_refused_and_never_blown_up", runs: 50_000 }.feed(&corpus, |bytes| {
        let Some(pairs) = form_pairs(bytes) else { return };
        let fields = pairs.len();
        let values = pairs.into_iter().map(|(name, value)| (name, Value::from(value)));
        let Some(object) = form_object(values) else { return };
        assert!(leaves(&Value::Object(object)) <= 10_000 + fields);
    });
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(holds_nul),
        Value::Object(object) => object.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(elements) => elements.iter().map(leaves).sum(),
        Value::Object(object) => object.values().map(leaves).sum(),
        _ => 1,
    }
}

#[test]
fn json_is_read_as_every_reader_reads_it_or_refused() {
    let corpus = [
        "{\"name\":\"a\",\"paths\":[\"/a\",\"/b\"],\"x\":{\"y\":[1,-2.5e3,true,null]}}",
        "{\"a\":1,\"a\":2}",
        "[\"\\u00e4\\ud83d\\ude00\\n\", 18446744073709551615, 1e308, -0]",
        "[[[[[[[[{\"a\":{\"a\":{\"a\":{}}}}]]]]]]]]",
        "\"\\u0000\"",
    ];
    Target { name: "json_is_read_as_every_reader_reads_it_or_refused", runs: 20_000 }.feed(&corpus, |bytes| {
        let Ok(value) = json::parse(bytes) else { return };
        assert_eq!(serde_json::from_slice::<Value>(bytes).ok().as_ref(), Some(&value));
        assert!(!holds_nul(&value));
        let text = value.to_string();
        assert_eq!(json::parse(text.as_bytes()).ok(), Some(value));
    });
}

#[test]
fn proxy_headers_are_read_or_refused() {
    let corpus: [&[u8]; 7] = [
        b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n",
        b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 65535\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x09\x12\x67\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2700000000000000001111111111111111\0\x01\0\x02\x04\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    Target { name: "proxy_headers_are_read_or_refused", runs: 50_000 }.feed_bytes(&corpus, |input| {
        let read = proxy_protocol::read(input);
        if let Ok(Progress::More(missing)) = read {
            assert!((1..=4096).contains(&missing) && input.len() < 4096, "a header has an end");
        }
        if let Ok(Progress::Done(Header::Passed(passed))) = read {
            for version in [HeaderVersion::V1, HeaderVersion::V2] {
                let again = proxy_protocol::read(&passed.write(version));
                let Ok(Progress::Done(Header::Passed(again))) = again else { panic!("{passed:?}: {again:?}") };
                assert_eq!(again.source.ip().to_canonical(), passed.source.ip().to_canonical());
                assert_eq!(again.destination.port(), passed.destination.port());
            }
        }
        if read.is_ok() {
            (0..input.len())
                .for_each(|end| assert!(matches!(proxy_protocol::read(&input[..end]), Ok(Progress::More(_)))));
        }
    });
}
