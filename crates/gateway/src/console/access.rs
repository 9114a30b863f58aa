//! Who may look: anybody on loopback, elsewhere who knows the token.
//!
//! A browser gives the token once and gets a cookie that scripts cannot read and other sites cannot send; the cookie is
//! drawn at start and says nothing about the token. Programs send `Authorization: Bearer TOKEN`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;

use crate::admin::reply::Reply;

/// Name of the cookie.
const COOKIE: &str = "ai_tracing_console";
/// Characters that a token has at least: enough that guessing is hopeless.
const SHORTEST: usize = 16;
/// Bytes that a login has at most.
const MAX_BODY: usize = 4 << 10;
/// Time for a login's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Who may look.
pub struct Access(Option<Secret>);

struct Secret {
    token: String,
    /// The cookie's value.
    session: String,
}

impl Access {
    /// Access for a console that listens on `address`; `session` is 128 random bits.
    ///
    /// # Errors
    /// It can be reached from other machines and there is no token, or the token is too short.
    pub fn new(token: Option<&str>, address: SocketAddr, session: u128) -> Result<Self> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            ensure!(
                address.ip().is_loopback(),
                "--console-listen: {address} can be reached from other machines: set AI_TRACING_CONSOLE_TOKEN to a secret \
                 of {SHORTEST} characters or more, listen on 127.0.0.1, or turn the console off"
            );
            return Ok(Self(None));
        };
        ensure!(token.chars().count() >= SHORTEST, "--console-token: needs {SHORTEST} characters or more");
        Ok(Self(Some(Secret { token: token.to_owned(), session: format!("{session:032x}") })))
    }

    /// Refuses whoever has not shown the token.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Reply> {
        let Some(secret) = &self.0 else { return Ok(()) };
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let knows_token = bearer.is_some_and(|token| same(token.trim(), &secret.token));
        if knows_token || cookies(headers).any(|session| same(session, &secret.session)) {
            return Ok(());
        }
        Err(Reply::message(StatusCode::UNAUTHORIZED, "Sign in with the console's token"))
    }

    /// Refuses a write that another site's page may have asked a browser for: what is not sent as JSON, which takes a
    /// browser's question beforehand that is never answered, and what the browser itself says comes from elsewhere.
    pub fn check_write(&self, method: &Method, headers: &HeaderMap) -> Result<(), Reply> {
        only_post(method)?;
        let value = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
        if value(HeaderName::from_static("sec-fetch-site")).is_some_and(|site| site != "same-origin") {
            return Err(Reply::message(StatusCode::FORBIDDEN, "Requests from other sites' pages are not allowed"));
        }
        let media_type = value(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
        if media_type.trim().eq_ignore_ascii_case("application/json") {
            return Ok(());
        }
        Err(Reply::message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Expected Content-Type: application/json"))
    }

    /// POST `/api/v1/login` with `{"token": "..."}`.
    pub async fn login(&self, method: &Method, body: Body) -> Result<Response, Reply> {
        #[derive(Deserialize)]
        struct Login {
            token: String,
        }
        only_post(method)?;
        let read = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await;
        let login = read.ok().and_then(Result::ok).and_then(|body| serde_json::from_slice::<Login>(&body).ok());
        let Some(login) = login else {
            return Err(Reply::message(StatusCode::BAD_REQUEST, "Expected a JSON object with a token"));
        };
        match &self.0 {
            Some(secret) if same(&login.token, &secret.token) => Ok(with_cookie(&secret.session, "")),
            Some(_) => Err(Reply::message(StatusCode::FORBIDDEN, "Wrong token")),
            None => Ok(Reply::empty(StatusCode::NO_CONTENT).into_response(false)),
        }
    }

    /// POST `/api/v1/logout`.
    pub fn logout(&self, method: &Method) -> Result<Response, Reply> {
        only_post(method)?;
        Ok(with_cookie("", "; Max-Age=0"))
    }

    /// Whether there is a token.
    pub fn has_token(&self) -> bool {
        self.0.is_some()
    }
}

fn only_post(method: &Method) -> Result<(), Reply> {
    if method == Method::POST { Ok(()) } else { Err(Reply::method_not_allowed("POST".to_owned())) }
}

fn with_cookie(value: &str, more: &str) -> Response {
    let mut response = Reply::empty(StatusCode::NO_CONTENT).into_response(false);
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{more}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The values of our cookie: a browser may send several.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// Compares in a time that tells only the length.
fn same(given: &str, secret: &str) -> bool {
    let (given, secret) = (given.as_bytes(), secret.as_bytes());
    let differences = given.iter().zip(secret).fold(0, |differences, (a, b)| differences | (a ^ b));
    given.len() == secret.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(token: Option<&str>, address: &str) -> Result<Access> {
        Access::new(token, address.parse().unwrap(), 7)
    }

    #[test]
    fn other_machines_need_a_token() {
        assert!(!access(None, "127.0.0.1:1").unwrap().has_token());
        assert!(!access(Some(""), "[::1]:1").unwrap().has_token());
        assert!(access(Some(TOKEN), "0.0.0.0:1").unwrap().has_token());
        let error = access(None, "0.0.0.0:8002").err().unwrap().to_string();
        assert!(error.contains("AI_TRACING_CONSOLE_TOKEN") && error.contains("0.0.0.0:8002"), "{error}");
        let error = access(Some("hunter2"), "10.0.0.1:8002").err().unwrap().to_string();
        assert!(error.contains("16 characters") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_token_or_the_cookie_opens() {
        let access = access(Some(TOKEN), "10.0.0.1:1").unwrap();
        let open = |name, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::try_from(value).unwrap());
            access.check(&headers).is_ok()
        };
        let session = format!("{:032x}", 7);
        assert!(open(header::AUTHORIZATION, &format!("Bearer {TOKEN}")));
        assert!(open(header::COOKIE, &format!("a=b; {COOKIE}=stale; {COOKIE}={session}")));
        assert!(access.check(&HeaderMap::new()).is_err());
        for (name, value) in [
            (header::AUTHORIZATION, "Bearer 0123456789abcdeF".to_owned()),
            (header::AUTHORIZATION, "Bearer ".to_owned()),
            (header::AUTHORIZATION, TOKEN.to_owned()),
            (header::COOKIE, format!("{COOKIE}={TOKEN}")),
            (header::COOKIE, format!("{COOKIE}=")),
            (header::COOKIE, format!("x{COOKIE}={session}")),
        ] {
            assert!(!open(name, &value), "{value}");
        }
    }
}
