//! One request to the Admin API: what it asks, and its body read as an object.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    body::Body,
    extract::{FromRequest, Multipart},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{
    access::{Demand, Door, Identity, demands, refuse_foreign},
    body,
    context::Context,
    failure::Failure,
    form::{self, MOST_FIELDS},
    json,
    resource::Resource,
    transactions::Shared,
    wishes::Wishes,
};
use crate::model::{Object, Registry, Touched, Verb, schema::simplify_numbers};

/// A request.
pub(super) struct Call {
    pub(super) context: Context,
    pub(super) registry: Arc<Registry>,
    pub(super) method: Method,
    /// Where it came in.
    pub(super) door: Door,
    /// Who asks; nobody until that was found out.
    pub(super) identity: Identity,
    /// Their name, for the log and the audit.
    pub(super) actor: Arc<str>,
    /// As it came, without a trailing slash.
    pub(super) path: String,
    /// Decoded; empty when that is not possible, which `check` tells.
    pub(super) query: Vec<(String, String)>,
    /// Whether to commit, and when to answer.
    pub(super) wishes: Wishes,
    /// The transaction that this call is an operation of.
    pub(super) part_of: Option<Shared>,
    /// Whether the query can be read.
    legible: bool,
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
        let query = form::pairs(parts.uri.query().unwrap_or_default().as_bytes());
        let (legible, query) = (query.is_some(), query.unwrap_or_default());
        let registry = context.registry.load_full();
        let door = parts.extensions.get::<Door>().cloned().unwrap_or_default();
        let identity = Identity::Known { name: "nobody".into(), roles: Vec::new(), ambient: true };
        let (method, actor, body) = (parts.method.clone(), identity.name(), Mutex::new(body));
        Self {
            context,
            registry,
            method,
            door,
            identity,
            actor,
            path,
            query,
            legible,
            wishes: Wishes::default(),
            part_of: None,
            parts,
            body,
        }
    }

    /// An operation of a transaction: another request of the same client.
    pub(super) fn part(&self, request: Request<Body>, transaction: Shared) -> Self {
        let (door, identity, actor) = (self.door.clone(), self.identity.clone(), self.actor.clone());
        Self { door, identity, actor, part_of: Some(transaction), ..Self::new(self.context.clone(), request) }
    }

    /// Where the client connected from.
    pub(super) fn peer(&self) -> String {
        self.door.peer.ip().to_string()
    }

    /// Whether the method may change something.
    pub(super) fn is_write(&self) -> bool {
        ![Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method)
    }

    /// The decoded segments of the path. Not found when one is empty.
    pub(super) fn segments(&self) -> Result<Vec<String>, Failure> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        if path.is_empty() {
            return if self.parts.uri.path() == "/" { Ok(Vec::new()) } else { Err(Failure::NotFound) };
        }
        let segments: Result<_, Failure> = path.split('/').map(segment).collect();
        segments.map_err(|failure| match failure {
            Failure::Bad(_) if path.starts_with("tags/") => Failure::Tag("must be valid UTF-8 without NUL"),
            other => other,
        })
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The first query argument of a name.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Finds out who asks.
    pub(super) fn identify(&mut self) -> Result<(), Failure> {
        let access = &self.context.access;
        let identity = access.identify(&self.door, &self.parts.headers).map_err(Failure::Denied)?;
        refuse_foreign(access, &identity, &self.method, &self.parts.headers).map_err(Failure::Foreign)?;
        (self.actor, self.identity) = (identity.name(), identity);
        Ok(())
    }

    /// Refuses what the roles of whoever asks do not allow.
    pub(super) fn authorize(&self, resource: &Resource, segments: &[&str]) -> Result<(), Failure> {
        for Demand { verb, touched } in demands(&self.method, resource, segments) {
            self.demand(verb, &touched)?;
        }
        Ok(())
    }

    /// Refuses a verb on the module of the path.
    pub(super) fn permit(&self, verb: Verb) -> Result<(), Failure> {
        let segments = self.segments().unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        self.demand(verb, &Touched { names: ["modules"; 2], segments: &segments })
    }

    /// Refuses to tell of an entity what whoever asks may not read.
    pub(super) fn permit_reading(&self, collection: &str, id: &str) -> Result<(), Failure> {
        let path = self.registry.get(collection).map_or(collection, |known| &*known.path);
        self.demand(Verb::Read, &Touched { names: [collection, path], segments: &[path, id] })
    }

    /// Whether whoever asks may read an entity that an answer about something else speaks of.
    pub(super) fn may_read(&self, collection: &str, id: &str) -> bool {
        let path = self.registry.get(collection).map_or(collection, |known| &*known.path);
        self.identity.allows(Verb::Read, &Touched { names: [collection, path], segments: &[path, id] })
    }

    fn demand(&self, verb: Verb, touched: &Touched<'_>) -> Result<(), Failure> {
        if self.identity.allows(verb, touched) {
            return Ok(());
        }
        let (who, verb, [_, resource]) = (self.actor.clone(), verb.as_str(), touched.names);
        if self.context.access.forbidden(self.door.peer.ip()) {
            tracing::warn!(client = %self.door.peer.ip(), %who, verb, resource, "a request to the Admin API was forbidden");
        }
        Err(Failure::Forbidden { who, verb, resource: if resource.is_empty() { "/" } else { resource }.to_owned() })
    }

    /// Refuses what no resource takes.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !self.legible {
            return Err(Failure::Bad("the query is not UTF-8 or holds a NUL character".to_owned()));
        }
        if self.query.len() > MOST_FIELDS {
            return Err(too_many());
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
        body::read(body, limit, self.context.limits.body_timeout).await
    }

    /// The body as an object.
    pub(super) async fn input(&mut self) -> Result<Input, Failure> {
        let media_type = self.media_type()?;
        let bytes = self.bytes(self.context.limits.body).await?;
        let is = |known: &str| media_type.as_deref().is_some_and(|media_type| media_type.starts_with(known));
        if media_type.is_none() && bytes.is_empty() {
            Ok(Input::default())
        } else if is("application/json") {
            parse_json(&bytes)
        } else if is("application/x-www-form-urlencoded") {
            form_input(form::pairs(&bytes).ok_or(Failure::Text)?)
        } else if is("multipart/form-data") {
            self.multipart_input(bytes).await
        } else {
            Err(Failure::MediaType)
        }
    }

    async fn multipart_input(&self, bytes: Bytes) -> Result<Input, Failure> {
        let fields = self.multipart(bytes).await?;
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let json = field.media_type.as_deref().is_some_and(|media_type| media_type.starts_with("application/json"));
            let value = if json { Value::Object(parse_json(&field.bytes)?.object) } else { text(&field.bytes)?.into() };
            values.push((field.name, value));
        }
        let object = form::object(values.into_iter()).ok_or_else(too_many)?;
        Ok(Input { object, form: true })
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
                return Err(too_many());
            }
            let (name, file) = (text(field.name().unwrap_or_default().as_bytes())?, field.file_name().is_some());
            let media_type = field.content_type().map(str::to_ascii_lowercase);
            fields.push(MultipartField { name, media_type, file, bytes: field.bytes().await.map_err(bad)? });
        }
        Ok(fields)
    }
}

