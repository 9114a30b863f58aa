//! The options of `ai-tracing start`, and the configuration that they stand for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ai_tracing_export::{metrics, spool};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use url::Url;

use crate::calls::Retention;
use crate::logging::Level;
use crate::proxy::server::Listen;

/// Options of `ai-tracing start`.
#[derive(Args, Clone, Debug)]
pub struct Start {
    /// Declarative configuration file (YAML or JSON, `_format_version: "3.0"`); without it the configuration lives in
    /// the data directory and is changed through the Admin API
    #[arg(long, env = "AI_TRACING_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Trace one upstream, with no configuration at all: everything is passed on to this address
    #[arg(long, env = "AI_TRACING_UPSTREAM", value_name = "URL")]
    pub upstream: Option<String>,
    /// Where clients connect: comma-separated addresses, each with `ssl` for TLS; `off` for none; port 0 picks a free one
    #[arg(long, env = "AI_TRACING_PROXY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub proxy_listen: String,
    /// Address of the Admin API, or `off`
    #[arg(long, env = "AI_TRACING_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
    pub admin_listen: String,
    /// Address of the status API, or `off`
    #[arg(long, env = "AI_TRACING_STATUS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8100")]
    pub status_listen: String,
    /// Address of the console, a web page that shows the traced calls, or `off`
    #[arg(long, env = "AI_TRACING_CONSOLE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8002")]
    pub console_listen: String,
    /// What the console asks for before it shows anything; needed where it listens on more than loopback
    #[arg(long, env = "AI_TRACING_CONSOLE_TOKEN", value_name = "SECRET", hide_env_values = true)]
    pub console_token: Option<Secret>,
    /// Certificate chain (PEM) for addresses with `ssl`
    #[arg(long, env = "AI_TRACING_SSL_CERT", value_name = "FILE", requires = "ssl_cert_key")]
    pub ssl_cert: Option<PathBuf>,
    /// Private key (PEM) for addresses with `ssl`
    #[arg(long, env = "AI_TRACING_SSL_CERT_KEY", value_name = "FILE", requires = "ssl_cert")]
    pub ssl_cert_key: Option<PathBuf>,
    /// Directory for the configuration and the traced calls
    #[arg(long, env = "AI_TRACING_DATA_DIR", value_name = "DIR", default_value_os_t = super::default_data_dir())]
    pub data_dir: PathBuf,
    /// Days that traced calls are kept in the local store
    #[arg(long, env = "AI_TRACING_RETENTION_DAYS", value_name = "DAYS", default_value_t = 30)]
    pub retention_days: u32,
    /// Size in bytes that the local store may reach; above it the oldest calls are deleted
    #[arg(long, env = "AI_TRACING_RETENTION_SIZE", value_name = "BYTES", default_value_t = 1 << 30)]
    pub retention_size: u64,
    /// Size in bytes that the spool may reach, where traces wait on disk for their destinations; above it the oldest
    /// are dropped and counted; 0: no spool, they wait in memory
    #[arg(long, env = "AI_TRACING_SPOOL_MAX_SIZE", value_name = "BYTES", default_value_t = 2 << 30)]
    pub spool_max_size: u64,
    /// Hours that traces wait in the spool at most
    #[arg(long, env = "AI_TRACING_SPOOL_MAX_AGE", value_name = "HOURS", default_value_t = 24)]
    pub spool_max_age: u32,
    /// When the spool is made to survive a power cut: `interval` is every 100 ms. A process that is killed loses
    /// nothing under any of them
    #[arg(long, env = "AI_TRACING_SPOOL_FSYNC", value_name = "POLICY", default_value = "interval")]
    pub spool_fsync: Fsync,
    /// Proxy threads; default: one for each processor
    #[arg(long, env = "AI_TRACING_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Longest request body in bytes; 0: any length
    #[arg(long, env = "AI_TRACING_CLIENT_MAX_BODY_SIZE", value_name = "BYTES", default_value_t = 0)]
    pub client_max_body_size: u64,
    /// Memory in bytes that the bodies of all calls under way may be kept in; beyond it calls are traced without them
    #[arg(long, env = "AI_TRACING_CAPTURE_MEMORY", value_name = "BYTES", default_value_t = 256 << 20)]
    pub capture_memory: usize,
    /// How long calls under way may take to finish when the gateway stops, in seconds
    #[arg(long, env = "AI_TRACING_DRAIN_TIMEOUT", value_name = "SECONDS", default_value_t = 30)]
    pub drain_timeout: u64,
    /// Label sets that each of the metrics of AI requests and of routes may have; what comes after is called `other`
    #[arg(long, env = "AI_TRACING_METRICS_LABEL_SETS", value_name = "N", default_value_t = 500)]
    pub metrics_label_sets: usize,
    /// Give the metrics of AI requests a label `consumer`
    #[arg(long, env = "AI_TRACING_METRICS_CONSUMER")]
    pub metrics_consumer: bool,
    /// Call the metrics of AI requests `ai_llm_*` instead of `kong_ai_llm_*`
    #[arg(long, env = "AI_TRACING_METRICS_UNPREFIXED")]
    pub metrics_unprefixed: bool,
    /// What is logged of the gateway itself; how much of each call is the plugin's `log_level`
    #[arg(long, env = "AI_TRACING_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: Level,
}

