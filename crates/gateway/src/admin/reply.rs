//! Answers of the Admin API and the status API: JSON, and Kong's sentences for what every endpoint may say.

use axum::body::Body;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::db::{DbError, LoadError, Page, Refusal};

/// What an endpoint answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: Option<Payload>,
    /// The methods there are, where the answer has to name them.
    pub allow: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// JSON, as almost always.
    Json(Value),
    /// Text of another media type.
    Text(&'static str, String),
}

impl Reply {
    /// 200 with text of a media type.
    pub fn text(media_type: &'static str, text: String) -> Self {
        Self { status: StatusCode::OK, body: Some(Payload::Text(media_type, text)), allow: None }
    }

    /// An answer with a body.
    pub fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(Payload::Json(body)), allow: None }
    }

    /// 200.
    pub fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// 201.
    pub fn created(body: Value) -> Self {
        Self::new(StatusCode::CREATED, body)
    }

    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, body: None, allow: None }
    }

    /// `{"message": ...}`
    pub fn message(status: StatusCode, message: &str) -> Self {
        Self::new(status, json!({ "message": message }))
    }

    /// 404 in Kong's words.
    pub fn not_found() -> Self {
        Self::message(StatusCode::NOT_FOUND, "Not found")
    }

    /// 405 in Kong's words.
    pub fn method_not_allowed(allow: String) -> Self {
        Self { allow: Some(allow), ..Self::message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed") }
    }

    /// The answer to OPTIONS.
    pub fn options(allow: String) -> Self {
        Self { allow: Some(allow), ..Self::empty(StatusCode::NO_CONTENT) }
    }

    /// 500 in Kong's words; the cause is for the log alone.
    pub fn unexpected() -> Self {
        Self::message(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
    }

    /// 200 with the entity, or 404.
    pub fn found(entity: Option<Value>) -> Self {
        entity.map_or_else(Self::not_found, Self::ok)
    }

    /// A page, with `next` built from the query that asks for the one after it.
    pub fn page(page: Page, next: impl FnOnce(&str) -> String) -> Self {
        let next = page.offset.as_deref().map(next);
        let mut body = json!({ "data": page.data, "next": next });
        if let (Some(body), Some(offset)) = (body.as_object_mut(), page.offset) {
            body.insert("offset".to_owned(), Value::String(offset));
        }
        Self::ok(body)
    }

    /// The HTTP answer; `head` leaves the body out, but not its length.
    pub fn into_response(self, head: bool) -> http::Response<Body> {
        let mut response = http::Response::new(Body::empty());
        *response.status_mut() = self.status;
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if let Some(body) = self.body {
            let (media_type, text) = match body {
                Payload::Json(body) => ("application/json; charset=utf-8", body.to_string()),
                Payload::Text(media_type, text) => (media_type, text),
            };
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
            if !head {
                *response.body_mut() = Body::from(text);
            }
        }
        response
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, refusal.to_json())
    }
}

impl From<DbError> for Reply {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Refused(refusal) => refusal.into(),
            error => {
                tracing::error!(%error, "the configuration was not changed");
                Self::unexpected()
            }
        }
    }
}

impl From<LoadError> for Reply {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Invalid(errors) => Refusal::declarative(errors.fields().clone()).into(),
            LoadError::Apply(error) => error.into(),
        }
    }
}
