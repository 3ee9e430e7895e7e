//! Values of forms are text; the schema says what they mean.

use serde_json::{Number, Value};

use super::{Field, Kind, Schema};
use crate::model::Object;

impl Schema {
    /// Turns the texts of a form into the types of their fields; an empty text is null.
    pub fn coerce(&self, object: &mut Object) {
        for (name, value) in object.iter_mut() {
            let shorthand =
                || self.shorthands.iter().map(|shorthand| &shorthand.field).find(|field| *field.name == **name);
            match self.field(name).or_else(shorthand) {
                Some(field) => field.coerce(value),
                None if value == "" => *value = Value::Null,
                None => {}
            }
        }
    }
}

impl Field {
    fn coerce(&self, value: &mut Value) {
        if value == "" {
            *value = Value::Null;
        }
        match &self.kind {
            Kind::Integer | Kind::Number => coerce_number(value),
            Kind::Boolean => match value.as_str() {
                Some("true") => *value = true.into(),
                Some("false") => *value = false.into(),
                _ => {}
            },
            Kind::Array(element) | Kind::Set(element) => {
                if !value.is_array() && !value.is_null() {
                    *value = Value::Array(vec![value.take()]);
                }
                value.as_array_mut().into_iter().flatten().for_each(|each| element.coerce(each));
            }
            Kind::Map(_, values) => {
                if let Value::Object(map) = value {
                    map.values_mut().for_each(|each| values.coerce(each));
                }
            }
            Kind::Record(schema) => {
                if let Value::Object(record) = value {
                    schema.coerce(record);
                }
            }
            Kind::String | Kind::Foreign(_) | Kind::Abstract | Kind::Any => {}
        }
    }
}

fn coerce_number(value: &mut Value) {
    let Some(text) = value.as_str() else { return };
    let number = text.parse::<i64>().ok().map(Number::from);
    let number = number.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
    if let Some(number) = number {
        *value = Value::Number(number);
    }
}

/// Writes numbers without a fraction as integers, as a gateway whose numbers are all doubles shows them.
pub(crate) fn simplify_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) =
                number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15)
            {
                // Exact: below 2^53 and whole.
                if let Ok(whole) = format!("{float:.0}").parse::<i64>() {
                    *value = whole.into();
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(simplify_numbers),
        Value::Object(object) => object.values_mut().for_each(simplify_numbers),
        _ => {}
    }
}
