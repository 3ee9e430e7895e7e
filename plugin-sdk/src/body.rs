//! Bodies made of named fields: JSON objects, urlencoded forms, multipart forms.

use serde_json::{Map, Value};

use crate::{host::Host, query, request::Header};

mod multipart;

use self::multipart::Multipart;

/// The fields of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Fields {
    /// Members of a JSON object.
    Json(Map<String, Value>),
    /// Pairs of an urlencoded form, decoded; `None` for a name without `=`.
    Form(Vec<(String, Option<String>)>),
    /// Parts of a multipart form.
    Multipart(Multipart),
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such field, or it is no text.
    Nothing,
    /// One text.
    One(String),
    /// Several values.
    Several,
}

impl Found {
    /// Itself, or what the other place has when there is nothing here.
    pub fn or_else(self, other: impl FnOnce() -> Found) -> Found {
        if self == Found::Nothing { other() } else { self }
    }
}

impl From<Header<'_>> for Found {
    fn from(header: Header<'_>) -> Self {
        match header {
            Header::Absent => Found::Nothing,
            Header::One(value) => Found::One(value.into()),
            Header::Repeated(_) => Found::Several,
        }
    }
}

impl Fields {
    /// Waits for the body of the request, at most `limit` bytes. `None` as for [`Fields::parse`], and when it is larger.
    pub fn of_request(host: &impl Host, limit: u32) -> Option<Self> {
        let content_type = host.request_header("content-type")?;
        Self::parse(&content_type, &host.read_body(limit).ok()?)
    }

    /// Reads a body by its Content-Type. An empty JSON body has no fields. `None` for other types and broken bodies.
    pub fn parse(content_type: &str, body: &[u8]) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") {
            return json(body).map(Fields::Json);
        }
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Some(Fields::Form(query::pairs(std::str::from_utf8(body).ok()?).collect()));
        }
        if kind.eq_ignore_ascii_case("multipart/form-data") {
            return Multipart::parse(content_type, body).map(Fields::Multipart);
        }
        None
    }

    /// The text of a field.
    pub fn get(&self, name: &str) -> Found {
        match self {
            Fields::Json(members) => match members.get(name) {
                Some(Value::String(text)) => Found::One(text.clone()),
                Some(Value::Array(_) | Value::Object(_)) => Found::Several,
                _ => Found::Nothing,
            },
            Fields::Form(pairs) => {
                let mut values = pairs.iter().filter(|pair| pair.0 == name);
                match (values.next(), values.next()) {
                    (Some(_), Some(_)) => Found::Several,
                    (Some((_, Some(value))), None) => Found::One(value.clone()),
                    _ => Found::Nothing,
                }
            }
            Fields::Multipart(form) => form.get(name).map_or(Found::Nothing, Found::One),
        }
    }

    /// Removes a field. False when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        match self {
            Fields::Json(members) => members.remove(name).is_some(),
            Fields::Form(pairs) => {
                let before = pairs.len();
                pairs.retain(|pair| pair.0 != name);
                pairs.len() < before
            }
            Fields::Multipart(form) => form.remove(name),
        }
    }

    /// The body again.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Fields::Json(members) => serde_json::to_vec(members).unwrap_or_default(),
            Fields::Form(pairs) => encode_form(pairs).into_bytes(),
            Fields::Multipart(form) => form.encode(),
        }
    }
}

/// `a=1&b=2` of decoded pairs.
pub fn encode_form(pairs: &[(String, Option<String>)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        query::encode(name, &mut out);
        if let Some(value) = value {
            out.push('=');
            query::encode(value, &mut out);
        }
    }
    out
}

fn json(body: &[u8]) -> Option<Map<String, Value>> {
    if body.is_empty() {
        return Some(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}
