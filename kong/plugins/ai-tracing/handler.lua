-- AI Tracing: traces LLM traffic. What passes is copied to the engine, which reads it on a thread of its own.
--
-- A call is a number, kept in the request's context. Nothing here may harm a request: whatever goes wrong is logged, and
-- the request goes on untraced.

local ffi = require "ffi"
local cjson = require "cjson.safe"
local engine = require "kong.plugins.ai-tracing.engine"

local AiTracing = {
  -- Below authentication, so that the consumer is known; above prometheus (13), which reads what `log` sets here.
  PRIORITY = 15,
  VERSION = "0.1.0",
}

local MAX_HEADERS = 1000
local MAX_TEXTS = 9 + 2 * MAX_HEADERS
local COMPLETE, CLIENT_GONE, UPSTREAM_ERROR, TIMEOUT, REJECTED = 0, 1, 2, 3, 4

-- Plugins that show what `log` sets.
local READERS = {
  ["file-log"] = true, ["http-log"] = true, ["kafka-log"] = true, ["loggly"] = true,
  ["syslog"] = true, ["tcp-log"] = true, ["udp-log"] = true,
}

-- What the routes of Kong's AI proxy answer in, whatever the upstream speaks.
local ANSWERED_IN = { ["llm/v1/chat"] = "openai_chat", ["llm/v1/completions"] = "openai_completions" }

local row = {}
local texts -- C's view of `row`
local traceparent = ffi.new("char[55]")
local numbers_size = 4096
local numbers = ffi.new("char[?]", numbers_size)


-- Hands `count` texts of `row` to C. They stay alive in `row` until the next request.
local function as_texts(count)
  texts = texts or ffi.new("ai_tracing_text[?]", MAX_TEXTS)
  for i = 1, count do
    local text = row[i]
    if text then
      texts[i - 1].at = text
      texts[i - 1].length = #text
    else
      texts[i - 1].at = nil
    end
  end
  return texts, count
end


-- Puts names and values of headers into `row` behind `count` other texts.
local function add_headers(count, headers)
  for name, value in pairs(headers) do
    if type(value) == "table" then
      value = value[1]
    end
    if type(value) == "string" and count + 2 <= MAX_TEXTS then
      row[count + 1], row[count + 2] = name, value
      count = count + 2
    end
  end
  return count
end


-- One step through a request's plugins of a phase, as Kong keeps them: how many, then each and its configuration.
local function next_plugin(plugins, i)
  i = i + 2
  if i <= plugins[0] then
    return i, plugins[i - 1].name, plugins[i]
  end
end

local NO_PLUGINS = { [0] = 0 }

local function plugins_of(ctx, phase)
  return next_plugin, ctx.plugins and ctx.plugins[phase] or NO_PLUGINS, 0
end


-- Kong's AI proxy, where it is on the request: its configuration. It has no `log`.
local function ai_proxy(ctx)
  for _, name, conf in plugins_of(ctx, "body_filter") do
    if name:sub(1, 8) == "ai-proxy" then
      return conf
    end
  end
end


local function begin(lib, config, headers)
  local request = kong.request
  local service, route, consumer = kong.router.get_service(), kong.router.get_route(), kong.client.get_consumer()
  -- Where the request goes, also where a plugin has decided that.
  local target = ngx.ctx.balancer_data or service or {}
  row[1] = request.get_method()
  row[2] = request.get_raw_path()
  row[3] = request.get_raw_query()
  row[4] = request.get_forwarded_host() or false
  row[5] = target.host or false
  row[6] = service and ngx.var.upstream_uri or false
  row[7] = service and (service.name or service.id) or false
  row[8] = route and (route.name or route.id) or false
  row[9] = consumer and (consumer.username or consumer.custom_id or consumer.id) or false
  local age = (ngx.now() - ngx.req.start_time()) * 1000
  local at, count = as_texts(add_headers(9, headers))
  return lib.ai_tracing_begin(config, at, count, target.port or 0, age, traceparent, 55)
end


-- The upstream's parent is our span.
local function forward_trace(headers)
  local ours, theirs = ffi.string(traceparent, 55), headers.traceparent
  kong.service.request.set_header("traceparent", ours)
  -- Where the caller's trace could not be joined, its state means nothing.
  if headers.tracestate and (type(theirs) ~= "string" or theirs:sub(4, 35) ~= ours:sub(4, 35)) then
    kong.service.request.clear_header("tracestate")
  end
end


