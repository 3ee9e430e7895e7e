//! One request to the Admin API: what it asks, and its body read as an object.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, FromRequest, Multipart},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{
    context::Context,
    failure::Failure,
    form::{self, MOST_FIELDS},
    transactions::Shared,
    wishes::Wishes,
};
use crate::model::{Object, Registry, schema::simplify_numbers};

/// The longest body, modules apart.
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// A request.
pub(super) struct Call {
    pub(super) context: Context,
    pub(super) registry: Arc<Registry>,
    pub(super) method: Method,
    /// As it came, without a trailing slash.
    pub(super) path: String,
    /// Decoded.
    pub(super) query: Vec<(String, String)>,
    /// Who asks, for the audit log. Access control puts a name here.
    pub(super) actor: Arc<str>,
    /// Whether to commit, and when to answer.
    pub(super) wishes: Wishes,
    /// The transaction that this call is an operation of.
    pub(super) part_of: Option<Shared>,
    parts: Parts,
    /// Never locked: bodies are not `Sync`, and a call is shared across waits.
    body: Mutex<Body>,
}

/// What a body says.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) object: Object,
    /// Values are texts to be read by the schema.
    pub(super) form: bool,
}

/// A file or a field of a multipart body.
pub(super) struct MultipartField {
    pub(super) name: String,
    pub(super) media_type: Option<String>,
    pub(super) file: bool,
    pub(super) bytes: Bytes,
}

impl Call {
    pub(super) fn new(context: Context, request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let path = path.strip_suffix('/').unwrap_or(path).to_owned();
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let registry = context.registry.load_full();
        Self {
            context,
            registry,
            method: parts.method.clone(),
            path,
            query,
            actor: "anonymous".into(),
            wishes: Wishes::default(),
            part_of: None,
            parts,
            body: Mutex::new(body),
        }
    }

    /// An operation of a transaction: another request of the same client.
    pub(super) fn part(&self, request: Request<Body>, transaction: Shared) -> Self {
        let actor = self.actor.clone();
        Self { actor, part_of: Some(transaction), ..Self::new(self.context.clone(), request) }
    }

    /// Where the client connected from.
    pub(super) fn peer(&self) -> Option<String> {
        self.parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string())
    }

    /// Whether the method may change something.
    pub(super) fn is_write(&self) -> bool {
        ![Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method)
    }

    /// The decoded segments of the path; `None` when one is empty.
    pub(super) fn segments(&self) -> Option<Vec<String>> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        if path.is_empty() {
            return if self.parts.uri.path() == "/" { Some(Vec::new()) } else { None };
        }
        let decode =
            |segment: &str| (!segment.is_empty()).then(|| percent_decode_str(segment).decode_utf8_lossy().into_owned());
        path.split('/').map(decode).collect()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The first query argument of a name.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses what no resource takes.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.query.len() > MOST_FIELDS {
            return Err(Failure::Bad("Too many arguments".to_owned()));
        }
        Ok(())
    }

    /// The media type of the body, in lower case and without parameters.
    pub(super) fn media_type(&self) -> Result<Option<String>, Failure> {
        let mut types = self.parts.headers.get_all(header::CONTENT_TYPE).iter();
        let (first, second) = (types.next(), types.next());
        if second.is_some() {
            return Err(Failure::Bad("Too many Content-Type headers".to_owned()));
        }
        let text = first.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(text.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
    }

    /// The body as it came, at most `limit` bytes.
    pub(super) async fn bytes(&mut self, limit: usize) -> Result<Bytes, Failure> {
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        axum::body::to_bytes(body, limit).await.map_err(|_| Failure::TooLarge)
    }

    /// The body as an object.
    pub(super) async fn input(&mut self) -> Result<Input, Failure> {
        let media_type = self.media_type()?;
        let bytes = self.bytes(BODY_LIMIT).await?;
        match media_type.as_deref() {
            None if bytes.is_empty() => Ok(Input::default()),
            Some("application/json") => parse_json(&bytes),
            Some("application/x-www-form-urlencoded") => {
                let fields: Vec<(String, String)> = form_urlencoded::parse(&bytes).into_owned().collect();
                if fields.len() > MOST_FIELDS {
                    return Err(Failure::Bad("Too many arguments".to_owned()));
                }
                let fields = fields.into_iter().map(|(name, value)| (name, value.into()));
                Ok(Input { object: form::object(fields), form: true })
            }
            Some("multipart/form-data") => self.multipart_input(bytes).await,
            _ => Err(Failure::MediaType),
        }
    }

    async fn multipart_input(&self, bytes: Bytes) -> Result<Input, Failure> {
        let fields = self.multipart(bytes).await?;
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let json = field.media_type.as_deref().is_some_and(|media_type| media_type.starts_with("application/json"));
            let value = if json { Value::Object(parse_json(&field.bytes)?.object) } else { text(&field.bytes).into() };
            values.push((field.name, value));
        }
        Ok(Input { object: form::object(values.into_iter()), form: true })
    }

    /// The fields of a multipart body.
    pub(super) async fn multipart(&self, bytes: Bytes) -> Result<Vec<MultipartField>, Failure> {
        let bad = |_| Failure::Bad("Cannot parse multipart body".to_owned());
        let request = Request::from_parts(self.parts.clone(), Body::from(bytes));
        let mut multipart = Multipart::from_request(request, &())
            .await
            .map_err(|_| Failure::Bad("Cannot parse multipart body".to_owned()))?;
        let mut fields = Vec::new();
        while let Some(field) = multipart.next_field().await.map_err(bad)? {
            if fields.len() == MOST_FIELDS {
                return Err(Failure::Bad("Too many arguments".to_owned()));
            }
            let (name, file) = (field.name().unwrap_or_default().to_owned(), field.file_name().is_some());
            let media_type = field.content_type().map(str::to_ascii_lowercase);
            fields.push(MultipartField { name, media_type, file, bytes: field.bytes().await.map_err(bad)? });
        }
        Ok(fields)
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn parse_json(bytes: &[u8]) -> Result<Input, Failure> {
    let mut value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    simplify_numbers(&mut value);
    match value {
        Value::Object(object) => Ok(Input { object, form: false }),
        Value::Array(empty) if empty.is_empty() => Ok(Input::default()),
        _ => Err(Failure::Bad("Cannot parse JSON body".to_owned())),
    }
}
