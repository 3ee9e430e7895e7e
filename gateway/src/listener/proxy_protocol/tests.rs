use proptest::prelude::*;

use super::*;

fn passed(source: &str, destination: &str) -> Header {
    Header::Passed(Passed { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// A header of version 2 with these addresses and whatever follows them.
fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    [&SIGNATURE[..], &[command, kind], &(rest.len() as u16).to_be_bytes(), rest].concat()
}

#[test]
fn lines_are_read_strictly() {
    let four = passed("192.0.2.1:4711", "192.0.2.9:443");
    let cases = [
        ("PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n", Some(four)),
        ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", Some(passed("[2001:db8::1]:1", "[::1]:65535"))),
        ("PROXY UNKNOWN\r\n", Some(Header::Unknown)),
        ("PROXY UNKNOWN ffff::1 whatever it is\r\n", Some(Header::Unknown)),
        ("PROXY UNKNOWNS\r\n", None),
        ("PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\n", None),
        ("PROXY TCP4 192.0.2.1  192.0.2.9 4711 443\r\n", None),
        ("PROXY TCP4 192.0.2.1 192.0.2.9 4711 443 \r\n", None),
        ("PROXY TCP4 192.0.2.1 192.0.2.9 04711 443\r\n", None),
        ("PROXY TCP4 192.0.2.1 192.0.2.9 +4711 443\r\n", None),
        ("PROXY TCP4 192.0.2.1 192.0.2.9 4711 65536\r\n", None),
        ("PROXY TCP4 192.0.2.01 192.0.2.9 4711 443\r\n", None),
        ("PROXY TCP4 ::1 ::1 4711 443\r\n", None),
        ("PROXY TCP6 192.0.2.1 192.0.2.9 4711 443\r\n", None),
        ("PROXY TCP5 192.0.2.1 192.0.2.9 4711 443\r\n", None),
        ("PROXY\r\n", None),
        ("proxy UNKNOWN\r\n", None),
        ("GET / HTTP/1.1\r\n", None),
        ("\u{16}\u{3}\u{1}", None),
    ];
    for (text, expected) in cases {
        let found = read(text.as_bytes()).ok();
        assert_eq!(found, expected.map(Progress::Done), "{text:?}");
    }
    assert_eq!(read(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()), Err(Malformed::Line));
    assert_eq!(read(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat()), Err(Malformed::Line), "without an end");
}

#[test]
fn binary_headers_are_read_strictly() {
    let four = [192, 0, 2, 1, 192, 0, 2, 9, 0x12, 0x67, 1, 0xbb];
    let with_more = [&four[..], &[4, 0, 1, 7]].concat();
    let named = Header::Passed(Passed {
        source: "192.0.2.1:4711".parse().unwrap(),
        destination: "192.0.2.9:443".parse().unwrap(),
    });
    let cases = [
        ("TCP over IPv4", binary(0x21, 0x11, &four), Ok(named)),
        ("UDP over IPv4", binary(0x21, 0x12, &four), Ok(named)),
        ("TLVs behind", binary(0x21, 0x11, &with_more), Ok(named)),
        ("addresses cut short", binary(0x21, 0x11, &four[..11]), Err(Malformed::Length)),
        ("IPv6 cut short", binary(0x21, 0x21, &[0; 35]), Err(Malformed::Length)),
        ("a unix socket", binary(0x21, 0x31, &[0; 216]), Ok(Header::Unknown)),
        ("a unix socket cut short", binary(0x21, 0x31, &[0; 215]), Err(Malformed::Length)),
        ("nothing told", binary(0x21, 0, &[]), Ok(Header::Unknown)),
        ("local", binary(0x20, 0, &[]), Ok(Header::Local)),
        ("local with addresses", binary(0x20, 0x11, &four), Ok(Header::Local)),
        ("another version", binary(0x11, 0x11, &four), Err(Malformed::Kind)),
        ("another command", binary(0x22, 0x11, &four), Err(Malformed::Kind)),
        ("another family", binary(0x21, 0x41, &four), Err(Malformed::Kind)),
        ("another transport", binary(0x21, 0x13, &four), Err(Malformed::Kind)),
        ("too long", binary(0x21, 0x11, &[0; 4081]), Err(Malformed::Length)),
    ];
    for (label, bytes, expected) in cases {
        assert_eq!(read(&bytes), expected.map(Progress::Done), "{label}");
    }
}

#[test]
fn both_versions_are_written_in_one_family() {
    let mixed = Passed { source: "192.0.2.1:1".parse().unwrap(), destination: "[2001:db8::1]:2".parse().unwrap() };
    assert_eq!(mixed.write(Version::V1), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
    let mapped =
        Passed { source: "[::ffff:192.0.2.1]:1".parse().unwrap(), destination: "192.0.2.9:2".parse().unwrap() };
    assert_eq!(mapped.write(Version::V1), b"PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n");
}

#[tokio::test]
async fn nothing_behind_the_header_is_read() {
    for version in [Version::V1, Version::V2] {
        let said = Passed { source: "192.0.2.1:1".parse().unwrap(), destination: "192.0.2.9:2".parse().unwrap() };
        let bytes = [said.write(version), b"and more".to_vec()].concat();
        let mut rest = &bytes[..];
        assert_eq!(receive(&mut rest).await.unwrap(), Header::Passed(said));
        assert_eq!(rest, b"and more", "{version:?}");
    }
    assert!(matches!(receive(&mut &b"PROXY TCP4 1"[..]).await, Err(ReadError::Io(_))));
    assert!(matches!(receive(&mut &b"nonsense"[..]).await, Err(ReadError::Malformed(Malformed::Missing))));
}

proptest! {
    #[test]
    fn what_is_written_is_read(source: SocketAddr, destination: SocketAddr, second: bool) {
        let version = if second { Version::V2 } else { Version::V1 };
        let bytes = Passed { source, destination }.write(version);
        let Ok(Progress::Done(Header::Passed(found))) = read(&bytes) else { panic!("{bytes:?}") };
        prop_assert_eq!(found.source.ip().to_canonical(), source.ip().to_canonical());
        prop_assert_eq!(found.destination.ip().to_canonical(), destination.ip().to_canonical());
        prop_assert_eq!((found.source.port(), found.destination.port()), (source.port(), destination.port()));
        // Every part of it wants more, and never more than there is.
        for length in 0..bytes.len() {
            let Ok(Progress::More(missing)) = read(&bytes[..length]) else { panic!("{length} of {bytes:?}") };
            prop_assert!((1..=bytes.len() - length).contains(&missing));
        }
    }

    #[test]
    fn any_bytes_can_be_read(bytes in proptest::collection::vec(0_u8.., 0..300), start in 0_usize..3) {
        let begin = [&b""[..], WORD, SIGNATURE][start];
        _ = read(&[begin, &bytes].concat());
    }
}
