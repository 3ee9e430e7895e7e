//! Rust literals in attributes, as JSON text.

use syn::{Expr, ExprArray, ExprLit, ExprUnary, Lit, Result, UnOp};

/// JSON of a literal, a negative number or an array of them.
pub(crate) fn json(expression: &Expr) -> Result<String> {
    match expression {
        Expr::Lit(ExprLit { lit, .. }) => scalar(lit),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => Ok(format!("-{}", json(expr)?)),
        Expr::Array(array) => {
            let items: Vec<_> = array.elems.iter().map(json).collect::<Result<_>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        _ => Err(syn::Error::new_spanned(expression, "expected a literal or an array of literals")),
    }
}

fn scalar(literal: &Lit) -> Result<String> {
    match literal {
        Lit::Str(text) => Ok(string(&text.value())),
        Lit::Int(number) => Ok(number.base10_digits().into()),
        Lit::Float(number) => Ok(number.base10_digits().into()),
        Lit::Bool(value) => Ok(value.value.to_string()),
        _ => Err(syn::Error::new_spanned(literal, "expected a string, a number or a boolean")),
    }
}

/// JSON of `[("pattern", "refusal"), …]`, as `x-kong-match-none` has it.
pub(crate) fn patterns(list: &ExprArray) -> Result<String> {
    let entry = |pair: &Expr| match pair {
        Expr::Tuple(pair) if pair.elems.len() == 2 => {
            Ok(format!("{{\"pattern\":{},\"err\":{}}}", json(&pair.elems[0])?, json(&pair.elems[1])?))
        }
        _ => Err(syn::Error::new_spanned(pair, "expected a pattern and its refusal: (\"…\", \"…\")")),
    };
    let entries: Vec<_> = list.elems.iter().map(entry).collect::<Result<_>>()?;
    Ok(format!("[{}]", entries.join(",")))
}

/// A number, perhaps negative.
pub(crate) fn number(expression: &Expr) -> Result<f64> {
    json(expression)?.parse().map_err(|_| syn::Error::new_spanned(expression, "expected a number"))
}

/// JSON of a string.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
