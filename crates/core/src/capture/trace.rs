//! W3C Trace Context: joining the caller's trace (<https://www.w3.org/TR/trace-context/>).

use super::Ids;
use crate::text::push_hex;

/// The trace that a call belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace id, the caller's or a new one.
    pub trace: u128,
    /// The caller's span.
    pub parent: Option<u64>,
    /// Trace flags (bit 0: sampled), handed on as received.
    pub flags: u8,
    /// `tracestate` as received; dropped when `traceparent` is not valid, as the specification asks.
    pub state: Option<String>,
}

impl TraceContext {
    /// Joins the caller's trace where `traceparent` is valid, else begins a new, sampled one.
    pub fn join(traceparent: Option<&str>, tracestate: Option<String>, ids: &Ids) -> Self {
        match traceparent.and_then(parse) {
            Some((trace, parent, flags)) => Self { trace, parent: Some(parent), flags, state: tracestate },
            None => Self { trace: ids.trace, parent: None, flags: 1, state: None },
        }
    }

    /// The header to send on, with `span` as parent.
    pub fn outgoing(&self, span: u64) -> String {
        let mut header = String::with_capacity(55);
        header.push_str("00-");
        push_hex(&mut header, &self.trace.to_be_bytes());
        header.push('-');
        push_hex(&mut header, &span.to_be_bytes());
        header.push('-');
        push_hex(&mut header, &[self.flags]);
        header
    }
}

/// `version "-" trace-id "-" parent-id "-" flags`, lower-case hex. Version ff is invalid; versions above 00 may have
/// more fields, which are ignored.
fn parse(header: &str) -> Option<(u128, u64, u8)> {
    let header = header.trim();
    let mut fields = header.split('-');
    let mut hex = |digits: usize| {
        fields.next().filter(|field| {
            field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let version = u8::from_str_radix(hex(2)?, 16).ok()?;
    let trace = u128::from_str_radix(hex(32)?, 16).ok()?;
    let parent = u64::from_str_radix(hex(16)?, 16).ok()?;
    let flags = u8::from_str_radix(hex(2)?, 16).ok()?;
    let more = fields.next().is_some();
    (version != 0xff && trace != 0 && parent != 0 && !(version == 0 && more)).then_some((trace, parent, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Ids {
        Ids { call: String::new(), trace: 0xabc, span: 0xdef }
    }

    #[test]
    fn joins_a_valid_parent_and_hands_its_flags_on() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let context = TraceContext::join(Some(header), Some("k=v".into()), &ids());
        assert_eq!(context.trace, 0x4bf92f3577b34da6a3ce929d0e0e4736);
        assert_eq!(context.parent, Some(0x00f067aa0ba902b7));
        assert_eq!(context.state.as_deref(), Some("k=v"));
        assert_eq!(context.outgoing(0xdef), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000def-00");
    }

    #[test]
    fn begins_a_new_trace_where_the_header_is_missing_or_wrong() {
        let wrong = [
            None,
            Some(""),
            Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
            Some("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            Some("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"),
        ];
        for header in wrong {
            let context = TraceContext::join(header, Some("k=v".into()), &ids());
            assert_eq!((context.trace, context.parent, context.state), (0xabc, None, None), "{header:?}");
        }
        let newer = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::join(Some(newer), None, &ids()).parent.is_some());
    }
}
