//! Who may know whom: the crates' rules, held against `cargo metadata`.
//!
//! `core` is pure, `config` is data, `export` knows no gateway, and the two hosts never see each other. Only what ends
//! up in the built crates counts: tests may use more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

struct Layer {
    package: &'static str,
    /// When given: the only direct dependencies there may be.
    only: Option<&'static [&'static str]>,
    /// Dependencies there may not be, however indirect.
    never: &'static [&'static str],
}

const RUNTIME: &[&str] =
    &["tokio", "hyper", "mio", "socket2", "ai-tracing-config", "ai-tracing-export", "ai-tracing", "ai-tracing-kong"];
const LAYERS: &[Layer] = &[
    Layer { package: "ai-tracing-core", only: None, never: RUNTIME },
    Layer { package: "ai-tracing-config", only: Some(&["regex", "serde", "serde_json"]), never: RUNTIME },
    Layer {
        package: "ai-tracing-export",
        only: None,
        never: &["axum", "rusqlite", "libsqlite3-sys", "clap", "ai-tracing", "ai-tracing-kong"],
    },
    Layer { package: "ai-tracing", only: None, never: &["ai-tracing-kong"] },
    Layer {
        package: "ai-tracing-kong",
        only: None,
        never: &["ai-tracing", "axum", "rusqlite", "libsqlite3-sys", "clap"],
    },
];

/// Fails when a crate of the repository depends on what it must not know.
pub fn check(root: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &host()?])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let violations = violations(&Graph::read(&metadata)?);
    if !violations.is_empty() {
        bail!("{}", violations.join("\nerror: "));
    }
    Ok(())
}

/// The platform this was built for; without it cargo would ask for crates of all platforms.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}

/// Names by package id, and what each depends on outside of its tests.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let packages = metadata.get("packages").context("cargo metadata has no packages")?;
        let nodes = metadata.pointer("/resolve/nodes").context("cargo metadata has no dependency graph")?;
        let names = list(packages).iter().map(|package| (text(package, "id"), text(package, "name"))).collect();
        let built = |dependency: &Value| {
            let kinds = list(dependency.get("dep_kinds").unwrap_or(&Value::Null));
            kinds.iter().any(|kind| kind.get("kind").is_some_and(Value::is_null))
        };
        let edges = list(nodes)
            .iter()
            .map(|node| {
                let dependencies = list(node.get("deps").unwrap_or(&Value::Null));
                (text(node, "id"), dependencies.iter().filter(|dep| built(dep)).map(|dep| text(dep, "pkg")).collect())
            })
            .collect();
        Ok(Self { names, edges })
    }

    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    fn direct(&self, id: &str) -> &[String] {
        self.edges.get(id).map_or(&[], Vec::as_slice)
    }

    /// The shortest way from a package to one of the given name.
    fn path_to<'a>(&'a self, id: &'a str, wanted: &str) -> Option<Vec<&'a str>> {
        let mut seen = BTreeSet::from([id]);
        let mut paths = VecDeque::from([(id, vec![self.name(id)])]);
        while let Some((id, path)) = paths.pop_front() {
            for next in self.direct(id) {
                let path: Vec<&str> = path.iter().copied().chain([self.name(next)]).collect();
                if self.name(next) == wanted {
                    return Some(path);
                }
                if seen.insert(next) {
                    paths.push_back((next, path));
                }
            }
        }
        None
    }
}

/// One line for each broken rule. Crates that do not exist break none.
fn violations(graph: &Graph) -> Vec<String> {
    let mut violations = Vec::new();
    for layer in LAYERS {
        let Some((id, _)) = graph.names.iter().find(|(_, name)| *name == layer.package) else {
            continue;
        };
        for dependency in graph.direct(id).iter().map(|id| graph.name(id)) {
            if layer.only.is_some_and(|only| !only.contains(&dependency)) {
                violations.push(format!("{} must not depend on {dependency}", layer.package));
            }
        }
        for wanted in layer.never {
            if let Some(path) = graph.path_to(id, wanted) {
                violations.push(format!("{} must not know {wanted}: {}", layer.package, path.join(" -> ")));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::root;

    #[test]
    fn the_repository_keeps_its_layers() {
        check(root()).unwrap();
    }

    fn graph(edges: &[(&str, &str, Option<&str>)]) -> Graph {
        let mut nodes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (from, to, kind) in edges {
            nodes.entry(to).or_default();
            nodes.entry(from).or_default().push(json!({"pkg": to, "dep_kinds": [{"kind": kind, "target": null}]}));
        }
        let packages: Vec<_> = nodes.keys().map(|name| json!({"id": name, "name": name})).collect();
        let nodes: Vec<_> = nodes.iter().map(|(name, deps)| json!({"id": name, "deps": deps})).collect();
        Graph::read(&json!({"packages": packages, "resolve": {"nodes": nodes}})).unwrap()
    }

    #[test]
    fn an_indirect_dependency_is_found_with_its_way() {
        let graph = graph(&[("ai-tracing-core", "helpful", None), ("helpful", "tokio", None), ("tokio", "mio", None)]);
        assert_eq!(
            violations(&graph),
            [
                "ai-tracing-core must not know tokio: ai-tracing-core -> helpful -> tokio",
                "ai-tracing-core must not know mio: ai-tracing-core -> helpful -> tokio -> mio",
            ]
        );
    }

    #[test]
    fn a_dependency_of_tests_alone_does_not_count() {
        assert!(violations(&graph(&[("ai-tracing-core", "tokio", Some("dev"))])).is_empty());
    }

    #[test]
    fn a_list_of_dependencies_is_kept_to() {
        let graph = graph(&[("ai-tracing-config", "serde", None), ("ai-tracing-config", "url", None)]);
        assert_eq!(violations(&graph), ["ai-tracing-config must not depend on url"]);
    }

    #[test]
    fn the_hosts_do_not_know_each_other() {
        let graph = graph(&[("ai-tracing-kong", "ai-tracing", None)]);
        assert_eq!(violations(&graph), ["ai-tracing-kong must not know ai-tracing: ai-tracing-kong -> ai-tracing"]);
    }
}
