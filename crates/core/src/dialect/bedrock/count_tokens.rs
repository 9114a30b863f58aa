//! Bedrock's `POST /model/{model}/count-tokens`: how many tokens a Converse or Invoke request would send.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>.

use super::{converse, invoke};
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, media};
use crate::json::{self, Json};

/// See the module.
#[derive(Debug)]
pub struct BedrockCountTokens;

impl Dialect for BedrockCountTokens {
    fn name(&self) -> &'static str {
        "bedrock_count_tokens"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        let input = request.get("input");
        input.get("converse").is_object() || input.get("invokeModel").is_object()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        let input = body.get("input");
        let invoked = input.get("invokeModel").get("body").str().and_then(media::decode);
        match invoked {
            Some(bytes) => {
                invoke::read_request(&json::parse(&json::text(&bytes)).value, facts);
                facts.operation = None;
            }
            None => converse::read_request(input.get("converse"), facts),
        }
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        facts.usage.input = body.get("inputTokens").count();
    }
}
