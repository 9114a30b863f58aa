//! The generated parts of the documentation: the parameter table of docs/configuration.md, written from the plugin's
//! schema, and the table of wire formats of docs/providers.md, written from the engine's endpoints.
//!
//! The rest of the pages is written by hand: only what stands between the two markers is replaced.

mod formats;

use std::fs;
use std::path::Path;

use ai_tracing_config::schema::{Field, Kind, Record};
use ai_tracing_config::{Rule, Typedef, ai_tracing};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const END: &str = "<!-- End of what `cargo xtask docs` writes. -->\n";

/// A page with a generated part.
struct Page {
    file: &'static str,
    begin: &'static str,
    table: fn(&Path) -> Result<String>,
}

const CONFIGURATION: Page = Page {
    file: "docs/configuration.md",
    begin: "<!-- Written by `cargo xtask docs` from the plugin's schema: -->\n",
    table: |_| Ok(table(&ai_tracing::schema().record)),
};

const PROVIDERS: Page = Page {
    file: "docs/providers.md",
    begin: "<!-- Written by `cargo xtask docs` from the engine's endpoints: -->\n",
    table: formats::table,
};

const PAGES: [Page; 2] = [CONFIGURATION, PROVIDERS];

/// Brings the pages up to date.
pub fn write(root: &Path) -> Result<()> {
    for page in PAGES {
        let path = root.join(page.file);
        let text = page.read(root)?;
        let fresh = page.refreshed(root, &text)?;
        if fresh != text {
            fs::write(&path, fresh).with_context(|| format!("cannot write {}", page.file))?;
        }
    }
    Ok(())
}

/// Fails when a page is out of date.
pub fn check(root: &Path) -> Result<()> {
    for page in PAGES {
        let text = page.read(root)?;
        ensure!(page.refreshed(root, &text)? == text, "{} is stale: run `cargo xtask docs`", page.file);
    }
    Ok(())
}

impl Page {
    fn read(&self, root: &Path) -> Result<String> {
        fs::read_to_string(root.join(self.file)).with_context(|| format!("cannot read {}", self.file))
    }

    fn refreshed(&self, root: &Path, page: &str) -> Result<String> {
        let Self { file, begin, table } = self;
        let (before, rest) = page.split_once(begin).with_context(|| format!("{file} has no line {begin}"))?;
        let (_, after) = rest.split_once(END).with_context(|| format!("{file} has no line {END}"))?;
        Ok(format!("{before}{begin}\n{}\n{END}{after}", table(root)?))
    }
}

fn table(record: &Record) -> String {
    let mut rows = String::from("| parameter | type | default | |\n|---|---|---|---|\n");
    add_rows(&mut rows, "", record);
    rows
}

fn add_rows(rows: &mut String, prefix: &str, record: &Record) {
    for (name, field) in &record.fields {
        let path = format!("{prefix}{name}");
        let limits: Vec<String> = field.rules.iter().filter_map(|rule| limit(rule, &field.rules)).collect();
        let mut about = field.description.to_owned();
        if !limits.is_empty() {
            about = format!("{about} {}.", capitalized(&limits.join(", ")));
        }
        if field.referenceable {
            about.push_str(" May be a [vault reference](#keys-from-the-environment).");
        }
        let cells = [format!("`{path}`"), type_name(&field.kind).to_owned(), default(field), about];
        rows.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        match &field.kind {
            Kind::Record(inner) => add_rows(rows, &format!("{path}."), inner),
            Kind::Array(element) | Kind::Set(element) => {
                if let Kind::Record(inner) = &element.kind {
                    add_rows(rows, &format!("{path}[]."), inner);
                }
            }
            _ => {}
        }
    }
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Array(element) if matches!(element.kind, Kind::Record(_)) => "array of records",
        other => other.kong_name(),
    }
}

fn default(field: &Field) -> String {
    match &field.default {
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
        None if matches!(field.kind, Kind::Record(_)) => String::new(),
        None if field.required => "required".to_owned(),
        None => "`null`".to_owned(),
    }
}

