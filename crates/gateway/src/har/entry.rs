//! One exchange as a HAR file tells it.

use std::io::BufRead;

use ai_tracing_core::time::At;

use super::json::{Lexer, Problem, Text};

/// Bytes kept of each body, as they stand in the file (of base64, that is three quarters as many).
pub const MAX_BODY: usize = 32 << 20;
/// Headers and form fields kept of one message.
const MAX_PAIRS: usize = 1000;
/// Bytes kept of an address, a header's name or value, or any other short text.
const MAX_TEXT: usize = 64 << 10;

/// One exchange. What the file does not tell, or not in its proper type, is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// `_id`, which some tools add.
    pub id: Option<String>,
    /// `startedDateTime`.
    pub started: Option<At>,
    /// `time`: the whole duration in milliseconds.
    pub time: Option<f64>,
    /// What it was spent on.
    pub timings: Timings,
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub response: Response,
}

/// Milliseconds; absent where the file says -1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Everything before the request was sent: `blocked`, `dns`, `connect` (which includes `ssl`).
    pub before: Option<f64>,
    /// Sending the request.
    pub send: Option<f64>,
    /// Waiting for the head of the response.
    pub wait: Option<f64>,
    /// Receiving the response.
    pub receive: Option<f64>,
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Method, as it stands in the file.
    pub method: String,
    /// Address, as a rule with scheme and host.
    pub url: String,
    /// Headers in their order.
    pub headers: Vec<Pair>,
    /// `postData`.
    pub body: Body,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// HTTP status; 0 or absent: there was no answer.
    pub status: Option<u16>,
    /// Headers in their order.
    pub headers: Vec<Pair>,
    /// `content`.
    pub body: Body,
    /// `_error`, with which Chrome and mitmproxy tell why an answer is missing or ends early.
    pub error: Option<String>,
}

/// A body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// `mimeType`.
    pub mime_type: Option<String>,
    /// `text`, at most [`MAX_BODY`] of it.
    pub text: Text,
    /// `encoding`, `base64` for bodies that are no text.
    pub encoding: Option<String>,
    /// `params`, the fields of a form that is given by them instead of by its text.
    pub params: Vec<Pair>,
}

/// A header, or a field of a form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Name of the file that a field uploads.
    pub file_name: Option<String>,
    /// Media type of that file.
    pub content_type: Option<String>,
}

impl Entry {
    /// Reads the value that comes next; what is no object is an empty entry.
    pub(super) fn read<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Self, Problem> {
        let mut entry = Self::default();
        lexer.object(&mut |lexer, key| {
            match key {
                "_id" => entry.id = short(lexer)?.filter(|id| !id.is_empty()),
                "startedDateTime" => entry.started = short(lexer)?.and_then(|text| moment(&text)),
                "time" => entry.time = milliseconds(lexer)?,
                "timings" => entry.timings = timings(lexer)?,
                "request" => entry.request = request(lexer)?,
                "response" => entry.response = response(lexer)?,
                _ => lexer.skip()?,
            }
            Ok(())
        })?;
        Ok(entry)
    }
}

fn timings<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Timings, Problem> {
    let mut timings = Timings::default();
    lexer.object(&mut |lexer, key| {
        match key {
            "blocked" | "dns" | "connect" => {
                if let Some(more) = milliseconds(lexer)? {
                    *timings.before.get_or_insert_default() += more;
                }
            }
            "send" => timings.send = milliseconds(lexer)?,
            "wait" => timings.wait = milliseconds(lexer)?,
            "receive" => timings.receive = milliseconds(lexer)?,
            _ => lexer.skip()?,
        }
        Ok(())
    })?;
    Ok(timings)
}

