//! What tells calls apart in the metrics: the attributes that both conventions share, under either's names.

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::CallRecord;

use super::super::names;
use super::instruments::TokenType;
use crate::exporter::clean::cleaned;
use crate::exporter::fault::{Fault, Level};
use crate::exporter::proto::{KeyValue, attribute};
use crate::metrics::{bounded, error_type};

/// The attributes of a call's values. Texts are bounded, since a client may write anything as its model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Labels {
    provider: Option<String>,
    system: Option<String>,
    operation: &'static str,
    request_model: Option<String>,
    response_model: Option<String>,
    address: Option<String>,
    port: Option<u16>,
    stream: Option<bool>,
    error: Option<String>,
}

impl Labels {
    pub fn of(record: &CallRecord, semconv: OtlpSemconv) -> Self {
        let text = |text: &str| Some(cleaned(bounded(text))).filter(|text| !text.is_empty());
        let known = |value: &Option<String>| value.as_deref().and_then(text);
        let failed = Fault::of(record).is_some_and(|fault| fault.level == Level::Error);
        let address = known(&record.server.address);
        Self {
            provider: text(names::provider(record)).filter(|_| semconv.genai()),
            system: text(names::system(record)).filter(|_| semconv.openllmetry()),
            operation: names::operation(record),
            request_model: known(&record.request.model),
            response_model: known(&record.response.model),
            port: record.server.port.filter(|_| address.is_some()),
            address,
            stream: semconv.openllmetry().then_some(record.stream),
            error: error_type(record).filter(|_| failed),
        }
    }

    /// The attributes, with the kind of tokens that the value counts.
    pub fn attributes(&self, tokens: Option<TokenType>) -> Vec<KeyValue> {
        let texts = [
            ("gen_ai.provider.name", &self.provider),
            ("gen_ai.system", &self.system),
            ("gen_ai.request.model", &self.request_model),
            ("gen_ai.response.model", &self.response_model),
            ("server.address", &self.address),
            ("error.type", &self.error),
        ];
        let mut all = vec![attribute("gen_ai.operation.name", self.operation)];
        all.extend(texts.into_iter().filter_map(|(key, text)| Some(attribute(key, text.clone()?))));
        all.extend(self.port.map(|port| attribute("server.port", i64::from(port))));
        all.extend(self.stream.map(|stream| attribute("stream", stream)));
        all.extend(tokens.map(|tokens| attribute("gen_ai.token.type", tokens.as_str())));
        all
    }
}
