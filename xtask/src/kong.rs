//! The generated files of the Kong plugin: `schema.lua` from the plugin's schema, `ffi.lua` from the library's exports.

use std::fs;
use std::path::Path;

use ai_tracing_config::ai_tracing;
use ai_tracing_kong::ffi;
use anyhow::{Context, Result, bail, ensure};

const FOLDER: &str = "kong/plugins/ai-tracing";

/// Brings the files up to date.
pub fn write(root: &Path) -> Result<()> {
    for (name, text) in files()? {
        let path = root.join(FOLDER).join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::write(&path, text).with_context(|| format!("cannot write {FOLDER}/{name}"))?;
        }
    }
    Ok(())
}

/// Fails when a file is out of date.
pub fn check(root: &Path) -> Result<()> {
    for (name, text) in files()? {
        let found = fs::read_to_string(root.join(FOLDER).join(name)).unwrap_or_default();
        ensure!(found == text, "{FOLDER}/{name} is stale: run `cargo xtask docs`");
    }
    Ok(())
}

fn files() -> Result<[(&'static str, String); 2]> {
    let schema =
        ai_tracing::schema().to_lua("Written by `cargo xtask docs` from crates/config; changes here are lost.");
    Ok([("schema.lua", schema), ("ffi.lua", declarations()?)])
}

/// The C declarations of the library, and the version they are of.
fn declarations() -> Result<String> {
    let mut lines = String::new();
    for (name, arguments) in ffi::EXPORTS {
        let arguments = arguments.iter().map(|(name, kind)| c_argument(name, kind)).collect::<Result<Vec<_>>>()?;
        let arguments = if arguments.is_empty() { "void".to_owned() } else { arguments.join(", ") };
        lines.push_str(&format!("int32_t {name}({arguments});\n"));
    }
    Ok(format!(
        "-- Written by `cargo xtask docs` from crates/kong/src/ffi.rs, which says what each function does; changes here are \
         lost.\nlocal ffi = require \"ffi\"\n\nffi.cdef [[\ntypedef struct {{ const char *at; size_t length; }} \
         ai_tracing_text;\n\n{lines}]]\n\nreturn {{ ABI = {} }}\n",
        ffi::ABI
    ))
}

fn c_argument(name: &str, kind: &str) -> Result<String> {
    Ok(match kind {
        "i32" => format!("int32_t {name}"),
        "usize" => format!("size_t {name}"),
        "*const u8" => format!("const char *{name}"),
        "*mut u8" => format!("char *{name}"),
        "*mut i32" => format!("int32_t *{name}"),
        // Lua hands on what another module has declared.
        "*const NginxHeader" => format!("const void *{name}"),
        "*const Text" => format!("const ai_tracing_text *{name}"),
        other => bail!("no C type is known for {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root;

    #[test]
    fn the_files_are_up_to_date() {
        check(root()).unwrap();
    }

    #[test]
    fn a_declaration_is_c() {
        let text = declarations().unwrap();
        for line in [
            "int32_t ai_tracing_abi(void);",
            "int32_t ai_tracing_request_body(int32_t call, const char *body, size_t length);",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        assert!(c_argument("x", "f32").is_err());
    }
}
