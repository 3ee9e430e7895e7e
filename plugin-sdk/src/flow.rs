//! What a plugin decides: what becomes of a request, a response, a chunk.

pub use crate::bindings::sandgate::plugin::types::{Refusal, Response as Answer};

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Flow {
    /// Goes on, with the changes noted on the [`Request`](crate::Request).
    Next,
    /// Ends here with this answer.
    Respond(Answer),
    /// Ends here with an answer that the gateway words in the format the client accepts.
    Refuse(Refusal),
}

/// What becomes of a response.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFlow {
    /// Goes on, with the changes noted on the [`Response`](crate::Response).
    Next,
    /// This answer takes its place, head and body.
    Replace(Answer),
}

/// What becomes of a chunk of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// Goes on as it came.
    Pass,
    /// These bytes go on in its place; none hold it back.
    Replace(Vec<u8>),
    /// Request bodies only: stop, and answer the client with this.
    Refuse(Refusal),
}

/// Refuses the request: `refuse(401, "No API key found in request").header("WWW-Authenticate", "Key")`.
pub fn refuse(status: u16, message: &str) -> Flow {
    Flow::Refuse(Refusal { status, message: message.into(), headers: Vec::new() })
}

impl Flow {
    /// Answers with a status and a JSON body: exactly these bytes.
    pub fn json(status: u16, body: &str) -> Flow {
        Flow::Respond(Answer {
            status,
            headers: vec![("Content-Type".into(), "application/json; charset=utf-8".into())],
            body: body.as_bytes().to_vec(),
        })
    }

    /// Answers with a status and a plain text.
    pub fn text(status: u16, body: &str) -> Flow {
        Flow::Respond(Answer {
            status,
            headers: vec![("Content-Type".into(), "text/plain; charset=utf-8".into())],
            body: body.as_bytes().to_vec(),
        })
    }

    /// Adds a header to the answer. Nothing happens on [`Flow::Next`].
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Flow {
        if let Flow::Respond(Answer { headers, .. }) | Flow::Refuse(Refusal { headers, .. }) = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// Status of the answer, `None` when the request goes on.
    pub fn status(&self) -> Option<u16> {
        match self {
            Flow::Next => None,
            Flow::Respond(answer) => Some(answer.status),
            Flow::Refuse(refusal) => Some(refusal.status),
        }
    }
}
