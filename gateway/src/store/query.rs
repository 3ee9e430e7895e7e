//! A statement and its values, put together for any database: both take `$1` for the first value.

use std::borrow::Cow;

use sqlx::{Arguments, AssertSqlSafe, Database, Encode, FromRow, Type, postgres::PgRow, sqlite::SqliteRow};

use super::Result;

/// A value of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Text(Option<String>),
    Integer(i64),
    Real(Option<f64>),
    Bytes(Vec<u8>),
}

/// A statement. Only literals of this room and names of its tables are pushed; all else is bound.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) values: Vec<Bound>,
}

impl Query {
    /// Begins with `text`, which binds nothing.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    /// A whole statement whose values are `$1`, `$2` and so on.
    pub(super) fn with(text: &str, values: impl IntoIterator<Item = Bound>) -> Self {
        Self { text: text.into(), values: values.into_iter().collect() }
    }

    /// Goes on with `text`.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a value.
    pub(super) fn bind(&mut self, value: impl Into<Bound>) -> &mut Self {
        self.values.push(value.into());
        self.text.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Goes on with values that have commas between them.
    pub(super) fn list(&mut self, values: impl IntoIterator<Item = Bound>) -> &mut Self {
        for (number, value) in values.into_iter().enumerate() {
            if number > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self
    }

    /// For sqlx: the text, and the values as the database takes them.
    pub(super) fn split<D: Database>(self) -> Result<(AssertSqlSafe<String>, D::Arguments), sqlx::Error>
    where
        Option<String>: for<'q> Encode<'q, D> + Type<D>,
        i64: for<'q> Encode<'q, D> + Type<D>,
        Option<f64>: for<'q> Encode<'q, D> + Type<D>,
        Vec<u8>: for<'q> Encode<'q, D> + Type<D>,
    {
        let mut arguments = D::Arguments::default();
        for value in self.values {
            match value {
                Bound::Text(text) => arguments.add(text),
                Bound::Integer(number) => arguments.add(number),
                Bound::Real(number) => arguments.add(number),
                Bound::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok((AssertSqlSafe(self.text), arguments))
    }
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<String> for Bound {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<Cow<'_, str>>> for Bound {
    fn from(text: Option<Cow<'_, str>>) -> Self {
        Self::Text(text.map(Cow::into_owned))
    }
}

impl From<i64> for Bound {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Bound {
    fn from(number: f64) -> Self {
        Self::Real(Some(number))
    }
}

impl From<Option<f64>> for Bound {
    fn from(number: Option<f64>) -> Self {
        Self::Real(number)
    }
}

impl From<&[u8]> for Bound {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// A row's columns as a tuple.
pub(super) trait Shape:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

impl<T> Shape for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static {}
