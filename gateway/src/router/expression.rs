//! Expressions as conditions of routes (the router flavor `expressions`): read and checked by Kong's own crate, judged
//! here, on what is borrowed from the request.

mod field;
mod key;
mod need;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use atc_router::ast::{BinaryOperator, Expression as Ast, LogicalExpression, Predicate as AstPredicate, Type, Value};
use atc_router::{parser, schema::Schema, semantics::Validate};
use regex::Regex;

pub(super) use field::{Asked, Datum};
use field::{FIELDS, Field};
pub(super) use key::{Key, Kinds};
pub(super) use need::{Alternative, Crowds, Need};

/// Longer ones are refused: what is read in linear time is still kept for every route.
const MOST_BYTES: usize = 16 << 10;
/// Parentheses in parentheses; the parser uses the stack for each.
const DEEPEST: usize = 48;

/// An expression that a request has to meet.
#[derive(Debug)]
pub struct Expression {
    text: Arc<str>,
    test: Test,
}

/// What expressions are about; each knows fields of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsystem {
    /// Requests.
    Http,
    /// Streams.
    Stream,
}

/// Why an expression means nothing. Shown to operators as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It does not parse; the text shows where.
    #[error("{0}")]
    Syntax(String),
    /// It parses and has no meaning: an unknown field, types that do not fit.
    #[error("{0}")]
    Meaning(String),
    /// Too many bytes.
    #[error("an expression has at most {MOST_BYTES} bytes")]
    TooLong,
    /// Too many parentheses in parentheses.
    #[error("an expression has at most {DEEPEST} parentheses in each other")]
    TooDeep,
}

/// A compiled expression; chains of one operator are lists, so that their length uses no stack.
#[derive(Debug)]
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Is(Predicate),
}

#[derive(Debug)]
struct Predicate {
    field: Field,
    lower: bool,
    /// One value will do; otherwise all must.
    any: bool,
    operator: BinaryOperator,
    value: Value,
}

/// What an expression noticed on its way.
#[derive(Debug, Default)]
pub(super) struct Trace<'a> {
    /// How many bytes of the path its last predicate on `http.path` matched.
    pub(super) path_length: Option<usize>,
    /// The regular expressions that matched, with what they were asked of.
    pub(super) matched: Vec<(&'a Regex, Cow<'a, str>)>,
}

static HTTP: LazyLock<Schema> = LazyLock::new(|| schema(Subsystem::Http));
static STREAM: LazyLock<Schema> = LazyLock::new(|| schema(Subsystem::Stream));

fn schema(subsystem: Subsystem) -> Schema {
    let mut schema = Schema::default();
    for (name, kind, is_http) in FIELDS {
        if subsystem == Subsystem::Http || !is_http {
            schema.add_field(name, kind());
        }
    }
    schema
}

impl Expression {
    /// Understands an expression.
    ///
    /// # Errors
    /// When it has no meaning, in Kong's words.
    pub fn parse(text: &str, subsystem: Subsystem) -> Result<Self, ExpressionError> {
        if text.len() > MOST_BYTES {
            return Err(ExpressionError::TooLong);
        }
        if depth(text) > DEEPEST {
            return Err(ExpressionError::TooDeep);
        }
        let ast = parser::parse(text).map_err(|error| ExpressionError::Syntax(error.to_string()))?;
        let schema = match subsystem {
            Subsystem::Http => &*HTTP,
            Subsystem::Stream => &*STREAM,
        };
        ast.validate(schema).map_err(ExpressionError::Meaning)?;
        Ok(Self { text: text.into(), test: Test::compile(ast)? })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether a request or a stream meets it.
    pub(super) fn holds<'a>(&'a self, asked: Asked<'_, 'a>, trace: &mut Trace<'a>) -> bool {
        self.test.holds(asked, trace)
    }

    /// Hosts, starts of the path and values of other fields: every request that meets the expression has one of them.
    pub(super) fn needs(&self) -> Vec<Alternative> {
        need::of(&self.test)
    }
}

/// How deep parentheses go; those in texts count, which errs on the safe side.
fn depth(text: &str) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => now += 1,
            b')' => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

impl Test {
    fn compile(ast: Ast) -> Result<Self, ExpressionError> {
        match ast {
            Ast::Predicate(predicate) => Predicate::compile(predicate).map(Self::Is),
            Ast::Logical(logical) => match *logical {
                LogicalExpression::Not(test) => Ok(Self::Not(Box::new(Self::compile(test)?))),
                LogicalExpression::And(left, right) => chain(left, right, true).map(Self::All),
                LogicalExpression::Or(left, right) => chain(left, right, false).map(Self::Any),
            },
        }
    }

    fn holds<'a>(&'a self, asked: Asked<'_, 'a>, trace: &mut Trace<'a>) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(asked, trace)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(asked, trace)),
            Self::Not(test) => !test.holds(asked, trace),
            Self::Is(predicate) => predicate.holds(asked, trace),
        }
    }
}

