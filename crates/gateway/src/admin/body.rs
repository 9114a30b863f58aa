//! Request bodies: JSON, forms and, for whole configurations, YAML.

use ai_tracing_config::{Schema, form};
use axum::body::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::multipart;
use super::reply::Reply;

/// Fields of a form; as many as Kong takes.
const MAX_FIELDS: usize = 1000;

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A JSON object.
    Json(Map<String, Value>),
    /// The fields of a form; no body at all is a form without fields.
    Form(Vec<(String, String)>),
    /// A YAML document.
    Yaml(String),
}

impl Body {
    /// Decodes a body by its content type. `yaml`: whether the endpoint takes YAML.
    pub fn parse(headers: &HeaderMap, body: &Bytes, yaml: bool) -> Result<Self, Reply> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let content_type = types.next().map(|value| value.to_str().unwrap_or_default());
        if types.next().is_some() {
            return Err(Reply::message(StatusCode::BAD_REQUEST, "Multiple Content-Type headers not allowed"));
        }
        let media_type = content_type.and_then(|value| value.split(';').next()).map(|value| value.trim());
        match media_type.map(str::to_ascii_lowercase).as_deref() {
            None if body.is_empty() => Ok(Self::Form(Vec::new())),
            Some("application/json") => {
                let json = serde_json::from_slice(body).map_err(|_| ());
                json.map(Self::Json).map_err(|()| bad_request("Cannot parse JSON body"))
            }
            Some("application/x-www-form-urlencoded") => {
                Self::form(form_urlencoded::parse(body).map(|(name, value)| (name.into(), value.into())))
            }
            Some("multipart/form-data") => {
                let parts = multipart::parts(content_type.unwrap_or_default(), body);
                let parts = parts.ok_or_else(|| bad_request("Cannot parse multipart body"))?;
                Self::form(parts.into_iter().map(|(name, part)| (name, String::from_utf8_lossy(part).into())))
            }
            Some("application/yaml" | "text/yaml") if yaml => {
                let text = std::str::from_utf8(body).map_err(|_| bad_request("Cannot parse YAML body"))?;
                Ok(Self::Yaml(text.to_owned()))
            }
            _ => Err(Reply::message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")),
        }
    }

    fn form(fields: impl Iterator<Item = (String, String)>) -> Result<Self, Reply> {
        let fields: Vec<_> = fields.take(MAX_FIELDS + 1).collect();
        if fields.len() > MAX_FIELDS {
            return Err(bad_request("Too many arguments"));
        }
        Ok(Self::Form(fields))
    }

    /// The entity in it. `current` is the one to be patched, if any.
    pub fn into_entity(self, schema: &Schema, current: Option<&Value>) -> Value {
        match self {
            Self::Json(fields) => Value::Object(fields),
            Self::Form(fields) => form::decode(&fields, schema, current),
            Self::Yaml(_) => Value::Null, // no endpoint of entities takes it
        }
    }
}

fn bad_request(message: &str) -> Reply {
    Reply::message(StatusCode::BAD_REQUEST, message)
}
