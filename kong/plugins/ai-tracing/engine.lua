-- The engine's library: found, started once in each worker, told of configurations, and listened to.
--
-- Without the library, or with one of another version, everything here does nothing, and Kong's log says so once.

local ffi = require "ffi"
local cjson = require "cjson.safe"
local headers = require "kong.plugins.ai-tracing.headers"
local interface = require "kong.plugins.ai-tracing.ffi"

local NAME = "libai_tracing_kong"
local BUDGET_MS = 2000 -- what a worker's exit may take; Kong kills it a second later
local LINE = 4096
local LINES = 500 -- of one look at the engine's log
local LOOK_EVERY = 1 -- seconds

-- nginx clears the environment of its workers: what is read later is not there.
local CAPTURE_MEMORY = tonumber(os.getenv("AI_TRACING_CAPTURE_MEMORY"))
local SPOOL_MAX_SIZE = tonumber(os.getenv("AI_TRACING_SPOOL_MAX_SIZE"))

local engine = {
  lib = nil, -- the library, once it runs
}

local buffer = ffi.new("char[?]", LINE)
local level = ffi.new("int32_t[1]")
local configs = setmetatable({}, { __mode = "k" }) -- what is known of a configuration, as long as Kong keeps it
local sentinel -- luacheck: ignore (kept alive until the VM is closed)


-- Beside this file, then along package.cpath.
local function find()
  local folder = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
  local places = { folder .. NAME .. ".so" }
  for template in package.cpath:gmatch("[^;]+") do
    places[#places + 1] = template:gsub("%?", NAME)
  end
  for _, place in ipairs(places) do
    local file = io.open(place, "rb")
    if file then
      file:close()
      return place
    end
  end
  return nil, NAME .. ".so is neither in " .. folder .. " nor along package.cpath"
end


local function load()
  local path, err = find()
  if not path then
    return nil, err
  end
  local ok, lib = pcall(ffi.load, path)
  if not ok then
    return nil, "cannot load " .. path .. ": " .. tostring(lib)
  end
  local versioned, version = pcall(function()
    return lib.ai_tracing_abi()
  end)
  if not versioned or version ~= interface.ABI then
    return nil, path .. " is of another version than the plugin's Lua files: install both from one release"
  end
  if not headers.are_known() then
    return nil, "the plugin does not know how this OpenResty keeps headers: install a newer release"
  end
  return lib
end


-- The least important level that Kong's log shows now; it can be changed at run time.
local function shown()
  local ok, module = pcall(require, "resty.kong.log")
  if ok and module.get_log_level then
    return module.get_log_level()
  end
  ok, module = pcall(require, "ngx.errlog")
  return ok and module.get_sys_filter_level() or ngx.DEBUG
end


-- The engine's log lines go to Kong's log.
local function listen(lib)
  local least = shown()
  for _ = 1, LINES do
    local length = lib.ai_tracing_log(least, level, buffer, LINE)
    if length == 0 then
      return
    end
    ngx.log(level[0], ffi.string(buffer, length))
  end
end


local function options()
  return cjson.encode({
    capture_memory = CAPTURE_MEMORY,
    -- Where traces wait for their destinations, of all workers.
    spool = kong.configuration.prefix .. "/ai-tracing/spool",
    spool_max_size = SPOOL_MAX_SIZE,
  })
end


-- Starts the engine in this worker, where requests are served.
function engine.start()
  if engine.lib or ngx.config.subsystem ~= "http" or kong.configuration.role == "control_plane" then
    return
  end
  local lib, err = load()
  if not lib then
    ngx.log(ngx.ERR, "AI Tracing: nothing is traced: ", err)
    return
  end
  local json = options()
  if lib.ai_tracing_start(json, #json) == 0 then
    listen(lib)
    return
  end
  -- Plugins are not told of a worker's exit; this runs when its VM is closed, after the last request.
  sentinel = ffi.gc(ffi.new("char[1]"), function()
    lib.ai_tracing_stop(BUDGET_MS)
  end)
  engine.lib = lib
  listen(lib)
  ngx.timer.every(LOOK_EVERY, function()
    listen(lib)
  end)
end


-- The values of a configuration's vault references. Kong renews them in place.
local function secrets(conf)
  local values = {}
  for name in pairs(conf["$refs"]) do
    local value = conf[name]
    if type(value) == "table" then
      local copy = {}
      for key, inner in pairs(value) do
        copy[key] = inner
      end
      value = copy
    end
    values[name] = value or false
  end
  return values
end


local function renewed(known, conf)
  for name, value in pairs(known) do
    local now = conf[name] or false
    if type(value) == "table" and type(now) == "table" then
      if renewed(value, now) then
        return true
      end
    elseif value ~= now then
      return true
    end
  end
  return false
end


local function put(conf)
  local lib = engine.lib
  local entry = { number = 0, secrets = conf["$refs"] and secrets(conf) }
  configs[conf] = entry
  local json, err = cjson.encode(conf)
  local number = json and lib.ai_tracing_config_put(json, #json, buffer, LINE) or 0
  if number > 0 then
    entry.number = number
    entry.drop = ffi.gc(ffi.new("char[1]"), function()
      lib.ai_tracing_config_drop(number)
    end)
    return number
  end
  err = number < 0 and ffi.string(buffer, -number) or err or "too much"
  ngx.log(ngx.ERR, "AI Tracing: nothing is traced with plugin ", conf.__plugin_id or "?", ": ", err)
  return 0
end


-- The engine's number of a configuration; 0 where nothing can be traced. It is handed over when it is first seen.
function engine.config(conf)
  if not engine.lib then
    return 0
  end
  local entry = configs[conf]
  if entry and not (entry.secrets and renewed(entry.secrets, conf)) then
    return entry.number
  end
  return put(conf)
end


-- The engine's counters as JSON; nil where it does not run.
function engine.stats()
  if not engine.lib then
    return nil
  end
  local size = 65536
  local out = ffi.new("char[?]", size)
  return ffi.string(out, engine.lib.ai_tracing_stats(out, size))
end


return engine