/// The members of a chain that leans to the left, in their order.
fn chain(mut left: Ast, right: Ast, is_and: bool) -> Result<Vec<Test>, ExpressionError> {
    let mut members = vec![right];
    loop {
        left = match left {
            Ast::Predicate(_) => break members.push(left),
            Ast::Logical(logical) => match *logical {
                LogicalExpression::And(next, member) if is_and => {
                    members.push(member);
                    next
                }
                LogicalExpression::Or(next, member) if !is_and => {
                    members.push(member);
                    next
                }
                other => break members.push(Ast::Logical(Box::new(other))),
            },
        };
    }
    members.into_iter().rev().map(Test::compile).collect()
}

impl Predicate {
    fn compile(ast: AstPredicate) -> Result<Self, ExpressionError> {
        let (lower, any) = ast.lhs.get_transformations();
        let unknown = || ExpressionError::Meaning("Unknown LHS field".to_owned());
        let field = Field::named(&ast.lhs.var_name).ok_or_else(unknown)?;
        Ok(Self { field, lower, any, operator: ast.op, value: ast.rhs })
    }

    /// Without a value, nothing is true of a field.
    fn holds<'a>(&'a self, asked: Asked<'_, 'a>, trace: &mut Trace<'a>) -> bool {
        let values = self.field.values(asked);
        let is_there = !values.is_empty();
        for value in values {
            if self.fits(self.cased(value), trace) == self.any {
                return self.any;
            }
        }
        is_there && !self.any
    }

    fn cased<'a>(&self, value: Datum<'a>) -> Datum<'a> {
        match value {
            Datum::Text(text) if self.lower => Datum::Text(lowered(text)),
            value => value,
        }
    }

    fn fits<'a>(&'a self, value: Datum<'a>, trace: &mut Trace<'a>) -> bool {
        match (value, &self.value) {
            (Datum::Text(text), Value::Regex(regex)) => self.fits_regex(text, regex, trace),
            (Datum::Text(text), Value::String(wanted)) => self.fits_text(&text, wanted, trace),
            (Datum::Number(number), Value::Int(wanted)) => fits_number(&self.operator, number, *wanted),
            (Datum::Address(address), Value::IpAddr(wanted)) => match self.operator {
                BinaryOperator::Equals => address == *wanted,
                _ => address != *wanted,
            },
            (Datum::Address(address), Value::IpCidr(network)) => match self.operator {
                BinaryOperator::In => network.contains(&address),
                _ => !network.contains(&address),
            },
            // Types were checked when it was parsed.
            _ => false,
        }
    }

    fn fits_regex<'a>(&'a self, text: Cow<'a, str>, regex: &'a Regex, trace: &mut Trace<'a>) -> bool {
        let Some(length) = regex.find(&text).map(|found| found.len()) else { return false };
        self.note(length, trace);
        trace.matched.push((regex, text));
        true
    }

    fn fits_text(&self, text: &str, wanted: &str, trace: &mut Trace<'_>) -> bool {
        let fits = match self.operator {
            BinaryOperator::Equals => text == wanted,
            BinaryOperator::NotEquals => return text != wanted,
            BinaryOperator::Prefix => text.starts_with(wanted),
            BinaryOperator::Postfix => text.ends_with(wanted),
            BinaryOperator::Contains => return text.contains(wanted),
            _ => false,
        };
        if fits {
            self.note(wanted.len(), trace);
        }
        fits
    }

    fn note(&self, length: usize, trace: &mut Trace<'_>) {
        if self.field == Field::Path {
            trace.path_length = Some(length);
        }
    }
}

/// What `lower()` makes of a text.
pub(super) fn lowered(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.chars().any(char::is_uppercase) { text.to_lowercase().into() } else { text }
}

fn fits_number(operator: &BinaryOperator, number: i64, wanted: i64) -> bool {
    match operator {
        BinaryOperator::Equals => number == wanted,
        BinaryOperator::NotEquals => number != wanted,
        BinaryOperator::Greater => number > wanted,
        BinaryOperator::GreaterOrEqual => number >= wanted,
        BinaryOperator::Less => number < wanted,
        BinaryOperator::LessOrEqual => number <= wanted,
        _ => false,
    }
}

/// The groups by number and by name; of several expressions with the same one, the last.
pub(super) fn captures(matched: &[(&Regex, Cow<'_, str>)]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (regex, text) in matched {
        let Some(groups) = regex.captures(text) else { continue };
        let numbered = groups.iter().enumerate().filter_map(|(at, group)| Some((at.to_string(), group?)));
        let names = regex.capture_names().flatten();
        let named = names.filter_map(|name| Some((name.to_owned(), groups.name(name)?)));
        for (name, group) in numbered.chain(named) {
            all.retain(|(known, _)| *known != name);
            all.push((name, group.as_str().to_owned()));
        }
    }
    all
}

/// The type of an address, for the table of fields.
fn address(ip: IpAddr) -> Datum<'static> {
    Datum::Address(ip.to_canonical())
}

fn text_type() -> Type {
    Type::String
}

fn number_type() -> Type {
    Type::Int
}

fn address_type() -> Type {
    Type::IpAddr
}
