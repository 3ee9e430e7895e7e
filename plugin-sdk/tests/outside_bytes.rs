//! Whatever a client sends, reading it ends well, and what is written is read back.

use proptest::prelude::*;
use sandgate_sdk::{
    body::{Fields, Found},
    query::{self, Pairs},
};

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(text in ".*") {
        let mut coded = String::new();
        query::encode(&text, &mut coded);
        prop_assert_eq!(query::decode(&coded), text);
    }

    #[test]
    fn any_query_is_read_and_written_alike(query in "[a-c%2&=+]{0,24}") {
        let pairs = Pairs::parse(&query);
        prop_assert_eq!(Pairs::parse(&pairs.encode()), pairs);
    }

    #[test]
    fn an_argument_taken_out_is_gone(query in "[ab%61&=]{0,24}") {
        prop_assert_eq!(query::get(&query::without(&query, "a"), "a"), Found::Nothing);
    }

    #[test]
    fn any_body_is_read_or_refused(kind in 0..3_usize, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let types = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"];
        let framed = [b"--b\r\n", body.as_slice(), b"\r\n--b--"].concat();
        for bytes in [body, framed] {
            if let Some(fields) = Fields::parse(types[kind], &bytes) {
                prop_assert!(Fields::parse(types[kind], &fields.encode()).is_some());
            }
        }
    }
}
