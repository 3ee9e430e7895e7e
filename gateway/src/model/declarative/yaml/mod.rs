//! YAML to JSON values and back, as Kong's loader reads it: YAML 1.1 truth values and numbers, anchors, merge keys. What a
//! text may hold is bounded, so that no short one becomes a large value.

mod emit;
mod scalar;

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::Value;

use crate::model::Object;

pub use emit::to_text;

/// Levels of nesting.
const DEEPEST: usize = 100;
/// Nodes that aliases may add to those of the text.
const MOST_COPIES: usize = 500_000;
/// Bytes of text that aliases may add.
const MOST_COPIED_BYTES: usize = 32 << 20;

/// Why a text is no YAML that can be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {problem}")]
pub struct YamlError {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

/// The only document of a text.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    // A byte order mark is no content.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), cost: Cost::default() };
    reader.document()
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Anchored>,
    /// What aliases have added so far.
    cost: Cost,
}

/// The value of an anchor.
struct Anchored {
    value: Value,
    cost: Cost,
}

#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Cost {
    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self { nodes: 1, bytes: text.len(), depth: 1 },
            Value::Array(elements) => Self::around(elements.iter().map(Self::of)),
            Value::Object(object) => Self::around(object.iter().map(|(key, value)| {
                let inside = Self::of(value);
                Self { bytes: inside.bytes + key.len(), ..inside }
            })),
            _ => Self { nodes: 1, bytes: 0, depth: 1 },
        }
    }

    fn around(parts: impl Iterator<Item = Self>) -> Self {
        let sum = parts.fold(Self { nodes: 1, bytes: 0, depth: 0 }, |sum, part| Self {
            nodes: sum.nodes + part.nodes,
            bytes: sum.bytes + part.bytes,
            depth: sum.depth.max(part.depth),
        });
        Self { depth: sum.depth + 1, ..sum }
    }
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value, YamlError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(Value::Null),
                (Event::DocumentStart(_), _) => break,
                _ => {}
            }
        }
        let (event, span) = self.next()?;
        let value = self.node(event, span, 0)?;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(value),
                (Event::DocumentStart(_), span) => return Err(at(span.start, "there is a second document")),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.events.next_event() {
            Some(event) => event.map_err(|error| from_scanner(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, YamlError> {
        if depth > DEEPEST {
            return Err(at(span.start, &format!("it is nested deeper than {DEEPEST} levels")));
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar_value(text, style, tag.as_deref(), span)?),
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", span)?;
                (anchor, self.sequence(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", span)?;
                (anchor, self.mapping(depth)?)
            }
            _ => return Err(at(span.start, "a value is missing")),
        };
        if anchor != 0 {
            let cost = Cost::of(&value);
            self.anchors.insert(anchor, Anchored { value: value.clone(), cost });
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Value, YamlError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(at(span.start, "an alias stands inside of its own anchor"));
        };
        let cost = anchored.cost;
        self.cost.nodes += cost.nodes;
        self.cost.bytes += cost.bytes;
        if self.cost.nodes > MOST_COPIES || self.cost.bytes > MOST_COPIED_BYTES {
            return Err(at(span.start, "its aliases stand for too much"));
        }
        if depth + cost.depth > DEEPEST {
            return Err(at(span.start, &format!("it is nested deeper than {DEEPEST} levels")));
        }
        Ok(anchored.value.clone())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut elements = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(elements)),
                (event, span) => elements.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let (mut object, mut merged) = (Object::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let (key, is_merge) = self.key(event, span)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            if is_merge {
                merged.extend(mergeable(value, value_span)?);
            } else if object.contains_key(&key) {
                return Err(at(span.start, &format!("the key '{key}' stands twice in one map")));
            } else {
                object.insert(key, value);
            }
        }
        // What the map says itself wins, then the earlier of the merged ones.
        for (key, value) in merged.into_iter().flatten() {
            object.entry(key).or_insert(value);
        }
        Ok(Value::Object(object))
    }

    fn key(&mut self, event: Event<'a>, span: Span) -> Result<(String, bool), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                if anchor != 0 {
                    let (value, cost) = (Value::from(&*text), Cost { nodes: 1, bytes: text.len(), depth: 1 });
                    self.anchors.insert(anchor, Anchored { value, cost });
                }
                let is_merge = style == ScalarStyle::Plain && text == "<<";
                Ok((text.into_owned(), is_merge))
            }
            Event::Alias(anchor) => match self.alias(anchor, span, 0)? {
                Value::String(text) => Ok((text, false)),
                _ => Err(at(span.start, "a key must be text")),
            },
            _ => Err(at(span.start, "a key must be text")),
        }
    }
}

/// What stands behind `<<`: a map, or a list of maps.
fn mergeable(value: Value, span: Span) -> Result<Vec<Object>, YamlError> {
    let wrong = || at(span.start, "only maps can be merged");
    match value {
        Value::Object(object) => Ok(vec![object]),
        Value::Array(elements) => {
            let object = |element| if let Value::Object(object) = element { Ok(object) } else { Err(wrong()) };
            elements.into_iter().map(object).collect()
        }
        _ => Err(wrong()),
    }
}

fn scalar_value(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, YamlError> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(scalar::resolve(&text)),
        None => Ok(Value::String(text.into_owned())),
        Some(tag) if format!("{}{}", tag.handle, tag.suffix) == "!" => Ok(Value::String(text.into_owned())),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => Ok(Value::String(text.into_owned())),
            "null" | "bool" | "int" | "float" => Ok(scalar::resolve(&text)),
            _ => Err(unknown_tag(tag, span)),
        },
        Some(tag) => Err(unknown_tag(tag, span)),
    }
}

fn collection_tag(tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), YamlError> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => Err(unknown_tag(tag, span)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, span: Span) -> YamlError {
    at(span.start, &format!("the tag '{}{}' has no meaning here", tag.handle, tag.suffix))
}

fn at(marker: Marker, problem: &str) -> YamlError {
    YamlError { line: marker.line(), column: marker.col() + 1, problem: problem.to_owned() }
}

fn from_scanner(error: &ScanError) -> YamlError {
    at(*error.marker(), error.info())
}

#[cfg(test)]
mod tests;
