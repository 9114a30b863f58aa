//! The table of wire formats.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ai_tracing_core::dialect::{self, Endpoint};
use anyhow::{Context, Result};

/// One row a dialect: where it is found, what it is asked for, how many fixtures it has.
pub fn table(root: &Path) -> Result<String> {
    let fixtures = fixtures(&root.join("crates/core/tests/wire"))?;
    let mut rows = String::from("| dialect | paths | operation | fixtures |\n|---|---|---|---|\n");
    for name in dialect::names() {
        let mine = || dialect::endpoints().filter(move |endpoint| endpoint.dialect.name() == name);
        let paths = distinct(mine().map(path));
        let operations = distinct(mine().map(|endpoint| endpoint.operation.to_string()));
        let count = fixtures.get(name).copied().unwrap_or(0);
        rows.push_str(&format!("| `{name}` | {} | {} | {count} |\n", paths.join("<br>"), operations.join(", ")));
    }
    Ok(rows)
}

/// The path as a person would write it, and what else must be true of the call.
fn path(endpoint: &Endpoint) -> String {
    let path = match (endpoint.within, endpoint.suffix) {
        ("", suffix) => format!("`*{suffix}`"),
        (within, suffix) => format!("`*{within}*{suffix}`"),
    };
    match (endpoint.only_at, endpoint.anybodys) {
        (Some(provider), true) => format!("{path} at {provider}, if the body says so"),
        (Some(provider), false) => format!("{path} at {provider}"),
        (None, true) => format!("{path}, if the body says so"),
        (None, false) => path,
    }
}

fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
}

/// Fixtures by dialect, told by the snapshots of their records.
fn fixtures(folder: &Path) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    let entries = |path: &Path| fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()));
    for family in entries(folder)? {
        for file in entries(&family?.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "snap") {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let told = text.lines().find_map(|line| line.trim().strip_prefix("\"dialect\": \"")?.split('"').next());
                if let Some(name) = told {
                    *counts.entry(name.to_owned()).or_insert(0) += 1;
                }
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use ai_tracing_config::ai_tracing::DIALECTS;

    use super::*;
    use crate::root;

    #[test]
    fn the_schema_names_every_dialect() {
        assert_eq!(dialect::names(), DIALECTS);
    }

    #[test]
    fn every_dialect_has_a_fixture() {
        let fixtures = fixtures(&root().join("crates/core/tests/wire")).unwrap();
        let without: Vec<_> = dialect::names().into_iter().filter(|name| !fixtures.contains_key(*name)).collect();
        assert_eq!(without, [] as [&str; 0]);
    }
}
