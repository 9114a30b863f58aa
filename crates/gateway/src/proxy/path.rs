//! Paths: how the path for the upstream is joined from the service's and the request's, normalised as
//! [`ai_tracing_config::path`] says.

use std::borrow::Cow;

pub use ai_tracing_config::path::normalize;

/// How a route joins paths: its `strip_path` and `path_handling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Leave out what the route's path matched.
    pub strip: bool,
    /// `path_handling: v1`: no slash is added between the service's path and the rest.
    pub v1: bool,
}

/// The path for the upstream: `base` is the service's path (`/` where it has none), `matched` how many bytes of `path`
/// the route's path matched. The rules are those of Kong's table for `path_handling`.
pub fn join<'a>(base: &str, path: &'a str, matched: usize, joining: Joining) -> Cow<'a, str> {
    let rest = if joining.strip { path.get(matched..).unwrap_or_default() } else { path.get(1..).unwrap_or_default() };
    // What follows a stripped prefix begins a path of its own: it must not climb out of the service's.
    let rest = if joining.strip { below(rest) } else { rest };
    if base == "/" {
        return match (joining.strip, rest.starts_with('/')) {
            (false, _) => Cow::Borrowed(path),
            (true, true) => Cow::Borrowed(rest),
            (true, false) => Cow::Owned(format!("/{rest}")),
        };
    }
    let bare = base.strip_suffix('/');
    Cow::Owned(if joining.v1 {
        match bare {
            Some(bare) if rest.starts_with('/') => format!("{bare}{rest}"),
            _ => format!("{base}{rest}"),
        }
    } else if joining.strip {
        match (rest, bare) {
            ("", Some(bare)) if !path.ends_with('/') => bare.to_owned(),
            ("", None) if path.len() > 1 && path.ends_with('/') => format!("{base}/"),
            ("", _) => base.to_owned(),
            (rest, bare) if rest.starts_with('/') => format!("{}{rest}", bare.unwrap_or(base)),
            (rest, Some(_)) => format!("{base}{rest}"),
            (rest, None) => format!("{base}/{rest}"),
        }
    } else {
        match bare {
            Some(bare) => format!("{bare}{path}"),
            None if path == "/" => base.to_owned(),
            None => format!("{base}{path}"),
        }
    })
}

/// `rest` without a leading dot segment.
fn below(rest: &str) -> &str {
    match rest {
        "." | ".." => "",
        rest => rest.strip_prefix("./").or_else(|| rest.strip_prefix("../")).unwrap_or(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of <https://docs.konghq.com/gateway/api/admin-oss/3.4.x/#path-handling-algorithms>: service path, route path, strip_path,
    /// path_handling, request path, upstream path.
    #[test]
    fn joins_paths_as_kong_documents() {
        let table = [
            ("/s", "/fv0", false, "v0", "/fv0/req", "/s/fv0/req"),
            ("/s", "/fv0", false, "v0", "/fv0", "/s/fv0"),
            ("/s", "/fv1", false, "v1", "/fv1/req", "/sfv1/req"),
            ("/s", "/fv1", false, "v1", "/fv1", "/sfv1"),
            ("/s", "/tv0", true, "v0", "/tv0/req", "/s/req"),
            ("/s", "/tv0", true, "v0", "/tv0", "/s"),
            ("/s", "/tv1", true, "v1", "/tv1/req", "/s/req"),
            ("/s", "/tv1", true, "v1", "/tv1", "/s"),
            ("/s", "/fv0/", false, "v0", "/fv0/req", "/s/fv0/req"),
            ("/s", "/fv0/", false, "v0", "/fv0/", "/s/fv0/"),
            ("/s", "/fv1/", false, "v1", "/fv1/req", "/sfv1/req"),
            ("/s", "/fv1/", false, "v1", "/fv1/", "/sfv1/"),
            ("/s", "/tv0/", true, "v0", "/tv0/req", "/s/req"),
            ("/s", "/tv0/", true, "v0", "/tv0/", "/s/"),
            ("/s", "/tv1/", true, "v1", "/tv1/req", "/sreq"),
            ("/s", "/tv1/", true, "v1", "/tv1/", "/s"),
            // A service without a path, and one whose path ends with a slash.
            ("/", "/tv0", true, "v0", "/tv0", "/"),
            ("/", "/tv0", true, "v0", "/tv0/req", "/req"),
            ("/", "/tv0/", true, "v0", "/tv0/req", "/req"),
            ("/", "/fv0", false, "v0", "/fv0/req", "/fv0/req"),
            ("/", "/tv1", true, "v1", "/tv1/req", "/req"),
            ("/s/", "/tv0", true, "v0", "/tv0", "/s"),
            ("/s/", "/tv0/", true, "v0", "/tv0/", "/s/"),
            ("/s/", "/tv0", true, "v0", "/tv0/req", "/s/req"),
            ("/s/", "/fv0", false, "v0", "/fv0/req", "/s/fv0/req"),
            ("/s/", "/tv1", true, "v1", "/tv1/req", "/s/req"),
            // A prefix need not end at a slash.
            ("/s", "/tv", true, "v0", "/tv../req", "/s/req"),
        ];
        for (base, route, strip, handling, request, upstream) in table {
            let joining = Joining { strip, v1: handling == "v1" };
            assert_eq!(
                join(base, request, route.len(), joining),
                upstream,
                "{base} {route} {strip} {handling} {request}"
            );
        }
    }
}
