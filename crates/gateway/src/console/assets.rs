//! The built page (`console/dist`, made by `make console`), as part of the binary.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

macro_rules! asset {
    ($path:literal, $media_type:literal) => {
        Asset {
            path: concat!("/", $path),
            media_type: $media_type,
            content: include_bytes!(concat!("../../../../console/dist/", $path)),
        }
    };
}

/// The page itself: every path of it is one of its views.
static PAGE: Asset = asset!("index.html", "text/html; charset=utf-8");
static ASSETS: [Asset; 3] = [
    asset!("assets/app.js", "text/javascript; charset=utf-8"),
    asset!("assets/app.css", "text/css; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
];

/// Answers a read of a file, or of a view of the page.
pub(super) fn answer(path: &str, headers: &HeaderMap, head: bool) -> Response {
    let asset = ASSETS.iter().find(|asset| asset.path == path);
    // A view has no dot in its last segment: what has one is a file that does not exist.
    let is_view = path.starts_with("/sessions/") || !path.rsplit('/').next().is_some_and(|last| last.contains('.'));
    let Some(asset) = asset.or_else(|| is_view.then_some(&PAGE)) else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let tag = asset.tag();
    let mut response = Response::new(Body::empty());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        if !head {
            *response.body_mut() = Body::from(Bytes::from_static(asset.content));
        }
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(asset.content.len()));
    }
    // Asked for again each time, because the next version has the same names; answered 304 as a rule.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

impl Asset {
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}
