//! Bodies made of named fields: JSON objects, urlencoded forms, multipart forms.

use serde_json::{Map, Value};

use crate::{host::Host, query::Pairs, request::Header};

mod multipart;

use self::multipart::Multipart;

/// The fields of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Fields {
    /// Members of a JSON object.
    Json(Map<String, Value>),
    /// Pairs of an urlencoded form.
    Form(Pairs),
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
            return std::str::from_utf8(body).ok().map(|text| Fields::Form(Pairs::parse(text)));
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
            Fields::Form(pairs) => pairs.get(name),
            Fields::Multipart(form) => form.get(name).map_or(Found::Nothing, Found::One),
        }
    }

    /// Removes a field. False when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        match self {
            Fields::Json(members) => members.remove(name).is_some(),
            Fields::Form(pairs) => pairs.remove(name),
            Fields::Multipart(form) => form.remove(name),
        }
    }

    /// Moves a field to another name, which loses its own value.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        match self {
            Fields::Json(members) => {
                let Some(value) = members.remove(old) else { return false };
                members.insert(new.into(), value);
                true
            }
            Fields::Form(pairs) => pairs.rename(old, new),
            Fields::Multipart(form) => form.rename(old, new),
        }
    }

    /// Gives a field that is there this value. A JSON `false` counts as absent.
    pub fn replace(&mut self, name: &str, value: &str) -> bool {
        match self {
            Fields::Json(members) if is_there(members.get(name)) => members.insert(name.into(), value.into()).is_some(),
            Fields::Json(_) => false,
            Fields::Form(pairs) => pairs.replace(name, value),
            Fields::Multipart(form) => form.get(name).is_some() && form.set(name, value),
        }
    }

    /// Gives a field that is not there this value. A JSON `false` counts as absent.
    pub fn add(&mut self, name: &str, value: &str) -> bool {
        match self {
            Fields::Json(members) if is_there(members.get(name)) => false,
            Fields::Json(members) => {
                members.insert(name.into(), value.into());
                true
            }
            Fields::Form(pairs) => pairs.add(name, value),
            Fields::Multipart(form) => form.get(name).is_none() && form.set(name, value),
        }
    }

    /// Gives a field one more value; multipart forms stay as they are.
    pub fn append(&mut self, name: &str, value: &str) -> bool {
        match self {
            Fields::Json(members) => {
                let list = appended(members.remove(name), value);
                members.insert(name.into(), list);
            }
            Fields::Form(pairs) => pairs.append(name, value),
            Fields::Multipart(_) => return false,
        }
        true
    }

    /// The body again.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Fields::Json(members) => serde_json::to_vec(members).unwrap_or_default(),
            Fields::Form(pairs) => pairs.encode().into_bytes(),
            Fields::Multipart(form) => form.encode(),
        }
    }
}

/// Lua's idea of a value that counts.
fn is_there(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Bool(false)))
}

/// A text becomes a list of two, a list grows, everything else gives way to a list of one.
fn appended(old: Option<Value>, value: &str) -> Value {
    let mut list = match old {
        Some(Value::Array(list)) => list,
        Some(text @ Value::String(_)) => vec![text],
        _ => Vec::new(),
    };
    list.push(value.into());
    Value::Array(list)
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

#[cfg(test)]
mod tests;
