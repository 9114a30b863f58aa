-- The handler against a host that is made up, and a library that writes down what it is told.

local ffi = require "ffi"
-- Where lua-resty-core is, it has declared these.
ffi.cdef [[
  typedef struct { int len; const unsigned char *data; } ngx_http_lua_ffi_str_t;
  typedef struct { ngx_http_lua_ffi_str_t key, value; } ngx_http_lua_ffi_table_elt_t;
]]
package.loaded["resty.core.base"], package.loaded["resty.core.request"] = {}, true
local headers = require "kong.plugins.ai-tracing.headers"

local CALL, CONFIG = 77, 5
local PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


-- A host whose answers the test sets, and the handler in it.
local function set_up(has)
  has = has or {}
  local told = {} -- what the library was told, in order
  local set, cleared, serialized, logged, timers, configs = {}, {}, {}, {}, {}, {}

  local function note(name)
    return function(call, text, length)
      told[#told + 1] = { name, call, type(text) == "string" and text:sub(1, length) or nil }
      return 1
    end
  end

  local lib = {
    ai_tracing_begin = function(config, texts, count, found, found_count, port, age, out, size)
      local row = {}
      for i = 0, count - 1 do
        row[#row + 1] = texts[i].at ~= nil and ffi.string(texts[i].at, texts[i].length) or "-"
      end
      told[#told + 1] = { "begin", config, row, port, age, found, found_count }
      assert.equal(56, size)
      ffi.copy(out, PARENT)
      out[55] = has.drop_tracestate and 1 or 0
      return has.call or CALL
    end,
    ai_tracing_request_body = note("request_body"),
    ai_tracing_request_file = note("request_file"),
    ai_tracing_request_unseen = note("request_unseen"),
    ai_tracing_answered_in = note("answered_in"),
    ai_tracing_response_head = function(call, status, texts, count)
      local row = {}
      for i = 0, count - 1 do
        row[#row + 1] = ffi.string(texts[i].at, texts[i].length)
      end
      told[#told + 1] = { "response_head", call, status, row }
    end,
    ai_tracing_response_body = note("response_body"),
    ai_tracing_finish = function(call, ending, tries, out, size)
      told[#told + 1] = { "finish", call, ending, tries, size > 0 }
      local text = has.numbers or ""
      ffi.copy(out, text)
      return #text
    end,
  }
  package.loaded["kong.plugins.ai-tracing.handler"] = nil
  headers.of_request = function() return "all of them", 7 end
  package.loaded["kong.plugins.ai-tracing.engine"] = {
    lib = lib,
    config = function(conf)
      configs[#configs + 1] = conf
      return has.config or CONFIG
    end,
    start = has.start or function() end,
  }

  local ctx = { plugins = has.plugins, balancer_data = has.balancer_data }
  local plugin_ctx = {}
  _G.ngx = {
    ctx = ctx,
    arg = {},
    var = {
      request_uri = "/v1/chat/completions?a=b", args = "a=b", upstream_uri = "/v1/up",
      request_completion = has.completion or "OK",
    },
    status = has.status or 200,
    ERR = 4,
    now = function() return has.now or 100.5 end,
    log = function(_, ...) logged[#logged + 1] = table.concat({ ... }) end,
    timer = { every = function(_, call) timers[#timers + 1] = call end },
    req = {
      start_time = function() return 100.25 end,
      get_method = function() return "POST" end,
      set_header = function(name, value) set[name] = value end,
      clear_header = function(name) cleared[name] = true end,
      read_body = has.read_body or function() end,
      get_body_data = function() return has.body end,
      get_body_file = function() return has.file end,
    },
    resp = { get_headers = has.response_headers or function() return { ["Content-Type"] = "application/json" } end },
  }
  _G.kong = {
    version_num = has.version_num or 3009003,
    ctx = { plugin = plugin_ctx },
    client = { get_consumer = function() return has.consumer end },
    router = {
      get_service = function() return has.service end,
      get_route = function() return has.route end,
    },
    request = { get_forwarded_host = function() return "example.com" end },
    response = { get_source = function() return has.source or "service" end },
    log = { set_serialize_value = function(key, value) serialized[key] = value end },
  }
  local handler = require "kong.plugins.ai-tracing.handler"
  local conf = { __plugin_id = "id-of-plugin", providers = has.providers or {} }
  return {
    handler = handler, conf = conf, told = told, set = set, cleared = cleared, serialized = serialized, logged = logged,
    timers = timers, configs = configs,
    run = function(phase, chunk, eof)
      ngx.arg[1], ngx.arg[2] = chunk, eof
      handler[phase](handler, conf)
    end,
  }
end


-- Kong's list of plugins of a phase, with this one at its head.
local function phase_of(plugins)
  local list = { [0] = 2, { name = "ai-tracing" }, {} }
  for _, plugin in ipairs(plugins) do
    list[#list + 1], list[#list + 2] = { name = plugin[1] }, plugin[2] or {}
    list[0] = list[0] + 2
  end
  return list
end


local function told_of(host, name)
  for _, entry in ipairs(host.told) do
    if entry[1] == name then
      return entry
    end
  end
end


describe("ai-tracing: the handler", function()
  it("has its place among Kong's plugins and the version of the release", function()
    local handler = set_up().handler
    assert.is_true(handler.PRIORITY > 13 and handler.PRIORITY < 770)
    local file = assert(io.open("Cargo.toml"))
    local version = file:read("*a"):match('version = "([^"]+)"')
    file:close()
    assert.equal(version, handler.VERSION)
    assert(io.open("kong-plugin-ai-tracing-" .. version .. "-1.rockspec")):close()
  end)

  it("tells the engine who calls, what, and where it goes", function()
    local host = set_up {
      body = "{}",
      service = { id = "1", name = "svc", host = "api.openai.com", port = 443 },
      route = { id = "2" },
      consumer = { custom_id = "acme" },
    }
    host.run("access")
    local begun = host.told[1]
    assert.same({ "begin", CONFIG, begun[3], 443, 250, "all of them", 7 }, begun)
    assert.same({ "POST", "/v1/chat/completions?a=b", "a=b", "-", "api.openai.com", "/v1/up", "svc", "2", "acme" }, begun[3])
    assert.same({ "request_body", CALL, "{}" }, host.told[2])
    assert.equal(PARENT, host.set.traceparent)
  end)

  it("asks for the host where something depends on it", function()
    for _, case in ipairs {
      { has = { service = { id = "1", host = "up" } }, host = "-" },
      { has = { service = { id = "1", host = "up" }, providers = { { name = "acme", host = "*.acme.io" } } }, host = "example.com" },
      { has = {}, host = "example.com" },
    } do
      local host = set_up(case.has)
      host.run("access")
      assert.equal(case.host, host.told[1][3][4])
    end
  end)

  it("takes the host that a plugin has chosen", function()
    local host = set_up { service = { host = "nowhere", port = 9 }, balancer_data = { host = "api.anthropic.com", port = 443 } }
    host.run("access")
    local begun = told_of(host, "begin")
    assert.same({ "api.anthropic.com", 443 }, { begun[3][5], begun[4] })
  end)

  it("tells what ai-proxy answers in, where it translates", function()
    local chat, native = { route_type = "llm/v1/chat" }, { route_type = "llm/v1/chat", llm_format = "gemini" }
    for _, case in ipairs {
      { { { "ai-proxy", chat } }, "openai_chat" },
      { { { "cors" }, { "ai-proxy", { route_type = "llm/v1/completions", llm_format = "openai" } } }, "openai_completions" },
      { { { "ai-proxy-advanced", { targets = { chat } } } }, "openai_chat" },
      { { { "ai-proxy", native } } }, { { { "ai-proxy", { route_type = "preserve" } } } }, { { { "cors" } } },
    } do
      local host = set_up { body = "{}", plugins = { body_filter = phase_of(case[1]) } }
      host.run("access")
      local told = told_of(host, "answered_in") or {}
      assert.equal(case[2], told[3])
    end
  end)

  it("says what is not known", function()
    local host = set_up { body = "{}" }
    host.run("access")
    assert.same({ "-", "-", "-", "-", "-" }, { unpack(host.told[1][3], 5) })
  end)

  it("leaves other traffic alone", function()
    for _, has in ipairs { { call = 0 }, { config = 0 } } do
      local host = set_up(has)
      for _, phase in ipairs { "access", "header_filter", "body_filter", "log" } do
        host.run(phase, "x", true)
      end
      assert.is_true(#host.told <= 1)
      assert.same({}, host.set)
    end
  end)

  it("finds the body in its file, and leaves one alone that is not buffered", function()
    local host = set_up { file = "/temp/1" }
    host.run("access")
    assert.same({ "request_file", CALL, "/temp/1" }, host.told[2])

    host = set_up { route = { id = "r", request_buffering = false }, read_body = function() host.read = true end }
    host.run("access")
    assert.same({ "request_unseen", CALL }, host.told[2])
    assert.is_nil(host.read)

    host = set_up { read_body = function() error("http2 requests are not supported without content-length header") end }
    host.run("access")
    assert.same({ "request_unseen", CALL }, host.told[2])
    assert.same({}, host.logged)

    host = set_up {}
    host.run("access")
    assert.same({ "request_body", CALL }, host.told[2])
  end)

  it("clears a tracestate whose trace could not be joined", function()
    local host = set_up { drop_tracestate = true }
    host.run("access")
    assert.is_true(host.cleared.tracestate)
    host = set_up()
    host.run("access")
    assert.is_nil(host.cleared.tracestate)
  end)

  it("copies the answer, and nothing of it twice", function()
    local host = set_up { body = "{}" }
    host.run("access")
    host.run("header_filter")
    host.run("body_filter", "", false)
    host.run("body_filter", "data: 1", false)
    host.run("body_filter", nil, true)
    host.run("log")
    host.run("log")
    local names = {}
    for _, entry in ipairs(host.told) do names[#names + 1] = entry[1] end
    assert.same({ "begin", "request_body", "response_head", "response_body", "finish" }, names)
    assert.same({ "response_head", CALL, 200, { "Content-Type", "application/json" } }, host.told[3])
    assert.same({ "finish", CALL, 0, 1, false }, host.told[5])
  end)

  it("tells the first value of a header that the answer repeats, and of too many what there is room for", function()
    local host = set_up { response_headers = function() return { ["x-request-id"] = { "a", "b" } } end }
    host.run("access")
    host.run("header_filter")
    assert.same({ "x-request-id", "a" }, told_of(host, "response_head")[4])
    host = set_up { response_headers = function()
      local many = {}
      for i = 1, headers.MAX + 4 do many["x-" .. i] = "y" end
      return many
    end }
    host.run("access")
    host.run("header_filter")
    assert.equal(2 * headers.MAX, #told_of(host, "response_head")[4])
  end)

  -- source, status, end of body seen, nginx's `request_completion`, the engine's number
  local ends = {
    { "service", 200, true, "OK", 0 }, { "service", 500, true, "OK", 0 }, { "service", 200, true, "", 0 },
    { "service", 200, false, "", 1 }, { "service", 200, false, "OK", 2 }, { "service", 204, false, "OK", 0 },
    { "error", 499, false, "", 1 }, { "error", 502, true, "OK", 2 }, { "error", 504, true, "OK", 3 },
    { "error", 400, false, "", 1 }, { "error", 413, true, "OK", 4 }, { "exit", 403, true, "OK", 4 }, { "exit", 200, true, "OK", 0 },
  }
  for _, case in ipairs(ends) do
    it("knows how " .. table.concat({ case[1], case[2], tostring(case[3]), case[4] }, " ") .. " ended", function()
      local host = set_up { source = case[1], status = case[2], completion = case[4] }
      host.run("access")
      if case[3] then
        host.run("body_filter", nil, true)
      end
      host.run("log")
      assert.equal(case[5], told_of(host, "finish")[3])
    end)
  end

  it("tells of retries", function()
    local host = set_up { balancer_data = { try_count = 3 } }
    host.run("access")
    host.run("log")
    assert.equal(3, told_of(host, "finish")[4])
  end)

  -- `filters`: plugins that see bodies, as Kong's AI proxy does, and do not log.
  local function log_with(loggers, filters)
    local host = set_up {
      plugins = { log = phase_of(loggers), body_filter = phase_of(filters or {}) },
      numbers = '{"meta":{"provider_name":"openai","llm_latency":1.5},"usage":{"total_tokens":10}}',
    }
    host.run("access")
    host.run("log")
    return host
  end

  it("gives Kong's log the numbers where a plugin shows them", function()
    for _, reader in ipairs { { "prometheus", { ai_metrics = true } }, { "http-log" }, { "file-log" } } do
      local host = log_with({ reader })
      assert.is_true(told_of(host, "finish")[5])
      assert.same({ provider_name = "openai", llm_latency = 1.5, plugin_id = "id-of-plugin" },
        host.serialized["ai.ai-tracing.meta"])
      assert.same({ total_tokens = 10 }, host.serialized["ai.ai-tracing.usage"])
    end
  end)

  it("does not ask for them where nobody shows them", function()
    for _, loggers in ipairs { {}, { { "prometheus", { ai_metrics = false } } }, { { "cors" } } } do
      assert.is_false(told_of(log_with(loggers), "finish")[5])
    end
  end)

  it("does not ask for them where ai-proxy reports the same call", function()
    for _, name in ipairs { "ai-proxy", "ai-proxy-advanced" } do
      for _, reports in ipairs { true, false } do
        local host = log_with({ { "file-log" } }, { { name, { logging = { log_statistics = reports } } } })
        assert.equal(not reports, told_of(host, "finish")[5])
      end
      assert.is_true(told_of(log_with({ { "file-log" } }, { { name } }), "finish")[5])
    end
  end)

  it("is told of the configurations, or finds them where Kong does not tell", function()
    local a, b, c = {}, {}, {}
    local kept = {
      ws = {
        one = { combos = { ["ai-tracing"] = { ["::"] = a, [":s:"] = b }, ["key-auth"] = { ["::"] = {} } } },
        two = { combos = {} },
      },
    }
    package.loaded["kong.runloop.handler"] = { get_plugins_iterator = function() return kept end }
    local host = set_up {}
    host.handler:init_worker()
    host.handler:configure { a }
    host.handler:configure()
    assert.same({ 0, 1 }, { #host.timers, #host.configs })

    host = set_up { version_num = 3004002 }
    host.handler:init_worker()
    assert.equal(1, #host.timers)
    host.timers[1]()
    host.timers[1]()
    assert.equal(2, #host.configs)
    local found = { [host.configs[1]] = true, [host.configs[2]] = true }
    assert.is_true(found[a] and found[b])
    kept = { ws = { one = { combos = { ["ai-tracing"] = { ["::"] = c } } } } }
    host.timers[1]()
    assert.is_true(rawequal(c, host.configs[3]))
    assert.same({}, host.logged)
  end)

  it("is loaded where nobody declares nginx' headers: Kong does so for TCP", function()
    local known, new = headers, ffi.new
    ffi.new = function(kind, ...)
      assert(not kind:find("ngx_", 1, true), "declaration specifier expected")
      return new(kind, ...)
    end
    package.loaded["kong.plugins.ai-tracing.headers"] = nil
    local ok, loaded = pcall(require, "kong.plugins.ai-tracing.headers")
    package.loaded["kong.plugins.ai-tracing.headers"], ffi.new = known, new
    assert.is_true(ok, loaded)
    assert.is_false(loaded.are_known())
    assert.is_true(known.are_known())
  end)

  it("harms no request, whatever goes wrong, and says so once a second", function()
    local host = set_up { response_headers = function() error("broken") end, start = function() error("a defect") end }
    host.run("access")
    host.run("header_filter")
    host.run("header_filter")
    host.handler:init_worker()
    assert.equal(1, #host.logged)
    assert.is_truthy(host.logged[1]:match("^AI Tracing: a request is not traced, or not to its end: .*broken"))
    host.run("log")
    assert.equal(CALL, told_of(host, "finish")[2])
  end)
end)
