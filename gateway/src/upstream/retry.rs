//! Whether a request that got no answer may be sent again.

use http::Method;

use super::SendError;

/// How a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Not at all.
    Never,
    /// As one of the service's retries.
    Counted,
    /// At once and for free: an idle connection had died, which says nothing about the target.
    Free,
}

/// Whether a request may be sent again after this. `is_replayable`: its body is at hand still.
///
/// POST, PATCH and LOCK are not idempotent: once bytes of them may have reached the target, they are not sent again.
pub fn may_retry(error: &SendError, method: &Method, is_replayable: bool) -> Again {
    let is_safe_again = !matches!(method.as_str(), "POST" | "PATCH" | "LOCK");
    match error {
        SendError::Resolve(..) | SendError::Connect(..) | SendError::ConnectTimeout(..) => Again::Counted,
        SendError::Broken { sent, reused, .. } if is_replayable && (is_safe_again || !sent) => {
            if *reused {
                Again::Free
            } else {
                Again::Counted
            }
        }
        SendError::WriteTimeout(..) | SendError::ReadTimeout(..) if is_replayable && is_safe_again => Again::Counted,
        SendError::Broken { .. }
        | SendError::WriteTimeout(..)
        | SendError::ReadTimeout(..)
        | SendError::Invalid(..)
        | SendError::Ambiguous(..)
        | SendError::Upload(_) => Again::Never,
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use super::*;

    #[test]
    fn only_what_cannot_be_done_twice_is_not_sent_twice() {
        let address = "127.0.0.1:1".parse().unwrap();
        let refused = SendError::Connect(address, io::ErrorKind::ConnectionRefused.into());
        let late = SendError::ReadTimeout(address, Duration::from_secs(1));
        let cases = [
            ("a refused GET", &refused, Method::GET, true, Again::Counted),
            ("a refused POST", &refused, Method::POST, true, Again::Counted),
            ("a late GET", &late, Method::GET, true, Again::Counted),
            ("a late POST", &late, Method::POST, true, Again::Never),
            ("a late PATCH", &late, Method::PATCH, true, Again::Never),
            ("a late PUT whose body is gone", &late, Method::PUT, false, Again::Never),
        ];
        for (label, error, method, is_replayable, expected) in cases {
            assert_eq!(may_retry(error, &method, is_replayable), expected, "{label}");
        }
    }
}
