//! One operation: what it is for, what it takes, what it answers.

use serde_json::{Value, json};

use super::shapes;
use crate::model::Object;

/// An operation under construction.
pub(super) struct Operation {
    summary: String,
    tag: Option<String>,
    /// Names in `components/parameters`.
    parameters: Vec<&'static str>,
    content: Option<Value>,
    answers: Vec<(u16, Value)>,
    refusals: Vec<u16>,
}

impl Operation {
    pub(super) fn new(summary: impl Into<String>) -> Self {
        let summary = summary.into();
        // A query or a path that is no text, and what access control says.
        let refusals = vec![400, 401, 403, 429, 503];
        Self { summary, tag: None, parameters: Vec::new(), content: None, answers: Vec::new(), refusals }
    }

    /// Reads something: 200 with this.
    pub(super) fn read(summary: impl Into<String>, shape: Value) -> Self {
        Self::new(summary).answers(200, shape)
    }

    /// Answers with JSON of this shape.
    pub(super) fn answers(self, status: u16, shape: Value) -> Self {
        self.sends(status, json!({ "application/json": { "schema": shape } }))
    }

    /// Answers with content of these media types.
    pub(super) fn sends(mut self, status: u16, content: Value) -> Self {
        self.answers.push((status, json!({ "description": shapes::meaning(status), "content": content })));
        self
    }

    /// Answers without a body.
    pub(super) fn empty(mut self, status: u16) -> Self {
        self.answers.push((status, json!({ "description": shapes::meaning(status) })));
        self
    }

    /// Takes a body of this shape, as JSON or as a form.
    pub(super) fn takes(self, shape: Value) -> Self {
        let form = json!({ "schema": { "type": "object" } });
        self.takes_content(
            json!({ "application/json": { "schema": shape }, "application/x-www-form-urlencoded": form }),
        )
    }

    /// Takes a body of these media types.
    pub(super) fn takes_content(mut self, content: Value) -> Self {
        self.content = Some(content);
        self.refused(&[408, 413, 415])
    }

    /// Writes to the configuration: it says which version it made, and cannot where there is no database to write to.
    pub(super) fn writes(self) -> Self {
        self.with(&["config-version", "wait", "wait-timeout"]).refused(&[405, 503, 504])
    }

    /// Can be tried: then it answers 200 with what it would change.
    pub(super) fn tried(mut self) -> Self {
        let tried = shapes::tried();
        match self.answers.iter_mut().find(|(status, _)| *status == 200) {
            Some((_, answer)) => {
                let schema = &mut answer["content"]["application/json"]["schema"];
                *schema = json!({ "anyOf": [schema.take(), tried] });
                self
            }
            None => self.answers(200, tried),
        }
        .with(&["dry-run"])
    }

    /// May refuse with these, too.
    pub(super) fn refused(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// Takes these parameters, too.
    pub(super) fn with(mut self, parameters: &[&'static str]) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Belongs to this collection.
    pub(super) fn of(mut self, collection: &str) -> Self {
        self.tag = Some(collection.to_owned());
        self
    }

    /// The operation object.
    pub(super) fn finish(self, method: &str, path: &str) -> Value {
        let mut responses = Object::new();
        for (status, answer) in self.answers {
            responses.insert(status.to_string(), answer);
        }
        for status in self.refusals {
            let refusal = json!({ "$ref": format!("#/components/responses/{status}") });
            responses.entry(status.to_string()).or_insert(refusal);
        }
        let mut operation = Object::new();
        operation.insert("operationId".into(), id(method, path).into());
        operation.insert("summary".into(), self.summary.into());
        if let Some(tag) = self.tag {
            operation.insert("tags".into(), json!([tag]));
        }
        if !self.parameters.is_empty() {
            let reference = |name: &&str| json!({ "$ref": format!("#/components/parameters/{name}") });
            operation.insert("parameters".into(), self.parameters.iter().map(reference).collect());
        }
        if let Some(content) = self.content {
            operation.insert("requestBody".into(), json!({ "content": content }));
        }
        operation.insert("responses".into(), responses.into());
        Value::Object(operation)
    }
}

/// `GET /services/{services}` becomes `getServicesByServices`.
fn id(method: &str, path: &str) -> String {
    let mut id = method.to_ascii_lowercase();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let word = segment.trim_start_matches('{');
        if word.len() < segment.len() {
            id.push_str("By");
        }
        for part in word.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
            id.push_str(&part[..1].to_ascii_uppercase());
            id.push_str(&part[1..]);
        }
    }
    if path == "/" { "getRoot".to_owned() } else { id }
}
