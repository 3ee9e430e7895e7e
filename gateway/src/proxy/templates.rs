//! Errors in the operator's words (Kong's `error_template_*`).

use std::{fs::File, io, io::Read, path::PathBuf};

use crate::config::{ErrorFormat, ErrorPages};

/// Bytes of a template, at most.
const LONGEST: u64 = 1 << 20;

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read, or is no text.
    #[error("the error template {0} cannot be read")]
    Read(PathBuf, #[source] io::Error),
    /// The file is longer than 1 MiB.
    #[error("the error template {0} is longer than 1 MiB")]
    Length(PathBuf),
    /// A `%` that stands for nothing, or too few or too many that stand for something.
    #[error(
        "the error template {0} has no place for the message: `%s` stands for it, a second `%s` for the id of the \
         request, `%%` for a percent sign, and nothing else begins with one"
    )]
    Places(PathBuf),
}

/// How errors are worded on this node.
#[derive(Debug, Clone, Default)]
pub struct ErrorWords {
    /// For clients that say neither what they accept nor what they send.
    pub(super) default_format: ErrorFormat,
    templates: Vec<(ErrorFormat, Template)>,
}

impl ErrorWords {
    /// Reads the files.
    ///
    /// # Errors
    /// The first file that is none, is too long, or has no place for the message.
    pub fn read(pages: &ErrorPages) -> Result<Self, TemplateError> {
        let templates = pages.templates.iter().map(|(format, path)| {
            let mut text = String::new();
            let file = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
            file.map_err(|error| TemplateError::Read(path.clone(), error))?;
            if text.len() as u64 > LONGEST {
                return Err(TemplateError::Length(path.clone()));
            }
            Ok((*format, Template::parse(&text).ok_or_else(|| TemplateError::Places(path.clone()))?))
        });
        Ok(Self { default_format: pages.default_format, templates: templates.collect::<Result<_, _>>()? })
    }

    /// The body of an error, if it is not the gateway's own. The message is written as the format wants it.
    pub(super) fn fill(&self, format: ErrorFormat, message: &str, id: &str) -> Option<String> {
        let (_, template) = self.templates.iter().find(|(known, _)| *known == format)?;
        Some(template.fill(message, id))
    }
}

/// The text before the message, between it and the id, and behind that.
#[derive(Debug, Clone)]
struct Template(Vec<String>);

impl Template {
    fn parse(text: &str) -> Option<Self> {
        let (mut pieces, mut piece) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            piece.push_str(before);
            if let Some(after) = after.strip_prefix('s') {
                pieces.push(std::mem::take(&mut piece));
                rest = after;
            } else {
                piece.push('%');
                rest = after.strip_prefix('%')?;
            }
        }
        pieces.push(piece + rest);
        (2..=3).contains(&pieces.len()).then_some(Self(pieces))
    }

    fn fill(&self, message: &str, id: &str) -> String {
        let Self(pieces) = self;
        let mut filled = pieces[0].clone();
        for (value, piece) in [message, id].into_iter().zip(&pieces[1..]) {
            filled.push_str(value);
            filled.push_str(piece);
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_order() {
        let fill = |text: &str| Template::parse(text).map(|template| template.fill("no", "7"));
        assert_eq!(fill("a %s b %s c").as_deref(), Some("a no b 7 c"));
        assert_eq!(fill("%s").as_deref(), Some("no"));
        assert_eq!(fill("100%% %s").as_deref(), Some("100% no"));
        for wrong in ["", "nothing", "%s %s %s", "%d %s", "%s %", "50% off %s"] {
            assert_eq!(fill(wrong), None, "{wrong}");
        }
    }
}