/// An option that is never shown.
#[derive(Clone)]
pub struct Secret(pub String);

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// When the spool is made to survive a power cut.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// When the operating system sees fit.
    Never,
    /// Every 100 ms.
    Interval,
    /// Before a trace goes anywhere.
    Always,
}

impl Start {
    /// Refuses what contradicts itself.
    pub fn check(&self) -> Result<()> {
        if self.config.is_some() && self.upstream.is_some() {
            bail!("--config and --upstream cannot be used together: the file says what is upstream");
        }
        Ok(())
    }

    /// How much the local store keeps.
    pub fn retention(&self) -> Retention {
        let day = Duration::from_secs(24 * 60 * 60);
        Retention { max_age: day * self.retention_days, max_bytes: self.retention_size }
    }

    /// Where traces wait for their destinations; `None`: in memory.
    pub fn spool(&self) -> Option<spool::Options> {
        let hour = Duration::from_secs(60 * 60);
        (self.spool_max_size > 0).then(|| spool::Options {
            max_bytes: self.spool_max_size,
            max_age: hour * self.spool_max_age,
            fsync: match self.spool_fsync {
                Fsync::Never => spool::Fsync::Never,
                Fsync::Interval => spool::Fsync::default(),
                Fsync::Always => spool::Fsync::Always,
            },
            ..spool::Options::new(self.data_dir.join("spool"))
        })
    }

    /// How the metrics of AI requests are shown.
    pub fn metrics(&self) -> metrics::Options {
        metrics::Options {
            max_label_sets: self.metrics_label_sets,
            consumer: self.metrics_consumer,
            unprefixed: self.metrics_unprefixed,
        }
    }

    /// Where to listen for clients.
    pub fn proxy(&self) -> Result<Vec<Listen>> {
        Listen::parse(&self.proxy_listen).map_err(|why| anyhow::anyhow!("--proxy-listen: {why}"))
    }
}

/// A plain address; `off` is none.
pub fn address(flag: &str, text: &str) -> Result<Option<SocketAddr>> {
    match text.trim() {
        "off" => Ok(None),
        text => text.parse().map(Some).with_context(|| format!("{flag}: {text}: not an address with a port")),
    }
}

/// How long the upstream of `--upstream` may take: models think for minutes before the first byte of their answer, for
/// which Kong's default of a minute is too short.
const TIMEOUT_MS: u64 = 600_000;

/// The declarative document that `--upstream` stands for: one service, one route to it for everything, the plugin on
/// all of it. `lookup` reads environment variables.
pub fn document(upstream: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Value> {
    // What is wrong with it may be where a key or a password stands: no error repeats the address.
    let url = Url::parse(upstream).context("--upstream: not an address, such as https://api.openai.com")?;
    ensure!(matches!(url.scheme(), "http" | "https"), "--upstream: only http and https are supported");
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        bail!("--upstream: has no host");
    };
    // A password in an address would end up in logs and in the Admin API.
    ensure!(url.username().is_empty() && url.password().is_none(), "--upstream: must not contain credentials");
    ensure!(url.query().is_none() && url.fragment().is_none(), "--upstream: must end with the path");
    let path = url.path().trim_end_matches('/');
    let mut service = json!({
        "name": "upstream", "protocol": url.scheme(), "host": host, "port": port,
        "read_timeout": TIMEOUT_MS, "write_timeout": TIMEOUT_MS,
        "routes": [{ "name": "upstream", "paths": ["/"], "strip_path": false }],
    });
    if let (false, Some(service)) = (path.is_empty(), service.as_object_mut()) {
        service.insert("path".into(), path.into());
    }
    Ok(json!({
        "_format_version": "3.0",
        "services": [service],
        "plugins": [{ "name": crate::plugin::NAME, "config": plugin(lookup) }],
    }))
}

/// Names of the environment variables for Langfuse, our own before those that Langfuse's SDKs read.
const PUBLIC_KEY: [&str; 2] = ["AI_TRACING_LANGFUSE_PUBLIC_KEY", "LANGFUSE_PUBLIC_KEY"];
const SECRET_KEY: [&str; 2] = ["AI_TRACING_LANGFUSE_SECRET_KEY", "LANGFUSE_SECRET_KEY"];
const ENDPOINT: [&str; 3] = ["AI_TRACING_LANGFUSE_ENDPOINT", "LANGFUSE_HOST", "LANGFUSE_BASE_URL"];

/// The first of the variables that is set.
fn first(names: &[&'static str], lookup: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    names.iter().find(|name| lookup(name).is_some_and(|value| !value.trim().is_empty())).copied()
}

/// Of Langfuse's two keys the one that is set, and the names of the one that is missing.
pub fn half_a_key(lookup: &dyn Fn(&str) -> Option<String>) -> Option<(&'static str, [&'static str; 2])> {
    match (first(&PUBLIC_KEY, lookup), first(&SECRET_KEY, lookup)) {
        (Some(set), None) => Some((set, SECRET_KEY)),
        (None, Some(set)) => Some((set, PUBLIC_KEY)),
        _ => None,
    }
}

