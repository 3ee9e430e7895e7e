//! Changes of headers that a plugin asks for during a call, checked as they come.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{
    apply::{changeable, header_value},
    bindings::sandgate::plugin::types::{RequestDecision, ResponseDecision},
    exchange::HeaderChange,
    instance::CallError,
    limits::Limits,
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
    /// How many of them are for the request.
    requests: usize,
    /// Bytes of their texts, which they keep alive.
    bytes: usize,
    /// The first that cannot be: nothing of the call is applied.
    mistake: Option<CallError>,
    // Rare, and this value is moved with every call.
    request: Option<Box<RequestDecision>>,
    response: Option<Box<ResponseDecision>>,
}

impl Asked {
    /// All header changes, unless there was a mistake.
    pub(super) fn checked(self) -> Result<Vec<(Side, HeaderChange)>, CallError> {
        match self.mistake {
            None => Ok(self.changes),
            Some(mistake) => Err(mistake),
        }
    }

    /// Adds the changes that `steps` cuts out of `text`; see `changes.headers` in the contract.
    pub(super) fn add(&mut self, text: Bytes, steps: &[u32], names: &mut Names, limits: &Limits) {
        if self.mistake.is_some() {
            return;
        }
        self.bytes = self.bytes.saturating_add(text.len());
        let added = if self.bytes > limits.output {
            Err(CallError::Output(format!("header changes of more than {} bytes", limits.output)))
        } else if steps.len().is_multiple_of(3) {
            self.add_each(&text, steps, names, limits.headers)
        } else {
            Err(CallError::Output(format!("{} numbers for header changes; three a change", steps.len())))
        };
        if let Err(mistake) = added {
            self.fail(mistake);
        }
    }

    /// For the phase in which the request is on its way already.
    pub(super) fn refuse_requests(&mut self) {
        if self.requests > 0 {
            self.fail(CallError::Output("a change to the request after it was sent".into()));
        }
    }

    /// What becomes of the request; the last decision counts.
    pub(super) fn decide_request(&mut self, decision: RequestDecision) {
        self.request = Some(Box::new(decision));
    }

    /// What becomes of the response; the last decision counts.
    pub(super) fn decide_response(&mut self, decision: ResponseDecision) {
        self.response = Some(Box::new(decision));
    }

    /// Takes what was decided.
    pub(super) fn request_decision(&mut self) -> RequestDecision {
        self.request.take().map_or(RequestDecision::Next, |decision| *decision)
    }

    /// Takes what was decided.
    pub(super) fn response_decision(&mut self) -> ResponseDecision {
        self.response.take().map_or(ResponseDecision::Next, |decision| *decision)
    }

    fn fail(&mut self, mistake: CallError) {
        self.changes = Vec::new();
        self.requests = 0;
        self.mistake.get_or_insert(mistake);
    }

    fn add_each(&mut self, text: &Bytes, steps: &[u32], names: &mut Names, limit: usize) -> Result<(), CallError> {
        let mut at = 0_usize;
        self.changes.reserve((2 * limit).min(steps.len() / 3));
        for step in steps.chunks_exact(3) {
            let place = self.changes.len();
            let name = at..at.saturating_add(step[1] as usize);
            let value = name.end..name.end.saturating_add(step[2] as usize);
            at = value.end;
            if at > text.len() {
                return Err(CallError::Output("header changes that are longer than their text".into()));
            }
            let (side, change) = change(step[0], names.at(place, &text[name])?, text.slice(value))?;
            self.requests += usize::from(side == Side::Request);
            if self.requests > limit || place + 1 - self.requests > limit {
                return Err(CallError::Output(format!("more than {limit} header changes")));
            }
            self.changes.push((side, change));
        }
        // What no change uses would only be kept alive by those that there are.
        if at < text.len() {
            return Err(CallError::Output("header changes that are shorter than their text".into()));
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
        2 if value.is_empty() => HeaderChange::Remove(name),
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
        let limits = Limits { headers: 3, output: 64, ..Limits::default() };
        asked.add(Bytes::copy_from_slice(text.as_bytes()), steps, names, &limits);
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
        let cases: [(&str, &[u32], &str); 11] = [
            ("x-a1", &[0, 3, 1, 0], "three a change"),
            ("x-a1", &[0, 3, 2], "longer than their text"),
            ("x-a1", &[0, u32::MAX, u32::MAX], "longer than their text"),
            ("x-a1", &[3, 3, 1], "of the kind 3"),
            ("x-a1", &[8, 3, 1], "of the kind 8"),
            ("x a1", &[0, 3, 1], "not a header name"),
            ("x-a\n", &[0, 3, 1], "control characters"),
            ("te1", &[4, 2, 1], "belongs to the gateway"),
            ("x-a1", &[0, 1, 1], "shorter than their text"),
            ("x-a1", &[2, 3, 1], "of the kind 2"),
            (&"a".repeat(65), &[2, 65, 0], "more than 64 bytes"),
        ];
        for (text, steps, reason) in cases {
            let error = asked(text, steps, &mut Names::default()).unwrap_err();
            assert!(error.contains(reason), "{steps:?}: {error}");
        }
    }

    #[test]
    fn each_side_has_its_own_number_of_headers() {
        for (steps, fits) in [
            ([[2, 1, 0].repeat(3), [6, 1, 0].repeat(3)].concat(), true),
            ([2, 1, 0].repeat(4), false),
            ([6, 1, 0].repeat(4), false),
        ] {
            let answer = asked(&"a".repeat(steps.len() / 3), &steps, &mut Names::default());
            assert_eq!(answer.is_ok(), fits, "{steps:?}: {answer:?}");
        }
    }

    #[test]
    fn a_mistake_stays() {
        let (mut asked, limits) = (Asked::default(), Limits::default());
        for (text, kind) in [("x-a1", 0), ("x-a1", 3), ("x-a1", 0)] {
            asked.add(Bytes::copy_from_slice(text.as_bytes()), &[kind, 3, 1], &mut Names::default(), &limits);
        }
        assert!(asked.checked().is_err());
    }
}