-- The AI proxy has put the request into the upstream's format, and will put the answer back into the client's.
local function translated(lib, call)
  local proxy = ai_proxy(ngx.ctx)
  if not proxy or (proxy.llm_format or "openai") ~= "openai" then
    return
  end
  local target = proxy.targets and proxy.targets[1] or proxy
  local dialect = ANSWERED_IN[target.route_type]
  if dialect then
    lib.ai_tracing_answered_in(call, dialect, #dialect)
  end
end


local function copy_request_body(lib, call)
  local route = kong.router.get_route()
  -- An unbuffered one would be held up; without Kong's patches nginx refuses to read one of HTTP/2 without a length.
  if route and route.request_buffering == false or not pcall(ngx.req.read_body) then
    lib.ai_tracing_request_unseen(call)
    return
  end
  local body = ngx.req.get_body_data()
  if body then
    lib.ai_tracing_request_body(call, body, #body)
    return
  end
  local file = ngx.req.get_body_file()
  if file then
    lib.ai_tracing_request_file(call, file, #file)
  end
end


local function access(conf)
  local config, lib = engine.config(conf), engine.lib
  if config == 0 then
    return
  end
  local headers = kong.request.get_headers(MAX_HEADERS)
  local call = begin(lib, config, headers)
  if call == 0 then
    return
  end
  kong.ctx.plugin.call = call
  forward_trace(headers)
  copy_request_body(lib, call)
  translated(lib, call)
  lib.ai_tracing_forward(call)
end


local function header_filter()
  local call = kong.ctx.plugin.call
  if call then
    local at, count = as_texts(add_headers(0, kong.response.get_headers(MAX_HEADERS)))
    engine.lib.ai_tracing_response_head(call, kong.response.get_status(), at, count)
  end
end


local function body_filter()
  local ctx = kong.ctx.plugin
  local call = ctx.call
  if not call then
    return
  end
  local chunk = ngx.arg[1]
  if chunk and chunk ~= "" then
    engine.lib.ai_tracing_response_body(call, chunk, #chunk)
  end
  if ngx.arg[2] then
    ctx.eof = true
  end
end


-- How the exchange ended. The end of a body that breaks off is never seen; nginx calls the request completed all the same,
-- unless it was the client that broke off.
local function ending(eof)
  local source, status = kong.response.get_source(), kong.response.get_status()
  if source == "exit" then
    return status >= 400 and REJECTED or COMPLETE
  elseif source == "error" then
    if status == 499 then
      return CLIENT_GONE
    elseif status == 504 then
      return TIMEOUT
    end
    return status >= 500 and UPSTREAM_ERROR or REJECTED
  end
  if eof then
    return COMPLETE
  elseif ngx.var.request_completion ~= "OK" then
    return CLIENT_GONE
  end
  local bodiless = status == 101 or status == 204 or status == 304
  return bodiless and COMPLETE or UPSTREAM_ERROR
end


-- Whether a plugin shows the numbers of AI calls, and none has reported them already.
local function wanted(ctx)
  for _, name, conf in plugins_of(ctx, "log") do
    if READERS[name] or (name == "prometheus" and conf.ai_metrics) then
      -- That one reports while the body passes.
      local proxy = ai_proxy(ctx)
      return not (proxy and proxy.logging and proxy.logging.log_statistics)
    end
  end
  return false
end


local function log(conf)
  local plugin, ctx = kong.ctx.plugin, ngx.ctx
  local call = plugin.call
  if not call then
    return
  end
  plugin.call = nil
  local tries = ctx.balancer_data and ctx.balancer_data.try_count or 1
  local room = wanted(ctx) and numbers_size or 0
  local length = engine.lib.ai_tracing_finish(call, ending(plugin.eof), tries, numbers, room)
  local values = length > 0 and cjson.decode(ffi.string(numbers, length))
  if values then
    values.meta.plugin_id = conf.__plugin_id
    kong.log.set_serialize_value("ai.ai-tracing.meta", values.meta)
    kong.log.set_serialize_value("ai.ai-tracing.usage", values.usage)
  end
end


local complained = 0

local function guarded(phase, conf)
  local ok, err = pcall(phase, conf)
  if not ok and ngx.now() - complained >= 1 then
    complained = ngx.now()
    ngx.log(ngx.ERR, "AI Tracing: a request is not traced, or not to its end: ", err)
  end
end


function AiTracing:init_worker()
  guarded(engine.start)
end


function AiTracing:configure(configs)
  for _, conf in ipairs(configs or {}) do
    guarded(engine.config, conf)
  end
end


function AiTracing:access(conf)
  guarded(access, conf)
end


function AiTracing:header_filter(conf)
  guarded(header_filter, conf)
end


function AiTracing:body_filter(conf)
  guarded(body_filter, conf)
end


function AiTracing:log(conf)
  guarded(log, conf)
end


return AiTracing
