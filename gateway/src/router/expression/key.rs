//! Values that every request has which meets an expression, as numbers: rules are filed under one of them, and found by
//! those that a request has. Two values may have one number; what is found is judged in any case.

use std::hash::{DefaultHasher, Hash, Hasher};

use atc_router::ast::{BinaryOperator, Value};

use super::field::{Field, segments};
use super::{Asked, Datum, Predicate, lowered};

/// Segments of the path further behind are not looked at: a request may have thousands.
const MOST_SEGMENTS: usize = 32;

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::router) struct Key {
    pub(in crate::router) kind: Kind,
    pub(in crate::router) number: u64,
}

/// Of which field, and whether in lower case. Of two that are as good, the earlier is taken: it tells more requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::router) struct Kind {
    part: Part,
    lower: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Sni,
    Header,
    Argument,
    Segment,
    HostEnd,
    HostStart,
    SniEnd,
    SniStart,
    Source,
    DestinationPort,
    Destination,
    SourcePort,
    Method,
}

const PARTS: [Part; 13] = [
    Part::Sni,
    Part::Header,
    Part::Argument,
    Part::Segment,
    Part::HostEnd,
    Part::HostStart,
    Part::SniEnd,
    Part::SniStart,
    Part::Source,
    Part::DestinationPort,
    Part::Destination,
    Part::SourcePort,
    Part::Method,
];

/// How many keys there are of each kind.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::router) struct Kinds([u32; 2 * PARTS.len()]);

impl Kinds {
    pub(in crate::router) fn add(&mut self, kind: Kind) {
        self.0[kind.at()] += 1;
    }

    pub(in crate::router) fn remove(&mut self, kind: Kind) {
        self.0[kind.at()] -= 1;
    }

    /// Those of which there are any.
    pub(in crate::router) fn present(&self) -> impl Iterator<Item = Kind> {
        let all = PARTS.into_iter().flat_map(|part| [false, true].map(|lower| Kind { part, lower }));
        all.filter(|kind| self.0[kind.at()] > 0)
    }
}

impl Kind {
    fn at(self) -> usize {
        2 * self.part as usize + usize::from(self.lower)
    }

    fn key(self, value: impl Hash) -> Key {
        let mut hasher = DefaultHasher::new();
        (self, value).hash(&mut hasher);
        Key { kind: self, number: hasher.finish() }
    }

    /// Calls `take` with each key of this kind that is in a request or a stream.
    pub(in crate::router) fn each_of(self, asked: Asked<'_, '_>, mut take: impl FnMut(Key)) {
        match (self.part, asked) {
            (Part::Header, Asked::Http(query)) => {
                for (name, value) in query.headers {
                    self.take_named(plain_name(name.as_str()), value.as_bytes(), &mut take);
                }
            }
            (Part::Argument, Asked::Http(query)) => {
                for (name, value) in form_urlencoded::parse(query.arguments.unwrap_or_default().as_bytes()) {
                    self.take_named(name.bytes(), value.as_bytes(), &mut take);
                }
            }
            (Part::Segment, Asked::Http(query)) => {
                for (at, segment) in segments(query.path).take(MOST_SEGMENTS).enumerate() {
                    take(self.key((at, &*self.cased(segment.into()))));
                }
            }
            _ => self.part.field().values(asked).into_iter().for_each(|value| self.take_value(value, &mut take)),
        }
    }

    fn take_named(self, name: impl Iterator<Item = u8>, value: &[u8], take: &mut impl FnMut(Key)) {
        let value = self.cased(String::from_utf8_lossy(value));
        take(self.named(name, &value));
    }

    fn named(self, name: impl Iterator<Item = u8>, value: &str) -> Key {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        name.for_each(|byte| hasher.write_u8(byte));
        value.hash(&mut hasher);
        Key { kind: self, number: hasher.finish() }
    }

    fn take_value(self, value: Datum<'_>, take: &mut impl FnMut(Key)) {
        match value {
            Datum::Number(number) => take(self.key(number)),
            Datum::Address(address) => take(self.key(address)),
            Datum::Text(text) => {
                let text = self.cased(text);
                let dots = text.match_indices('.').map(|(at, _)| at);
                match self.part {
                    Part::HostEnd | Part::SniEnd => dots.for_each(|at| take(self.key(&text[at..]))),
                    Part::HostStart | Part::SniStart => dots.for_each(|at| take(self.key(&text[..=at]))),
                    _ => take(self.key(&*text)),
                }
            }
        }
    }

    fn cased(self, text: std::borrow::Cow<'_, str>) -> std::borrow::Cow<'_, str> {
        if self.lower { lowered(text) } else { text }
    }
}

impl Part {
    /// The field that it is the value of, or a part of it; headers, arguments and segments are of many.
    fn field(self) -> Field {
        match self {
            Self::Sni | Self::SniEnd | Self::SniStart => Field::Sni,
            Self::HostEnd | Self::HostStart => Field::Host,
            Self::Source => Field::SourceAddress,
            Self::SourcePort => Field::SourcePort,
            Self::Destination => Field::DestinationAddress,
            Self::DestinationPort => Field::DestinationPort,
            Self::Method => Field::Method,
            Self::Header | Self::Argument | Self::Segment => Field::Absent,
        }
    }
}

/// As conditions have header names.
fn plain_name(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte })
}

/// The key of which a request has one of the same kind and number if the predicate holds: one value at least fits, whether
/// all have to or any.
pub(super) fn of(predicate: &Predicate) -> Option<Key> {
    let kind = |part| Kind { part, lower: predicate.lower };
    match (&predicate.operator, &predicate.value) {
        (BinaryOperator::Equals, Value::String(text)) => match &predicate.field {
            Field::Sni => Some(kind(Part::Sni).key(&**text)),
            Field::Method => Some(kind(Part::Method).key(&**text)),
            Field::Header(name) => Some(kind(Part::Header).named(name.bytes(), text)),
            Field::Argument(name) => Some(kind(Part::Argument).named(name.bytes(), text)),
            Field::Segments { first, last } => segment(kind(Part::Segment), (*first, *last), text),
            _ => None,
        },
        (BinaryOperator::Postfix, Value::String(end)) if end.starts_with('.') => match &predicate.field {
            Field::Host => Some(kind(Part::HostEnd).key(&**end)),
            Field::Sni => Some(kind(Part::SniEnd).key(&**end)),
            _ => None,
        },
        (BinaryOperator::Prefix, Value::String(start)) if start.ends_with('.') => match &predicate.field {
            Field::Host => Some(kind(Part::HostStart).key(&**start)),
            Field::Sni => Some(kind(Part::SniStart).key(&**start)),
            _ => None,
        },
        (BinaryOperator::Equals, Value::Int(number)) => match &predicate.field {
            Field::SourcePort => Some(kind(Part::SourcePort).key(*number)),
            Field::DestinationPort => Some(kind(Part::DestinationPort).key(*number)),
            _ => None,
        },
        (BinaryOperator::Equals, Value::IpAddr(address)) => match &predicate.field {
            Field::SourceAddress => Some(kind(Part::Source).key(*address)),
            Field::DestinationAddress => Some(kind(Part::Destination).key(*address)),
            _ => None,
        },
        _ => None,
    }
}

/// Of several segments, the first. What a letter is in lower case can depend on those around it.
fn segment(kind: Kind, (first, last): (usize, usize), text: &str) -> Option<Key> {
    let text = if first == last { text } else { text.split('/').next().unwrap_or_default() };
    let is_known = first < MOST_SEGMENTS && (first == last || !kind.lower);
    is_known.then(|| kind.key((first, text)))
}
