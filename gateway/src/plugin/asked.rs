//! Changes of headers that a plugin asks for during a call, checked as they come.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{
    apply::{changeable, header_value},
    exchange::HeaderChange,
    instance::CallError,
};

/// Whose header is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The request's, on its way to the upstream.
    Request,
    /// That of whatever answer there will be.
    Answer,
}

/// What one call asked for so far.
#[derive(Debug, Default)]
pub(super) struct Asked {
    changes: Vec<(Side, HeaderChange)>,
    /// The first that cannot be: nothing of the call is applied.
    mistake: Option<CallError>,
}

impl Asked {
    /// All of it, unless there was a mistake.
    pub(super) fn checked(self) -> Result<Vec<(Side, HeaderChange)>, CallError> {
        match self.mistake {
            None => Ok(self.changes),
            Some(mistake) => Err(mistake),
        }
    }

    /// Adds the changes that `steps` cuts out of `text`; see `changes.headers` in the contract. At most `limit` a call.
    pub(super) fn add(&mut self, text: Bytes, steps: &[u32], names: &mut Names, limit: usize) {
        let added = if steps.len().is_multiple_of(3) {
            self.add_each(&text, steps, names, limit)
        } else {
            Err(CallError::Output(format!("{} numbers for header changes; three a change", steps.len())))
        };
        if let Err(mistake) = added {
            self.mistake.get_or_insert(mistake);
        }
    }

    /// For the phase in which the request is on its way already.
    pub(super) fn refuse_requests(&mut self) {
        if self.changes.iter().any(|(side, _)| *side == Side::Request) {
            let mistake = CallError::Output("a change to the request after it was sent".into());
            self.mistake.get_or_insert(mistake);
        }
    }

    fn add_each(&mut self, text: &Bytes, steps: &[u32], names: &mut Names, limit: usize) -> Result<(), CallError> {
        let mut at = 0_usize;
        self.changes.reserve(limit.min(steps.len() / 3));
        for step in steps.chunks_exact(3) {
            let place = self.changes.len();
            if place >= limit {
                return Err(CallError::Output(format!("more than {limit} header changes")));
            }
            let name = at..at.saturating_add(step[1] as usize);
            let value = name.end..name.end.saturating_add(step[2] as usize);
            at = value.end;
            if at > text.len() {
                return Err(CallError::Output("header changes that are longer than their text".into()));
            }
            let name = names.at(place, &text[name])?;
            self.changes.push(change(step[0], name, text.slice(value))?);
        }
        Ok(())
    }
}

fn change(kind: u32, name: HeaderName, value: Bytes) -> Result<(Side, HeaderChange), CallError> {
    let side = if kind & 4 == 0 { Side::Request } else { Side::Answer };
    let checked = |value| -> Result<HeaderValue, CallError> { header_value(name.as_str(), value) };
    let change = match kind & !4 {
        0 => HeaderChange::Set(name.clone(), checked(value)?),
        1 => HeaderChange::Append(name.clone(), checked(value)?),
        2 => HeaderChange::Remove(name),
        _ => return Err(CallError::Output(format!("a header change of the kind {kind}"))),
    };
    Ok((side, change))
}

/// Longer names are parsed each time.
const LONGEST_KEPT: usize = 64;

/// The names of an instance's last changes, by place: most plugins change the same headers in every call.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(Box<[u8]>, HeaderName)>);

impl Names {
    fn at(&mut self, place: usize, text: &[u8]) -> Result<HeaderName, CallError> {
        if let Some((known, name)) = self.0.get(place)
            && **known == *text
        {
            return Ok(name.clone());
        }
        let name = changeable(&String::from_utf8_lossy(text))?;
        if text.len() <= LONGEST_KEPT {
            let row = (text.into(), name.clone());
            let kept = self.0.len();
            match self.0.get_mut(place) {
                Some(known) => *known = row,
                None if place == kept => self.0.push(row),
                None => {}
            }
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, steps: &[u32], names: &mut Names) -> Result<Vec<(Side, HeaderChange)>, String> {
        let mut asked = Asked::default();
        asked.add(Bytes::copy_from_slice(text.as_bytes()), steps, names, 3);
        asked.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn changes_are_cut_out_of_the_text() {
        let mut names = Names::default();
        for (text, expected) in [("X-Aonex-btwoc", ["x-a", "x-b", "c"]), ("X-AoneX-Btwod", ["x-a", "x-b", "d"])] {
            let changes = asked(text, &[0, 3, 3, 5, 3, 3, 2, 1, 0], &mut names).unwrap();
            let [(Side::Request, HeaderChange::Set(a, one)), (Side::Answer, HeaderChange::Append(b, two)), last] =
                &changes[..]
            else {
                panic!("{changes:?}")
            };
            let (Side::Request, HeaderChange::Remove(c)) = last else { panic!("{last:?}") };
            assert_eq!([a.as_str(), b.as_str(), c.as_str()], expected);
            assert_eq!((one.as_bytes(), two.as_bytes()), (&b"one"[..], &b"two"[..]));
        }
    }

    #[test]
    fn one_mistake_voids_everything() {
        let cases: [(&str, &[u32], &str); 8] = [
            ("x-a1", &[0, 3, 1, 0], "three a change"),
            ("x-a1", &[0, 3, 2], "longer than their text"),
            ("x-a1", &[0, u32::MAX, u32::MAX], "longer than their text"),
            ("x-a1", &[3, 3, 1], "of the kind 3"),
            ("x-a1", &[8, 3, 1], "of the kind 8"),
            ("x a1", &[0, 3, 1], "not a header name"),
            ("x-a\n", &[0, 3, 1], "control characters"),
            ("te1", &[4, 2, 1], "belongs to the gateway"),
        ];
        for (text, steps, reason) in cases {
            let error = asked(text, steps, &mut Names::default()).unwrap_err();
            assert!(error.contains(reason), "{steps:?}: {error}");
        }
        assert!(asked("abcd", &[2, 1, 0].repeat(4), &mut Names::default()).unwrap_err().contains("more than 3"));
    }
}