fn request<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Request, Problem> {
    let mut request = Request::default();
    lexer.object(&mut |lexer, key| {
        match key {
            "method" => request.method = short(lexer)?.unwrap_or_default(),
            "url" => request.url = short(lexer)?.unwrap_or_default(),
            "headers" => request.headers = pairs(lexer)?,
            "postData" => request.body = body(lexer)?,
            _ => lexer.skip()?,
        }
        Ok(())
    })?;
    Ok(request)
}

fn response<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Response, Problem> {
    let mut response = Response::default();
    lexer.object(&mut |lexer, key| {
        match key {
            "status" => {
                let status = lexer.number()?.filter(|status| status.fract() == 0.0 && (1.0..1000.0).contains(status));
                response.status = status.map(|status| status as u16);
            }
            "headers" => response.headers = pairs(lexer)?,
            "content" => response.body = body(lexer)?,
            "_error" => response.error = short(lexer)?.filter(|error| !error.is_empty()),
            _ => lexer.skip()?,
        }
        Ok(())
    })?;
    Ok(response)
}

fn body<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Body, Problem> {
    let mut body = Body::default();
    lexer.object(&mut |lexer, key| {
        match key {
            "mimeType" => body.mime_type = short(lexer)?.filter(|mime_type| !mime_type.is_empty()),
            "text" => body.text = lexer.text(MAX_BODY)?.unwrap_or_default(),
            "encoding" | "_encoding" => body.encoding = short(lexer)?,
            "params" => body.params = pairs_within(lexer, MAX_BODY)?,
            _ => lexer.skip()?,
        }
        Ok(())
    })?;
    Ok(body)
}

fn pairs<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Vec<Pair>, Problem> {
    pairs_within(lexer, MAX_TEXT)
}

/// Pairs whose values have at most `room` bytes together.
fn pairs_within<R: BufRead>(lexer: &mut Lexer<R>, mut room: usize) -> Result<Vec<Pair>, Problem> {
    let mut pairs = Vec::new();
    lexer.array(&mut |lexer| {
        if pairs.len() >= MAX_PAIRS {
            return lexer.skip();
        }
        let mut pair = Pair::default();
        lexer.object(&mut |lexer, key| {
            match key {
                "name" => pair.name = lexer.text(MAX_TEXT.min(room))?.unwrap_or_default().text,
                "value" => pair.value = lexer.text(room)?.unwrap_or_default().text,
                "fileName" => pair.file_name = short(lexer)?.filter(|name| !name.is_empty()),
                "contentType" => pair.content_type = short(lexer)?.filter(|name| !name.is_empty()),
                _ => lexer.skip()?,
            }
            Ok(())
        })?;
        room = room.saturating_sub(pair.name.len() + pair.value.len());
        pairs.push(pair);
        Ok(())
    })?;
    Ok(pairs)
}

fn short<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Option<String>, Problem> {
    Ok(lexer.text(MAX_TEXT)?.map(|text| text.text))
}

/// -1 stands for "does not apply".
fn milliseconds<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Option<f64>, Problem> {
    Ok(lexer.number()?.filter(|ms| *ms >= 0.0))
}

/// ISO 8601, also with an offset without a colon.
fn moment(text: &str) -> Option<At> {
    let text = text.trim();
    At::from_rfc3339(text).or_else(|| {
        let (date, offset) = text.split_at_checked(text.len().checked_sub(4)?)?;
        let (hours, minutes) = offset.split_at_checked(2)?;
        date.ends_with(['+', '-']).then(|| At::from_rfc3339(&format!("{date}{hours}:{minutes}")))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_an_offset_in_either_form() {
        let read = |text| moment(text).map(At::to_rfc3339);
        let expected = Some("2026-01-02T03:04:05.678000Z".to_owned());
        assert_eq!(read("2026-01-02T03:04:05.678Z"), expected);
        assert_eq!(read("2026-01-02T05:04:05.678+02:00"), expected);
        assert_eq!(read("2026-01-02T05:04:05.678+0200"), expected);
        for wrong in ["", "yesterday", "é200", "+200", "2026-01-02T05:04:05"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