/// A text that every database can keep.
pub(super) fn text(bytes: &[u8]) -> Result<String, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(Failure::Text),
    }
}

fn segment(encoded: &str) -> Result<String, Failure> {
    if encoded.is_empty() {
        return Err(Failure::NotFound);
    }
    let decoded: Vec<u8> = percent_decode_str(encoded).collect();
    text(&decoded).map_err(|_| Failure::Bad("the path is not UTF-8 or holds a NUL character".to_owned()))
}

fn too_many() -> Failure {
    Failure::Bad("Too many arguments".to_owned())
}

fn form_input(fields: Vec<(String, String)>) -> Result<Input, Failure> {
    if fields.len() > MOST_FIELDS {
        return Err(too_many());
    }
    let fields = fields.into_iter().map(|(name, value)| (name, value.into()));
    Ok(Input { object: form::object(fields).ok_or_else(too_many)?, form: true })
}

fn parse_json(bytes: &[u8]) -> Result<Input, Failure> {
    let mut value = json::parse(bytes)?;
    simplify_numbers(&mut value);
    match value {
        Value::Object(object) => Ok(Input { object, form: false }),
        Value::Array(empty) if empty.is_empty() => Ok(Input::default()),
        _ => Err(Failure::Bad("Cannot parse JSON body".to_owned())),
    }
}
