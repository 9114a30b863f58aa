-- AI Tracing: traces LLM traffic. What passes is copied to the engine, which reads it on a thread of its own.
--
-- A call is a number, kept in the request's context. Nothing here may harm a request: whatever goes wrong is logged, and
-- the request goes on untraced.

local ffi = require "ffi"
local cjson = require "cjson.safe"
local engine = require "kong.plugins.ai-tracing.engine"
local headers = require "kong.plugins.ai-tracing.headers"

local AiTracing = {
  -- Below authentication, so that the consumer is known; above prometheus (13), which reads what `log` sets here.
  PRIORITY = 15,
  VERSION = "0.1.0",
}

local COMPLETE, CLIENT_GONE, UPSTREAM_ERROR, TIMEOUT, REJECTED = 0, 1, 2, 3, 4

-- Plugins that show what `log` sets.
local READERS = {
  ["file-log"] = true, ["http-log"] = true, ["kafka-log"] = true, ["loggly"] = true,
  ["syslog"] = true, ["tcp-log"] = true, ["udp-log"] = true,
}

-- Kong's AI proxies, and what their routes answer in, whatever the upstream speaks.
local PROXIES = { ["ai-proxy"] = true, ["ai-proxy-advanced"] = true }
local ANSWERED_IN = { ["llm/v1/chat"] = "openai_chat", ["llm/v1/completions"] = "openai_completions" }

local NOWHERE = {}
local TEXTS = 9
local row = {} -- keeps alive what `texts` points at
local texts = ffi.new("ai_tracing_text[?]", TEXTS)
local trace = ffi.new("char[56]")
local numbers_size = 4096
local numbers = ffi.new("char[?]", numbers_size)


local function put(i, text)
  row[i] = text or false
  texts[i].at, texts[i].length = text or nil, text and #text or 0
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
    if PROXIES[name] then
      return conf
    end
  end
end


-- Straight code without a loop, a table or a tail call: LuaJIT makes one trace of it.
local function begin(lib, config, conf, service, route)
  local consumer = kong.client.get_consumer()
  -- Where the request goes, also where a plugin has decided that.
  local target = ngx.ctx.balancer_data or service or NOWHERE
  put(0, ngx.req.get_method())
  put(1, ngx.var.request_uri)
  put(2, ngx.var.args)
  -- Only where nothing else tells: finding out whom to believe takes a while.
  put(3, (not target.host or conf.providers[1]) and kong.request.get_forwarded_host())
  put(4, target.host)
  put(5, service and ngx.var.upstream_uri)
  put(6, service and (service.name or service.id))
  put(7, route and (route.name or route.id))
  put(8, consumer and (consumer.username or consumer.custom_id or consumer.id))
  local age = (ngx.now() - ngx.req.start_time()) * 1000
  local found, count = headers.of_request()
  local call = lib.ai_tracing_begin(config, texts, TEXTS, found, count, target.port or 0, age, trace, 56)
  return call
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


local function copy_request_body(lib, call, route)
  -- An unbuffered one would be held up; without Kong's patches nginx refuses to read one of HTTP/2 without a length.
  if route and route.request_buffering == false or not pcall(ngx.req.read_body) then
    lib.ai_tracing_request_unseen(call)
    return
  end
  local body = ngx.req.get_body_data()
  local file = not body and ngx.req.get_body_file()
  if file then
    lib.ai_tracing_request_file(call, file, #file)
  else
    lib.ai_tracing_request_body(call, body, body and #body or 0)
  end
end


local function access(conf)
  local config, lib = engine.config(conf), engine.lib
  if config == 0 then
    return
  end
  local service, route = kong.router.get_service(), kong.router.get_route()
  local call = begin(lib, config, conf, service, route)
  if call == 0 then
    return
  end
  kong.ctx.plugin.call = call
  -- The upstream's parent is our span. Where the caller's trace could not be joined, its state means nothing.
  ngx.req.set_header("traceparent", ffi.string(trace, 55))
  if trace[55] == 1 then
    ngx.req.clear_header("tracestate")
  end
  copy_request_body(lib, call, route)
  translated(lib, call)
end


local function header_filter()
  local call = kong.ctx.plugin.call
  if call then
    local all = ngx.resp.get_headers(headers.MAX, true)
    local found, count = headers.of_response(all)
    engine.lib.ai_tracing_response_head(call, ngx.status, found, count)
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
  local source, status = kong.response.get_source(), ngx.status
  if source == "exit" then
    return status >= 400 and REJECTED or COMPLETE
  elseif source == "error" then
    if status == 504 then
      return TIMEOUT
    elseif status >= 500 then
      return UPSTREAM_ERROR
    end
    -- A 400 is also what nginx says to itself of a client that breaks off within its request.
    return (status == 499 or ngx.var.request_completion ~= "OK") and CLIENT_GONE or REJECTED
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


-- Kong before 3.5 tells of a configuration with the first request that it is for. What an earlier worker has left would
-- wait for that one, so they are looked for where Kong keeps them.
local seen

local function look_for_configs()
  local plugins = require("kong.runloop.handler").get_plugins_iterator()
  if plugins == seen then
    return
  end
  seen = plugins
  for _, workspace in pairs(plugins.ws) do
    for _, conf in pairs(workspace.combos["ai-tracing"] or NOWHERE) do
      engine.config(conf)
    end
  end
end


local function start()
  engine.start()
  if engine.lib and kong.version_num < 3005000 then
    ngx.timer.every(1, function()
      guarded(look_for_configs)
    end)
  end
end


function AiTracing:init_worker()
  guarded(start)
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
