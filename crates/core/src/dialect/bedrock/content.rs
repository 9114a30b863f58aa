//! Content blocks of Converse, in requests and answers. A block is an object with one member, which names its kind.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>.

use crate::dialect::anthropic::content::{Block, call, read_content, tool_result};
use crate::dialect::media;
use crate::json::Json;
use crate::record::{Media, Part};

/// Reads one block of a message, of a system prompt, or of a tool's result.
pub fn block(block: &Json<'_>) -> Block {
    let Some((kind, value)) = block.members().first() else {
        return match block.str() {
            Some(_) => text(block),
            None => Block::Part(Part::Other { value: block.to_value() }),
        };
    };
    match kind.as_ref() {
        "text" => text(value),
        // What a guardrail is to look at is said to the model all the same.
        "guardContent" if value.get("text").is_object() => text(value.get("text").get("text")),
        "image" | "video" | "audio" => Block::Part(source(kind, value)),
        "document" if value.get("source").get("text").str().is_some() => text(value.get("source").get("text")),
        "document" => Block::Part(source("file", value)),
        "toolUse" => Block::Call(call(value.get("toolUseId").id(), value.get("name").id(), value.get("input"))),
        "toolResult" => {
            let failed = value.get("status").str() == Some("error");
            tool_result(value.get("toolUseId").id(), read_content(value.get("content"), self::block), failed)
        }
        "reasoningContent" if value.get("reasoningText").is_object() => {
            Block::Reasoning(value.get("reasoningText").get("text").str().unwrap_or_default().to_owned())
        }
        _ => Block::Part(Part::Other { value: block.to_value() }),
    }
}

fn text(value: &Json<'_>) -> Block {
    Block::Part(Part::Text { text: value.str().unwrap_or_default().to_owned() })
}

/// Media: base64 in `bytes`, or an object in S3.
fn source(modality: &str, value: &Json<'_>) -> Part {
    let source = value.get("source");
    let format = value.get("format").filled();
    let mime_type = format.map(|format| mime_type(modality, format));
    let uri = source.get("s3Location").get("uri").word();
    if uri.is_some() {
        return Part::Media(Media { modality: modality.to_owned(), mime_type, uri, ..Media::default() });
    }
    Part::Media(media::inline(modality, mime_type.as_deref(), source.get("bytes")))
}

/// The media type of what Converse calls a format.
fn mime_type(modality: &str, format: &str) -> String {
    match (modality, format) {
        ("file", "txt") => "text/plain".to_owned(),
        ("file", "md") => "text/markdown".to_owned(),
        ("file", "csv" | "html") => format!("text/{format}"),
        ("file", "doc") => "application/msword".to_owned(),
        ("file", "docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document".to_owned(),
        ("file", "xls") => "application/vnd.ms-excel".to_owned(),
        ("file", "xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet".to_owned(),
        ("file", _) => format!("application/{format}"),
        ("video", "mov") => "video/quicktime".to_owned(),
        ("video", "mkv") => "video/x-matroska".to_owned(),
        ("video", "three_gp") => "video/3gpp".to_owned(),
        _ => format!("{modality}/{format}"),
    }
}
