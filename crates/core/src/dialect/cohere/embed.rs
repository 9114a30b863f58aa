//! Cohere's embeddings, `POST /v1/embed` and `/v2/embed`: `texts`, `images` or mixed `inputs` in, vectors out: a list
//! of them, or a list for each of the `embedding_types` that were asked for.
//! Source: <https://docs.cohere.com/reference/embed>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, keep_first};
use crate::dialect::openai::embeddings;
use crate::dialect::{Dialect, cohere, media, openai};
use crate::json::Json;
use crate::record::{Content, Message, Part};

/// See the module.
#[derive(Debug)]
pub struct CohereEmbed;

impl Dialect for CohereEmbed {
    fn name(&self) -> &'static str {
        "cohere_embed"
    }

    /// TEI's `/embed` has `inputs` as well: texts, where Cohere's are objects.
    fn accepts(&self, request: &Json<'_>) -> bool {
        let mixed = request.get("inputs").items().first().is_some_and(Json::is_object);
        mixed || ["texts", "images"].iter().any(|key| request.get(key).count_items().is_some())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        cohere::read_request(body, facts);
        let user = |content| Message { role: "user".to_owned(), content, ..Message::default() };
        let messages = &mut facts.request.messages;
        messages.append(&mut openai::read_texts(body.get("texts")));
        for image in body.get("images").items() {
            let image = media::address("image", image);
            messages.push(user(Some(Content::Parts(vec![Part::Media(image)]))));
        }
        for input in body.get("inputs").items() {
            messages.push(user(openai::content(input.get("content"))));
        }
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        keep_first(&mut facts.id, body.get("id").id());
        let found = body.get("embeddings");
        let (kind, vectors) = match found.members() {
            [] => ("float", found),
            types => types
                .iter()
                .find(|(_, vectors)| vectors.count_items().is_some_and(|count| count > 0))
                .map_or(("", found), |(kind, vectors)| (kind.as_ref(), vectors)),
        };
        facts.embedding_count = vectors.count_items().map(|count| count as u64);
        // Eight dimensions share a byte of the binary types.
        let packed = if kind.ends_with("binary") { 8 } else { 1 };
        let dims = vectors.items().first().and_then(embeddings::dims);
        facts.embedding_dims = dims.and_then(|dims| dims.checked_mul(packed));
        cohere::read_meta(body.get("meta"), facts);
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        cohere::read_meta(usage, facts);
    }

    fn tail_names(&self) -> [&'static str; 2] {
        ["meta", "model"]
    }
}
