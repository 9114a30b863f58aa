//! The words of a call that a search finds it by.
//!
//! In: a record. Out: at most [`MAX_BYTES`] of its text, the newest first: the answer, its error, then the messages
//! from the last to the first. Where a conversation is longer than that, its beginning stood in earlier calls of it.

use ai_tracing_core::record::{CallRecord, Content, Message, Part, ToolCall};

/// Bytes of text that a call is found by.
pub const MAX_BYTES: usize = 64 << 10;

/// The text of a record.
pub fn of(record: &CallRecord) -> String {
    let mut text = Text::default();
    let response = &record.response;
    text.add_all([&response.text, &response.reasoning, &response.refusal]);
    text.add_calls(&response.tool_calls);
    for choice in &response.more_choices {
        text.add_all([&choice.text, &choice.reasoning, &choice.refusal]);
        text.add_calls(&choice.tool_calls);
    }
    if let Some(error) = &record.error {
        text.add_all([&error.kind, &error.message]);
    }
    for message in record.request.messages.iter().rev() {
        if text.is_full() {
            break;
        }
        text.add_message(message);
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn is_full(&self) -> bool {
        self.0.len() >= MAX_BYTES
    }

    fn add(&mut self, text: &str) {
        let room = MAX_BYTES.saturating_sub(self.0.len());
        if room == 0 || text.is_empty() {
            return;
        }
        let end = text.floor_char_boundary(room.min(text.len()));
        self.0.push_str(text.get(..end).unwrap_or_default());
        // Words of two texts do not run together.
        self.0.push('\n');
    }

    fn add_all<'a>(&mut self, texts: impl IntoIterator<Item = &'a Option<String>>) {
        texts.into_iter().flatten().for_each(|text| self.add(text));
    }

    fn add_calls(&mut self, calls: &[ToolCall]) {
        calls.iter().for_each(|call| self.add_all([&call.name, &call.arguments]));
    }

    fn add_message(&mut self, message: &Message) {
        match &message.content {
            Some(Content::Text(text)) => self.add(text),
            Some(Content::Parts(parts)) => parts.iter().for_each(|part| {
                if let Part::Text { text } = part {
                    self.add(text);
                }
            }),
            None => {}
        }
        self.add_all([&message.reasoning, &message.refusal]);
        self.add_calls(&message.tool_calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::fixtures::chat;

    fn message(text: &str) -> Message {
        Message { role: "user".into(), content: Some(Content::Text(text.into())), ..Message::default() }
    }

    #[test]
    fn the_newest_text_comes_first_and_the_oldest_is_left_out() {
        let mut record = chat();
        record.response.text = Some("answer".into());
        record.request.messages = vec![message("oldest"), message(&"é".repeat(MAX_BYTES)), message("newest")];
        let text = of(&record);
        assert!(text.starts_with("answer\n"), "{text:.40}");
        assert!(text.contains("\nnewest\né") && !text.contains("oldest"));
        assert!(text.len() <= MAX_BYTES + 1, "{}", text.len());
    }

    #[test]
    fn arguments_and_errors_are_found() {
        let mut record = chat();
        record.response.tool_calls =
            vec![ToolCall { id: None, name: Some("get_weather".into()), arguments: Some("Lisbon".into()) }];
        record.error = Some(ai_tracing_core::record::CallError {
            kind: Some("rate_limit_exceeded".into()),
            message: Some("slow down".into()),
        });
        let text = of(&record);
        for word in ["get_weather", "Lisbon", "rate_limit_exceeded", "slow down"] {
            assert!(text.contains(word), "{word}");
        }
    }
}
