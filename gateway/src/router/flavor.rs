//! What routes may say, and how ties between them are broken.

use std::str::FromStr;

/// Kong's `router_flavor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavor {
    /// Of two routes that are equal in all else, the older one wins; `path_handling` counts.
    Traditional,
    /// Of two routes that are equal in all else, the one with the larger id wins.
    #[default]
    TraditionalCompatible,
    /// Routes may have an expression in place of all other conditions.
    Expressions,
}

impl Flavor {
    /// Kong's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traditional => "traditional",
            Self::TraditionalCompatible => "traditional_compatible",
            Self::Expressions => "expressions",
        }
    }
}

/// Not a flavor.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of traditional, traditional_compatible, expressions")]
pub struct UnknownFlavor(String);

impl FromStr for Flavor {
    type Err = UnknownFlavor;

    fn from_str(text: &str) -> Result<Self, UnknownFlavor> {
        let all = [Self::Traditional, Self::TraditionalCompatible, Self::Expressions];
        all.into_iter().find(|flavor| flavor.as_str() == text).ok_or_else(|| UnknownFlavor(text.to_owned()))
    }
}
