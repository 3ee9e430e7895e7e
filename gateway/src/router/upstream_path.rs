//! The path sent to a target: the service's path joined with the request's.

use std::borrow::Cow;

/// How a service path and a request path are joined (the route's `path_handling`).
///
/// Nodes with the router flavor `traditional_compatible` join every route the first way, whatever its `path_handling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathHandling {
    /// By segments: there is exactly one slash between the two.
    #[default]
    V0,
    /// By text: `/service` and `/route` may become `/serviceroute`.
    V1,
}

/// Joins a service path with a normal request path; borrows when one of them alone is the answer.
///
/// `stripped` is the prefix that the route matched, given only if the route has `strip_path`. The answer is not yet
/// escaped: see [`escape_for_upstream`](super::escape_for_upstream).
pub fn upstream_path<'a>(
    service_path: Option<&'a str>,
    path: &'a str,
    stripped: Option<&str>,
    handling: PathHandling,
) -> Cow<'a, str> {
    let base = service_path.filter(|path| !path.is_empty()).unwrap_or("/");
    match (stripped, handling) {
        (None, _) if base == "/" => Cow::Borrowed(path),
        (None, PathHandling::V0) => append(base, path),
        (None, PathHandling::V1) => join(base, path.strip_prefix('/').unwrap_or(path)),
        (Some(prefix), PathHandling::V0) => append_rest(base, path, prefix),
        (Some(prefix), PathHandling::V1) => {
            let rest = rest_of(path, prefix);
            let base = if rest.starts_with('/') { without_slash(base) } else { base };
            join(base, rest)
        }
    }
}

fn append<'a>(base: &'a str, path: &'a str) -> Cow<'a, str> {
    match path {
        "/" => Cow::Borrowed(base),
        _ => join(without_slash(base), path),
    }
}

fn append_rest<'a>(base: &'a str, path: &'a str, prefix: &str) -> Cow<'a, str> {
    let rest = rest_of(path, prefix);
    match (rest.is_empty(), base.ends_with('/')) {
        (false, _) => join_rooted(without_slash(base), path, rest),
        (true, true) if base == "/" || path.ends_with('/') => Cow::Borrowed(base),
        (true, true) => Cow::Borrowed(without_slash(base)),
        (true, false) if path.len() > 1 && path.ends_with('/') => join(base, "/"),
        (true, false) => Cow::Borrowed(base),
    }
}

/// Joins with exactly one slash between; `rest` is the end of `path`, which may have the slash right before it.
fn join_rooted<'a>(base: &'a str, path: &'a str, rest: &'a str) -> Cow<'a, str> {
    let before = path.len() - rest.len();
    if rest.starts_with('/') {
        join(base, rest)
    } else if path[..before].ends_with('/') {
        join(base, &path[before - 1..])
    } else {
        Cow::Owned([base, "/", rest].concat())
    }
}

/// What follows the prefix. Cutting inside a segment can leave a dot segment in front, which must not get upstream.
fn rest_of<'a>(path: &'a str, prefix: &str) -> &'a str {
    let rest = path.strip_prefix(prefix).unwrap_or(path);
    match rest {
        "." | ".." => "",
        _ => rest.strip_prefix("./").or_else(|| rest.strip_prefix("../")).unwrap_or(rest),
    }
}

fn without_slash(base: &str) -> &str {
    base.strip_suffix('/').unwrap_or(base)
}

fn join<'a>(base: &'a str, rest: &'a str) -> Cow<'a, str> {
    if base.is_empty() {
        Cow::Borrowed(rest)
    } else if rest.is_empty() {
        Cow::Borrowed(base)
    } else {
        Cow::Owned([base, rest].concat())
    }
}

#[cfg(test)]
mod tests;
