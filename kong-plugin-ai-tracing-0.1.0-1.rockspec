rockspec_format = "3.0"
package = "kong-plugin-ai-tracing"
version = "0.1.0-1"

-- `luarocks make` in a checkout does not fetch it; a published rockspec names the release's archive here.
source = {
  url = "git+file://.",
}

description = {
  summary = "Traces LLM traffic through Kong Gateway",
  detailed = [[
    Recognises LLM calls that pass through Kong Gateway and sends each as a complete trace to Langfuse and to
    OpenTelemetry receivers, with no change to applications.
  ]],
  license = "Apache-2.0",
}

supported_platforms = { "linux" }

dependencies = {
  "lua >= 5.1",
}

-- The library is built with cargo, or taken from where AI_TRACING_LIBRARY says.
build = {
  type = "command",
  build_command = "scripts/kong-library.sh",
  install = {
    lua = {
      ["kong.plugins.ai-tracing.engine"] = "kong/plugins/ai-tracing/engine.lua",
      ["kong.plugins.ai-tracing.ffi"] = "kong/plugins/ai-tracing/ffi.lua",
      ["kong.plugins.ai-tracing.handler"] = "kong/plugins/ai-tracing/handler.lua",
      ["kong.plugins.ai-tracing.headers"] = "kong/plugins/ai-tracing/headers.lua",
      ["kong.plugins.ai-tracing.schema"] = "kong/plugins/ai-tracing/schema.lua",
    },
    lib = {
      ["libai_tracing_kong"] = "target/rock/libai_tracing_kong.so",
    },
  },
}
