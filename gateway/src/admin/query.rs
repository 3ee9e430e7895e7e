//! Query arguments of listings: `size`, `offset`, `tags`.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{call::Call, failure::Failure};
use crate::{model::schema::Violations, store::Tags};

const MOST_TAGS: usize = 5;

/// Opaque to clients: letters that need no escaping, no padding, lenient about trailing bits as Kong is.
const TOKEN: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// `size`: 1 to 1000, by default 100.
pub(super) fn size(call: &Call) -> Result<usize, Failure> {
    let Some(text) = call.argument("size") else { return Ok(100) };
    let number: f64 = text.parse().map_err(|_| Failure::Size("size must be a number"))?;
    (1..=1000_u16)
        .find(|size| f64::from(*size) == number)
        .map(usize::from)
        .ok_or(Failure::Size("size must be an integer between 1 and 1000"))
}

/// `offset`: what a page before gave.
pub(super) fn offset(call: &Call) -> Result<Option<Value>, Failure> {
    let Some(text) = call.argument("offset") else { return Ok(None) };
    let bad = |reason| Failure::Offset(text.to_owned(), reason);
    let bytes = TOKEN.decode(text).map_err(|_| bad("bad base64 encoding"))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| bad("bad json encoding"))?;
    if value.is_array() { Ok(Some(value)) } else { Err(bad("bad json encoding")) }
}

/// The token for a place to go on from.
pub(super) fn token(place: &Value) -> String {
    TOKEN.encode(place.to_string())
}

/// `tags`: `a,b` for all of them, `a/b` for any.
pub(super) fn tags(call: &Call) -> Result<Option<Tags>, Failure> {
    let Some(text) = call.argument("tags") else { return Ok(None) };
    let bad = |reason: &str| Err(Failure::Options(Violations::one("tags", reason)));
    let separator = match (text.contains(','), text.contains('/')) {
        _ if text.is_empty() => return bad("cannot be null"),
        (true, true) => return bad("invalid filter syntax"),
        (_, any) => {
            if any {
                '/'
            } else {
                ','
            }
        }
    };
    let decode = |tag: &str| percent_decode_str(tag).decode_utf8_lossy().into_owned();
    let tags: Vec<String> = text.split(separator).map(decode).collect();
    if tags.iter().any(String::is_empty) {
        return bad("invalid filter syntax");
    }
    if tags.len() > MOST_TAGS {
        return bad("cannot query more than 5 tags");
    }
    Ok(Some(if separator == '/' { Tags::Any(tags) } else { Tags::All(tags) }))
}