/// What a rule means to a reader; `None` where the description says it better.
fn limit(rule: &Rule, all: &[Rule]) -> Option<String> {
    let has_own_minimum = all.iter().any(|rule| matches!(rule, Rule::Gt(_)));
    Some(match rule {
        Rule::OneOf(options) => {
            let options: Vec<_> = options.iter().map(|option| format!("`{option}`")).collect();
            format!("one of {}", options.join(", "))
        }
        Rule::OneOfNumbers(options) => {
            let options: Vec<_> = options.iter().map(i64::to_string).collect();
            format!("one of {}", options.join(", "))
        }
        Rule::Gt(limit) => format!("more than {limit}"),
        Rule::Between(_, high) if has_own_minimum => format!("at most {high}"),
        Rule::Between(low, high) => format!("{low} to {high}"),
        Rule::LenMin(0) => "may be empty".to_owned(),
        Rule::LenMin(1) => "not empty".to_owned(),
        Rule::LenMin(length) => format!("at least {length} long"),
        Rule::LenMax(length) => format!("at most {length}"),
        Rule::Is(Typedef::HttpUrl) => "an http or https URL, without credentials".to_owned(),
        Rule::Is(Typedef::HeaderName) => "letters, digits, `-` and `_`".to_owned(),
        Rule::Is(_) | Rule::Null(_) | Rule::ContainsAll(..) => return None,
    })
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use ai_tracing_config::entities::plugin;
    use ai_tracing_config::form;
    use serde_json::json;

    use super::*;
    use crate::root;

    #[test]
    fn the_pages_are_up_to_date() {
        check(root()).unwrap();
    }

    #[test]
    fn a_stale_page_is_found_and_refreshed() {
        let stale = format!("# Title\n{}old\n{END}rest\n", CONFIGURATION.begin);
        let refreshed = |page: &str| CONFIGURATION.refreshed(root(), page);
        let fresh = refreshed(&stale).unwrap();
        assert!(fresh.starts_with("# Title\n") && fresh.ends_with("rest\n") && !fresh.contains("old\n"), "{fresh}");
        assert!(fresh.contains("| `redact[].pattern` | string | required |"), "{fresh}");
        assert_eq!(refreshed(&fresh).unwrap(), fresh);
        assert!(refreshed("# Title\n").is_err());
    }

    #[test]
    fn every_example_on_the_page_is_accepted() {
        let page = CONFIGURATION.read(root()).unwrap();
        let blocks = |language: &str| -> Vec<String> {
            let fence = format!("```{language}\n");
            let after_fence = page.split(&fence).skip(1);
            after_fence.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
        };
        let json = blocks("json");
        assert!(json.len() >= 4, "{json:?}");
        for block in json {
            let config: Value = serde_json::from_str(&block).unwrap_or_else(|error| panic!("{error}: {block}"));
            ai_tracing::AiTracing::from_value(&config).unwrap_or_else(|error| panic!("{error}: {block}"));
        }
        let posted: Vec<_> = blocks("bash").into_iter().filter(|block| block.contains("-d '")).collect();
        assert!(!posted.is_empty());
        for block in posted {
            let body = block.split("-d '").nth(1).unwrap().split('\'').next().unwrap();
            plugin::schema()
                .create(serde_json::from_str(body).unwrap())
                .unwrap_or_else(|error| panic!("{error}: {block}"));
        }
        let forms: Vec<_> = blocks("bash").into_iter().filter(|block| block.contains("--data ")).collect();
        assert!(forms.len() >= 2, "{forms:?}");
        for block in forms {
            let pairs: Vec<(&str, &str)> = block
                .split("--data ")
                .skip(1)
                .map(|rest| {
                    rest.trim_start_matches(['"', '\'']).split(['"', '\'']).next().unwrap().split_once('=').unwrap()
                })
                .collect();
            let current = plugin::schema().create(json!({"name": "ai-tracing"})).unwrap();
            let decoded = form::decode(&pairs, plugin::schema(), Some(&current));
            plugin::schema().update(&current, decoded).unwrap_or_else(|error| panic!("{error}: {block}"));
        }
    }
}
