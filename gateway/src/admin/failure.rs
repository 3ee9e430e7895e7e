//! What operators are told when a request fails. The only place where a failure becomes a status and a body.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{access::Denied, answer::Answer};
use crate::{
    model::{
        Object,
        declarative::Invalid,
        schema::{Violations, lua_table},
    },
    store::StoreError,
};

/// Why a request is not done. Codes and texts are Kong's, where Kong has the case.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("nothing is there")]
    NotFound,
    #[error("{0}")]
    NotFoundNamed(String),
    #[error("the path does not take this method")]
    Method,
    #[error("the content type is not supported")]
    MediaType,
    #[error("the body is too large")]
    TooLarge,
    #[error("too many requests are being answered")]
    Busy,
    #[error("nobody who may do this: {0:?}")]
    Denied(Denied),
    #[error("{who} may not {verb} {resource}")]
    Forbidden { who: Arc<str>, verb: &'static str, resource: String },
    #[error("a page from {0} may change nothing")]
    Foreign(String),
    #[error("the system has no randomness")]
    NoRandomness,
    #[error("the body comes too slowly")]
    Slow,
    #[error("a text in the body is not UTF-8 or holds a NUL character")]
    Text,
    #[error("the tag {0} is none")]
    Tag(&'static str),
    #[error("{0}")]
    Bad(String),
    #[error("the path needs a UUID")]
    PrimaryKey,
    #[error("the entity breaks its schema")]
    Schema(Violations),
    #[error("no entity has the key {0}")]
    Missing(Value),
    #[error("references cannot be resolved")]
    Unresolved(Violations),
    #[error("the offset {0} is not valid: {1}")]
    Offset(String, &'static str),
    #[error("{0}")]
    Size(&'static str),
    #[error("query arguments are not valid")]
    Options(Violations),
    /// Others list it.
    #[error("{0}")]
    Listed(String),
    #[error("the module is refused")]
    Module(Vec<String>),
    #[error("the configuration comes from a declarative file")]
    Unsupported { operation: &'static str, collection: std::sync::Arc<str> },
    #[error("the declarative configuration is wrong")]
    Declarative { invalid: Box<Invalid>, flatten: bool },
    /// What a rollback would need and does not find.
    #[error("the configuration cannot be rolled back")]
    Rollback(Vec<String>),
    /// The request asked for no more than this answer: nothing is committed.
    #[error("the write ends before its commit")]
    Answered(Box<Answer>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure {
    /// As it is said of a request with this method: without a database, writes are refused by what they would do.
    pub(super) fn to(self, method: &http::Method) -> Self {
        let Failure::Store(StoreError::NoDatabase { collection }) = self else { return self };
        let operation = match method.as_str() {
            "POST" => "create",
            "PATCH" => "update",
            "DELETE" => "remove",
            _ => "create or update",
        };
        Failure::Unsupported { operation, collection }
    }

    /// The answer, `fields` and all.
    pub(super) fn into_answer(self) -> Answer {
        match self {
            Failure::NotFound => message(StatusCode::NOT_FOUND, "Not found"),
            Failure::NotFoundNamed(text) => message(StatusCode::NOT_FOUND, &text),
            Failure::Method => message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Failure::MediaType => Answer::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Failure::TooLarge => message(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large"),
            Failure::Busy => later(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once", Duration::ZERO),
            Failure::Denied(denied) => denied_answer(denied),
            Failure::Forbidden { who, verb, resource } => {
                message(StatusCode::FORBIDDEN, &format!("'{who}' may not '{verb}' '{resource}'"))
            }
            Failure::Foreign(origin) => {
                let text = format!("a page from '{origin}' may not change anything: name its origin in admin_gui_url");
                message(StatusCode::FORBIDDEN, &text)
            }
            Failure::NoRandomness => message(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred"),
            Failure::Slow => message(StatusCode::REQUEST_TIMEOUT, "Request timeout"),
            Failure::Text => message(StatusCode::BAD_REQUEST, &self.to_string()),
            Failure::Tag(problem) => coded(10, format!("invalid unique tag: {problem}"), Value::Null),
            Failure::Bad(text) => message(StatusCode::BAD_REQUEST, &text),
            Failure::PrimaryKey => {
                let fields = json!({ "id": "expected a valid UUID" });
                coded(1, format!("invalid primary key: '{}'", lua_table(&fields)), fields)
            }
            Failure::Schema(violations) => {
                let text = violations.message("schema violation", "schema violations");
                coded(2, text, Value::Object(violations.fields))
            }
            Failure::Missing(key) => missing_answer(key),
            Failure::Unresolved(violations) => {
                let text = violations.message("foreign key unresolved", "foreign keys unresolved");
                coded(13, text, Value::Object(violations.fields))
            }
            Failure::Offset(offset, reason) => {
                coded(7, format!("'{offset}' is not a valid offset: {reason}"), Value::Null)
            }
            Failure::Size(text) => coded(9, text.to_owned(), Value::Null),
            Failure::Options(violations) => options_answer(violations),
            Failure::Listed(text) => coded(19, text, Value::Null),
            Failure::Module(reasons) => {
                let body = json!({ "message": "the module is refused", "reasons": reasons });
                Answer::json(StatusCode::BAD_REQUEST, body)
            }
            Failure::Unsupported { operation, collection } => {
                let text = format!("cannot {operation} '{collection}' entities when not using a database");
                coded(12, text, Value::Null)
            }
            Failure::Declarative { invalid, flatten } => declarative_answer(&invalid, flatten),
            Failure::Rollback(reasons) => {
                let body = json!({ "message": "the configuration cannot be rolled back", "reasons": reasons });
                Answer::json(StatusCode::CONFLICT, body)
            }
            Failure::Answered(answer) => *answer,
            Failure::Store(error) => store_answer(error),
        }
    }
}

fn missing_answer(key: Value) -> Answer {
    let by_id = key.get("id").is_some();
    let what = if by_id { "the entity with primary key" } else { "the entity with" };
    coded(6, format!("could not find {what} '{}'", lua_table(&key)), key)
}

fn options_answer(violations: Violations) -> Answer {
    let text = violations.message("invalid option", "option violations");
    let mut body = body(11, text, Value::Null);
    body.insert("options".into(), Value::Object(violations.fields));
    Answer::json(StatusCode::BAD_REQUEST, Value::Object(body))
}

fn declarative_answer(invalid: &Invalid, flatten: bool) -> Answer {
    let text = invalid.message();
    if !flatten {
        return coded(14, text, Value::Object(invalid.fields()));
    }
    let (entities, rest) = invalid.flattened();
    let mut body = body(14, text, Value::Object(rest));
    body.insert("flattened_errors".into(), entities.into());
    Answer::json(StatusCode::BAD_REQUEST, Value::Object(body))
}

/// RFC 6750 §3: what to send, and whether what was sent was wrong.
fn denied_answer(denied: Denied) -> Answer {
    let (text, challenge) = match denied {
        Denied::TooMany(wait) => return later(StatusCode::TOO_MANY_REQUESTS, "too many failed attempts", wait),
        Denied::Missing => {
            ("authentication is required: send 'Authorization: Bearer <token>'", "Bearer realm=\"admin\"")
        }
        Denied::Certificate => ("the certificate has no role", "Bearer realm=\"admin\""),
        Denied::Unknown => ("the token is not valid", "Bearer realm=\"admin\", error=\"invalid_token\""),
        Denied::Expired => ("the token or certificate has expired", "Bearer realm=\"admin\", error=\"invalid_token\""),
    };
    let mut answer = message(StatusCode::UNAUTHORIZED, text);
    answer.set(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    answer
}

/// An answer that asks to wait, at least a second.
fn later(status: StatusCode, text: &str, wait: Duration) -> Answer {
    let mut answer = message(status, text);
    answer.set(header::RETRY_AFTER, wait.as_secs().max(1).into());
    answer
}

fn store_answer(error: StoreError) -> Answer {
    match error {
        StoreError::Unique { fields, .. } => {
            let fields = Value::Object(fields);
            coded(5, format!("UNIQUE violation detected on '{}'", lua_table(&fields)), fields)
        }
        StoreError::PrimaryKey { id, .. } => {
            let fields = json!({ "id": id });
            coded(3, format!("primary key violation on key '{}'", lua_table(&fields)), fields)
        }
        StoreError::ForeignKey { field, to, value } => {
            let text = format!("the foreign key '{}' does not reference an existing '{to}' entity.", lua_table(&value));
            let mut fields = Object::new();
            fields.insert(field.to_string(), value);
            coded(4, text, Value::Object(fields))
        }
        StoreError::Referenced { collection, by } => {
            let text = format!("an existing '{by}' entity references this '{collection}' entity");
            coded(4, text, json!({ "@referenced_by": by }))
        }
        StoreError::ReadOnly { .. } => message(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        StoreError::Unreachable(_) | StoreError::Uncertain(_) | StoreError::Busy(_) | StoreError::Slow(_) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a request of the Admin API is not done");
            message(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        }
        StoreError::TooLong(_) => message(StatusCode::BAD_REQUEST, &error.to_string()),
        failed => {
            tracing::error!(error = &failed as &dyn std::error::Error, "the configuration database failed");
            message(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
        }
    }
}

/// A body with a message alone.
pub(super) fn message(status: StatusCode, text: &str) -> Answer {
    Answer::json(status, json!({ "message": text }))
}

fn coded(code: u8, text: String, fields: Value) -> Answer {
    let status = match code {
        5 => StatusCode::CONFLICT,
        6 => StatusCode::NOT_FOUND,
        12 => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::BAD_REQUEST,
    };
    Answer::json(status, Value::Object(body(code, text, fields)))
}

fn body(code: u8, text: String, fields: Value) -> Object {
    let name = match code {
        1 => "invalid primary key",
        2 => "schema violation",
        3 => "primary key violation",
        4 => "foreign key violation",
        5 => "unique constraint violation",
        6 => "not found",
        7 => "invalid offset",
        9 => "invalid size",
        10 => "invalid unique tag",
        11 => "invalid options",
        12 => "operation unsupported",
        13 => "foreign keys unresolved",
        14 => "invalid declarative configuration",
        19 => "referenced by others",
        _ => "database error",
    };
    let mut object = Object::new();
    object.insert("code".into(), code.into());
    object.insert("name".into(), name.into());
    object.insert("message".into(), text.into());
    if !fields.is_null() {
        object.insert("fields".into(), fields);
    }
    object
}
