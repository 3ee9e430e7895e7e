//! How long an answer counts, and when to ask again: pure, so that its tests need no clock.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Found, Kind, Known, NameError, Settings};

/// No name is asked for more often.
const LEAST: Duration = Duration::from_secs(1);
/// A name whose servers fail is asked for at least so often, as in Kong.
const LONGEST: Duration = Duration::from_secs(30);
/// A failing name leaves a line in the log at most so often.
const SILENCE: Duration = Duration::from_secs(60);

/// What a name went through.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The last answer, and until when it counts.
    found: Option<(Arc<Found>, Instant)>,
    /// Failures since.
    failures: u32,
    /// The kind that was found last.
    kind: Option<Kind>,
    told: Option<Instant>,
}

/// What there is to say of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    Nothing,
    Failing,
    /// After it was failing.
    Well,
}

impl Course {
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// What is known after this, and when to ask again.
    pub(super) fn learn(
        &mut self,
        heard: Result<Found, NameError>,
        now: Instant,
        settings: &Settings,
    ) -> (Known, Instant) {
        match heard {
            Ok(found) => {
                let until = now + settings.valid.unwrap_or(found.valid).max(LEAST);
                let found = Arc::new(found);
                (self.failures, self.kind) = (0, Some(found.kind));
                self.found = Some((found.clone(), until));
                (Known::Found(found), until)
            }
            Err(error) if error.is_final() => {
                self.failures = self.failures.saturating_add(1);
                self.found = None;
                (Known::Failed(error), now + settings.not_found.max(LEAST))
            }
            Err(error) => self.fail(error, now, settings),
        }
    }

    /// An answer that counts no more is better than none, for a while.
    fn fail(&mut self, error: NameError, now: Instant, settings: &Settings) -> (Known, Instant) {
        let wait = settings.error.max(LEAST) * 2_u32.saturating_pow(self.failures.min(8));
        let next = now + wait.min(LONGEST.max(settings.error));
        self.failures = self.failures.saturating_add(1);
        if let Some((found, until)) = &self.found {
            let end = *until + settings.stale;
            if now < end {
                return (Known::Found(found.clone()), next.min(end));
            }
        }
        self.found = None;
        (Known::Failed(error), next)
    }

    /// Whether the log should hear of the name; `failed`: this time.
    pub(super) fn word(&mut self, failed: bool, now: Instant) -> Word {
        match (failed, self.told) {
            (false, None) => Word::Nothing,
            (false, Some(_)) => {
                self.told = None;
                Word::Well
            }
            (true, Some(told)) if now < told + SILENCE => Word::Nothing,
            (true, _) => {
                self.told = Some(now);
                Word::Failing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Record;

    const SECOND: Duration = Duration::from_secs(1);

    fn found(last: u8, valid: Duration) -> Found {
        let ip = std::net::Ipv4Addr::new(10, 0, 0, last).into();
        Found::new(Kind::A, vec![Record { ip, service: None }], valid).unwrap()
    }

    fn address(known: &Known) -> Option<String> {
        match known {
            Known::Found(found) => Some(found.records[0].ip.to_string()),
            Known::Pending | Known::Failed(_) => None,
        }
    }

    #[test]
    fn an_answer_counts_for_as_long_as_it_says() {
        let cases = [
            ("as it says", 7, None, 7),
            ("at least a second", 0, None, 1),
            ("as the node says", 7, Some(90 * SECOND), 90),
        ];
        for (label, says, valid, expected) in cases {
            let (now, settings) = (Instant::now(), Settings { valid, ..Settings::default() });
            let (known, next) = Course::default().learn(Ok(found(1, says * SECOND)), now, &settings);
            assert_eq!((address(&known).as_deref(), next - now), (Some("10.0.0.1"), expected * SECOND), "{label}");
        }
    }

    #[test]
    fn an_old_answer_is_used_while_servers_fail_and_no_longer_than_it_may() {
        let (start, settings) = (Instant::now(), Settings { stale: 100 * SECOND, ..Settings::default() });
        let mut course = Course::default();
        let (_, mut now) = course.learn(Ok(found(1, 10 * SECOND)), start, &settings);
        let mut waits = Vec::new();
        while now < start + 110 * SECOND {
            let (known, next) = course.learn(Err(NameError::Timeout), now, &settings);
            assert_eq!(address(&known).as_deref(), Some("10.0.0.1"), "{:?}", now - start);
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 9], "slower and slower, and once at the end");
        let (known, next) = course.learn(Err(NameError::Timeout), now, &settings);
        assert_eq!((known, next - now), (Known::Failed(NameError::Timeout), 30 * SECOND));
        let (known, _) = course.learn(Ok(found(2, 10 * SECOND)), next, &settings);
        assert_eq!(address(&known).as_deref(), Some("10.0.0.2"));
    }

    #[test]
    fn a_name_that_is_gone_is_gone_at_once() {
        let (now, settings) = (Instant::now(), Settings::default());
        for error in [NameError::NotFound, NameError::Empty] {
            let mut course = Course::default();
            course.learn(Ok(found(1, 10 * SECOND)), now, &settings);
            let (known, next) = course.learn(Err(error.clone()), now + 10 * SECOND, &settings);
            assert_eq!((known, next - now), (Known::Failed(error), 40 * SECOND));
            let (known, _) = course.learn(Err(NameError::Timeout), next, &settings);
            assert_eq!(address(&known), None, "what was said to be gone does not come back");
        }
    }

    #[test]
    fn the_log_hears_of_a_failing_name_now_and_then() {
        let (now, mut course) = (Instant::now(), Course::default());
        let cases = [
            (0, false, Word::Nothing),
            (1, true, Word::Failing),
            (2, true, Word::Nothing),
            (60, true, Word::Nothing),
            (61, true, Word::Failing),
            (62, false, Word::Well),
            (63, false, Word::Nothing),
            (64, true, Word::Failing),
        ];
        for (after, failed, expected) in cases {
            assert_eq!(course.word(failed, now + after * SECOND), expected, "after {after} s");
        }
    }
}