/// Names the receiver of OTLP traces. A name of our own: OpenTelemetry's variables are set for whole platforms, and
/// conversations must not leave because of them. Its value may refer to them (docs/otlp.md).
const OTLP_ENDPOINT: [&str; 1] = ["AI_TRACING_OTLP_ENDPOINT"];

/// The plugin's configuration from the environment.
fn plugin(lookup: &dyn Fn(&str) -> Option<String>) -> Value {
    let mut config = langfuse(lookup);
    if let Some(endpoint) = first(&OTLP_ENDPOINT, lookup).and_then(lookup) {
        config.insert("otlp_endpoint".into(), endpoint.into());
    }
    Value::Object(config)
}

/// Langfuse is on once both keys are there.
pub fn langfuse(lookup: &dyn Fn(&str) -> Option<String>) -> Map<String, Value> {
    let mut config = Map::new();
    if let (Some(public), Some(secret)) = (first(&PUBLIC_KEY, lookup), first(&SECRET_KEY, lookup)) {
        config.insert("langfuse_enabled".into(), true.into());
        // References, not values: the Admin API shows the configuration.
        config.insert("langfuse_public_key".into(), format!("{{vault://env/{public}}}").into());
        config.insert("langfuse_secret_key".into(), format!("{{vault://env/{secret}}}").into());
    }
    if let Some(endpoint) = first(&ENDPOINT, lookup).and_then(lookup) {
        config.insert("langfuse_endpoint".into(), endpoint.into());
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn one_upstream_is_a_service_a_route_and_a_plugin() {
        let document = document("https://llm.test:8443/api/", &none).unwrap();
        assert_eq!(
            document,
            json!({
                "_format_version": "3.0",
                "services": [{
                    "name": "upstream", "protocol": "https", "host": "llm.test", "port": 8443, "path": "/api",
                    "read_timeout": 600_000, "write_timeout": 600_000,
                    "routes": [{ "name": "upstream", "paths": ["/"], "strip_path": false }],
                }],
                "plugins": [{ "name": "ai-tracing", "config": {} }],
            })
        );
    }

    #[test]
    fn wrong_upstreams_are_refused_without_their_secrets() {
        for wrong in [
            "llm.test",
            "ftp://me:hunter2@llm.test",
            "http://",
            "https://llm.test/?key=hunter2",
            "https://me:hunter2@llm.test",
            "me:hunter2@llm.test",
            "https://me:hunter2@llm.test:port",
        ] {
            let error = format!("{:#}", document(wrong, &none).unwrap_err());
            assert!(error.starts_with("--upstream: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn langfuse_is_on_once_both_keys_are_in_the_environment() {
        let environment = |names: &'static [&'static str]| {
            move |name: &str| names.contains(&name).then(|| format!("value of {name}"))
        };
        let half = environment(&["LANGFUSE_PUBLIC_KEY"]);
        assert_eq!(plugin(&half), json!({}));
        assert_eq!(half_a_key(&half), Some(("LANGFUSE_PUBLIC_KEY", SECRET_KEY)));
        let own = environment(&[
            "LANGFUSE_PUBLIC_KEY",
            "LANGFUSE_SECRET_KEY",
            "AI_TRACING_LANGFUSE_SECRET_KEY",
            "LANGFUSE_BASE_URL",
        ]);
        assert_eq!(half_a_key(&own), None);
        assert_eq!(
            plugin(&own),
            json!({
                "langfuse_enabled": true,
                "langfuse_public_key": "{vault://env/LANGFUSE_PUBLIC_KEY}",
                "langfuse_secret_key": "{vault://env/AI_TRACING_LANGFUSE_SECRET_KEY}",
                "langfuse_endpoint": "value of LANGFUSE_BASE_URL",
            })
        );
    }

    #[test]
    fn otlp_is_on_by_its_own_variable_alone() {
        let standard = |name: &str| name.starts_with("OTEL_").then(|| "http://collector:4318".to_owned());
        assert_eq!(plugin(&standard), json!({}));
        let reference = "{vault://env/OTEL_EXPORTER_OTLP_ENDPOINT}";
        let own = |name: &str| (name == "AI_TRACING_OTLP_ENDPOINT").then(|| reference.to_owned());
        assert_eq!(plugin(&own), json!({"otlp_endpoint": reference}));
    }

    #[test]
    fn addresses_can_be_off() {
        assert_eq!(address("--admin-listen", "off").unwrap(), None);
        assert_eq!(address("--admin-listen", "127.0.0.1:0").unwrap(), Some("127.0.0.1:0".parse().unwrap()));
        assert!(address("--admin-listen", "8001").unwrap_err().to_string().starts_with("--admin-listen: 8001: "));
    }
}
