-- The generated schema accepts and refuses the same configurations as the engine's own validation: the files in
-- crates/config/tests/configs, each with what becomes of it.

local cjson = require "cjson"
local lfs = require "lfs"
local schema = require "schema"
local plugin = require "kong.plugins.ai-tracing.schema"

local CONFIGS = "crates/config/tests/configs/"


local function cases(kind)
  local found = {}
  for name in lfs.dir(CONFIGS .. kind) do
    if name:match("%.json$") then
      local file = assert(io.open(CONFIGS .. kind .. "/" .. name))
      found[#found + 1] = { name = name, case = cjson.decode(file:read("*a")) }
      file:close()
    end
  end
  table.sort(found, function(a, b) return a.name < b.name end)
  assert(#found > 10, "found only " .. #found)
  return found
end


describe("ai-tracing: the schema", function()
  it("is data that requires Kong's typedefs alone", function()
    local required = {}
    local chunk = assert(loadfile("kong/plugins/ai-tracing/schema.lua"))
    setfenv(chunk, {
      require = function(name)
        required[#required + 1] = name
        return require(name)
      end,
    })
    assert.equal("ai-tracing", chunk().name)
    assert.same({ "kong.db.schema.typedefs" }, required)
  end)

  for _, found in ipairs(cases("valid")) do
    it("accepts " .. found.name, function()
      local config, errors = schema.check(plugin, found.case.config)
      assert.same({}, errors or {})
      for name, expected in pairs(found.case.expect) do
        assert.same(expected, config[name], name)
      end
      assert.same(config, schema.check(plugin, config), "what was accepted is accepted again, unchanged")
    end)
  end

  for _, found in ipairs(cases("invalid")) do
    it("refuses " .. found.name, function()
      local config, errors = schema.check(plugin, found.case.config)
      assert.is_nil(config)
      local wrong, expected = {}, {}
      for path in pairs(errors) do wrong[#wrong + 1] = path end
      for path in pairs(found.case.errors) do expected[#expected + 1] = path end
      table.sort(wrong)
      table.sort(expected)
      assert.same(expected, wrong)
    end)
  end

  it("never repeats an address, which may carry a password", function()
    local _, errors = schema.check(plugin, { langfuse_endpoint = "https://user:secret@example.com" })
    assert.is_nil(cjson.encode(errors):match("secret"))
  end)
end)
