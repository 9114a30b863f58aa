-- Kong's part: calls the plugin's phases in the order, and with the parts of the PDK, that a real Kong does.
--
-- Routes, services, consumers and plugins come from a declarative configuration in JSON. Beside the plugin there are the
-- two of Kong's plugins that tests need: `key-auth` tells the consumer, `file-log` writes what the log serializer has.

local cjson = require "cjson.safe"
local pdk = require "pdk"
local schema = require "schema"

local host = {}

local routes = {} -- longest path first
local consumers = {} -- by key
local handler
local empty = { access = true, header_filter = true, body_filter = true, log = true }
local contexts = {} -- of requests that were sent to another location, which makes nginx forget theirs
local last = 0


local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return assert(cjson.decode(text))
end


local function find(plugins, name)
  for _, plugin in ipairs(plugins or {}) do
    if plugin.name == name then
      return plugin
    end
  end
end


-- The configuration as Kong hands it to a plugin.
local function conf(plugin)
  local checked, errors = schema.check(require "kong.plugins.ai-tracing.schema", plugin.config or {})
  assert(checked, cjson.encode(errors))
  schema.without_nulls(checked)
  checked.__plugin_id = plugin.id or "c0ffee00-0000-4000-8000-000000000000"
  return checked
end


function host.init(config, prefix, mode)
  schema.is_regex = function(pattern)
    local _, err = ngx.re.match("", pattern)
    return err == nil
  end
  kong = pdk(prefix) -- luacheck: ignore
  local declared = read(config)
  for _, consumer in ipairs(declared.consumers or {}) do
    for _, credential in ipairs(consumer.keyauth_credentials or {}) do
      consumers[credential.key] = consumer
    end
  end
  for _, service in ipairs(declared.services or {}) do
    local address, port, path = service.url:match("^http://([^:/]+):?(%d*)(.*)$")
    service.host, service.port, service.path = address, tonumber(port) or 80, path
    for _, route in ipairs(service.routes or {}) do
      local ours = find(route.plugins, "ai-tracing") or find(service.plugins, "ai-tracing")
        or find(declared.plugins, "ai-tracing")
      for _, prefix_of_path in ipairs(route.paths) do
        routes[#routes + 1] = {
          path = prefix_of_path, route = route, service = service,
          conf = ours and conf(ours),
          auth = find(declared.plugins, "key-auth"),
          log = find(declared.plugins, "file-log"),
          others = declared.plugins or {},
          cut = find(route.plugins, "request-termination"),
        }
      end
    end
  end
  table.sort(routes, function(a, b) return #a.path > #b.path end)
  if mode == "ours" then
    handler = require "kong.plugins.ai-tracing.handler"
  elseif mode == "empty" then
    handler = setmetatable({}, { __index = function(_, phase) return empty[phase] and function() end end })
  end
end


function host.init_worker()
  if not handler then
    return
  end
  if handler.init_worker then
    handler:init_worker()
  end
  if handler.configure then
    local confs = {}
    for _, entry in ipairs(routes) do
      confs[#confs + 1] = entry.conf
    end
    handler:configure(confs)
  end
end


-- Runs a phase of the plugin, where the request's route has it.
local function run(phase)
  local ctx = ngx.ctx
  local entry = ctx.entry
  if handler and entry and entry.conf and (ctx.collected or phase == "access") then
    handler[phase](handler, entry.conf)
  end
end


function host.rewrite()
  local ctx, uri = ngx.ctx, ngx.var.request_uri
  local path = uri:match("^[^?]*")
  for i = 1, #routes do
    local entry = routes[i]
    if path:sub(1, #entry.path) == entry.path then
      ctx.entry, ctx.route, ctx.service = entry, entry.route, entry.service
      ctx.balancer_data = { host = entry.service.host, port = entry.service.port, try_count = 0 }
      ngx.var.upstream_uri = entry.service.path
        .. (entry.route.strip_path == false and path or "/" .. path:sub(#entry.path + 1):gsub("^/", ""))
      return
    end
  end
end


local function authenticate(ctx)
  local consumer = consumers[ngx.req.get_headers().apikey or ""]
  ctx.authenticated_consumer = consumer
  return consumer
end


function host.access()
  local ctx = ngx.ctx
  local entry = ctx.entry
  if not entry then
    ctx.KONG_EXITED = true
    ngx.status = 404
    ngx.header["content-type"] = "application/json"
    ngx.print('{"message":"no Route matched with those values"}')
    return ngx.exit(404)
  end
  if entry.auth and not authenticate(ctx) then
    ctx.KONG_EXITED = true
    ngx.status = 401
    ngx.print('{"message":"Unauthorized"}')
    return ngx.exit(401)
  end
  local log = { [0] = 2, { name = "ai-tracing" }, entry.conf }
  for _, other in ipairs(entry.others) do
    log[#log + 1], log[#log + 2], log[0] = other, other.config, log[0] + 2
  end
  ctx.plugins = { log = log }
  -- Kong runs it in a coroutine, in which the plugin may wait.
  local ok, err = coroutine.resume(coroutine.create(run), "access")
  if not ok then
    ctx.KONG_UNEXPECTED = true
    ngx.log(ngx.ERR, err)
    return ngx.exit(500)
  end
  ctx.collected = true
  if entry.cut then
    ctx.KONG_EXITED = true
    ngx.status = entry.cut.config.status_code
    ngx.print('{"message":"' .. entry.cut.config.message .. '"}')
    return ngx.exit(ngx.status)
  end
  local args = ngx.var.args
  ngx.var.upstream_uri = ngx.var.upstream_uri .. (args and "?" .. args or "")
  host.keep()
  if entry.route.response_buffering == false or entry.route.request_buffering == false then
    return ngx.exec("@unbuffered")
  end
end


-- What nginx would forget on its way to another location.
function host.keep()
  last = last + 1
  ngx.var.ctx_ref = last
  contexts[tostring(last)] = ngx.ctx
end


function host.restore()
  local kept = contexts[ngx.var.ctx_ref]
  if kept then
    ngx.ctx = kept
  end
end


function host.balancer()
  local balancer = require "ngx.balancer"
  local ctx = ngx.ctx
  local data = ctx.balancer_data
  data.try_count = data.try_count + 1
  local service = ctx.service
  if data.try_count <= (service.retries or 0) then
    balancer.set_more_tries(1)
  end
  assert(balancer.set_current_peer(service.host, service.port))
end


function host.header_filter()
  local ctx = ngx.ctx
  -- Said by the upstream, not by nginx in its place.
  ctx.KONG_PROXIED = ngx.var.upstream_http_date ~= nil or ngx.var.upstream_header_time ~= nil
    and ngx.var.uri ~= "/kong_error_handler"
  run("header_filter")
end


function host.body_filter()
  run("body_filter")
end


function host.log()
  local ctx = ngx.ctx
  run("log")
  contexts[ngx.var.ctx_ref] = nil
  local log = ctx.collected and ctx.entry.log
  if log then
    local file = assert(io.open(log.config.path, "a"))
    file:write(cjson.encode(kong.log.serialize()), "\n")
    file:close()
  end
end


function host.answer_error()
  ngx.header["content-type"] = "application/json"
  ngx.print('{"message":"An error occurred"}')
end


function host.stats()
  ngx.say(require "kong.plugins.ai-tracing.engine".stats() or "null")
end


return host
