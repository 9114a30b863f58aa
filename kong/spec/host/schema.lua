-- Kong's schema rules, as far as the plugin's schema uses them: types, defaults, validators, entity checks.
--
-- `null` is cjson's. What Kong would complain of comes back by path, lists counted from 1.

local null = require("cjson").null

local schema = {}

-- Kong asks PCRE, which is there where nginx is. Elsewhere: parentheses have to match.
function schema.is_regex(pattern)
  local depth = 0
  for step in pattern:gsub("\\.", ""):gsub("%[%^?%]?[^%]]*%]", ""):gmatch("[()]") do
    depth = depth + (step == "(" and 1 or -1)
    if depth < 0 then
      return false
    end
  end
  return depth == 0
end


-- What `require "kong.db.schema.typedefs"` gives.
local function typedef(definition)
  return setmetatable(definition, {
    __call = function(self, more)
      local copy = {}
      for name, value in pairs(self) do copy[name] = value end
      for name, value in pairs(more) do copy[name] = value end
      return copy
    end,
  })
end

package.preload["kong.db.schema.typedefs"] = package.preload["kong.db.schema.typedefs"] or function()
  return {
    protocols_http = typedef({ type = "set", required = true, default = { "grpc", "grpcs", "http", "https" } }),
    header_name = typedef({
      type = "string",
      custom_validator = function(name)
        return name:match("^[%w_-]+$") ~= nil, "bad header name '" .. name
          .. "', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
      end,
    }),
  }
end


local validators = {
  { "between", function(value, bounds) return value >= bounds[1] and value <= bounds[2], "out of range" end },
  { "gt", function(value, bound) return value > bound, "value must be greater than " .. bound end },
  { "len_min", function(value, bound) return #value >= bound, "length must be at least " .. bound end },
  { "len_max", function(value, bound) return #value <= bound, "length must be at most " .. bound end },
  { "match", function(value, pattern) return value:match(pattern) ~= nil, "invalid value" end },
  { "match_any", function(value, any)
    for _, pattern in ipairs(any.patterns) do
      if value:match(pattern) then
        return true
      end
    end
    return false, any.err
  end },
  { "is_regex", function(value) return schema.is_regex(value), "not a valid regex: " .. value end },
  { "one_of", function(value, options)
    for _, option in ipairs(options) do
      if value == option then
        return true
      end
    end
    return false, "expected one of: " .. table.concat(options, ", ")
  end },
  { "custom_validator", function(value, check) return check(value) end },
}

-- Attributes that say something about a value; any other in a schema is a mistake.
local KNOWN = {
  type = true, required = true, default = true, description = true, encrypted = true, referenceable = true,
  elements = true, keys = true, values = true, fields = true, entity_checks = true, err = true,
}
for _, validator in ipairs(validators) do
  KNOWN[validator[1]] = true
end

local TYPES = {
  string = "expected a string", number = "expected a number", integer = "expected an integer",
  boolean = "expected a boolean", array = "expected an array", map = "expected a map", record = "expected a record",
  set = "expected a set",
}


local function is_list(value)
  local count = 0
  for key in pairs(value) do
    if type(key) ~= "number" then
      return false
    end
    count = count + 1
  end
  return count == #value
end


local function has_type(kind, value)
  local lua = type(value)
  if kind == "integer" then
    return lua == "number" and value == math.floor(value)
  elseif kind == "array" or kind == "set" then
    return lua == "table" and is_list(value)
  elseif kind == "map" or kind == "record" then
    return lua == "table" and (next(value) == nil or not is_list(value))
  end
  return lua == kind
end


local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local result = {}
  for key, inner in pairs(value) do
    result[key] = copy(inner)
  end
  return result
end


local function distinct(list)
  local seen, result = {}, {}
  for _, item in ipairs(list) do
    if not seen[item] then
      seen[item] = true
      result[#result + 1] = item
    end
  end
  return result
end


local check_record


local function check_value(field, value, path, errors)
  local function wrong(message)
    errors[path] = errors[path] or field.err or message
    return value
  end
  if not has_type(field.type, value) then
    return wrong(TYPES[field.type])
  end
  if field.type == "string" then
    if field.referenceable and value:match("^{vault://.*}$") then
      return value
    end
    if not field.len_min and value == "" then
      return wrong("length must be at least 1")
    end
  elseif field.type == "array" or field.type == "set" then
    if field.type == "set" then
      value = distinct(value)
    end
    for i, item in ipairs(value) do
      if item == null then
        errors[path .. "[" .. i .. "]"] = "required field missing"
      else
        value[i] = check_value(field.elements, item, path .. "[" .. i .. "]", errors)
      end
    end
  elseif field.type == "map" then
    for key, item in pairs(value) do
      check_value(field.keys, key, path, errors)
      check_value(field.values, item, path .. "." .. key, errors)
    end
  elseif field.type == "record" then
    return check_record(field, value, path, errors)
  end
  for _, validator in ipairs(validators) do
    local argument = field[validator[1]]
    if argument ~= nil then
      local ok, message = validator[2](value, argument)
      if not ok then
        return wrong(message)
      end
    end
  end
  return value
end


local function is_empty(value)
  return value == nil or value == null or value == "" or (type(value) == "table" and next(value) == nil)
end


local function run_check(check, record, path, errors)
  local names = check.at_least_one_of
  if names then
    for _, name in ipairs(names) do
      if not is_empty(record[name]) or errors[path .. "." .. name] then
        return
      end
    end
    errors[path] = "at least one of these fields must be non-empty: '" .. table.concat(names, "', '") .. "'"
    return
  end
  local conditional = assert(check.conditional, "unknown entity check")
  local value = record[conditional.if_field]
  if value == conditional.if_match.eq and conditional.then_match.required and is_empty(record[conditional.then_field]) then
    local inner = path .. "." .. conditional.then_field
    errors[inner] = errors[inner] or "required"
  end
end


function check_record(record, value, path, errors)
  local known = {}
  for _, entry in ipairs(record.fields) do
    local name, field = next(entry)
    for attribute in pairs(field) do
      assert(KNOWN[attribute], "unknown attribute " .. attribute)
    end
    -- Kong 3.4 loads no schema with a description of another length.
    assert(not field.description or (#field.description >= 10 and #field.description <= 500), name)
    known[name] = true
    local inner = path .. "." .. name
    if value[name] == nil then
      value[name] = copy(field.default)
      if value[name] == nil and field.type == "record" and field.required then
        value[name] = {}
      end
    end
    if value[name] == nil then
      value[name] = null
    end
    if value[name] == null then
      if field.required then
        errors[inner] = "required field missing"
      end
    else
      value[name] = check_value(field, value[name], inner, errors)
    end
  end
  for name in pairs(value) do
    if not known[name] then
      errors[path .. "." .. name] = "unknown field"
    end
  end
  for _, check in ipairs(record.entity_checks or {}) do
    run_check(check, value, path, errors)
  end
  return value
end


-- A plugin's configuration with its defaults, or nil and what is wrong with it by path.
function schema.check(plugin, config)
  local field = assert(plugin.fields[2].config)
  local errors = {}
  local value = config
  if config == null then
    errors.config = "required field missing"
  else
    value = check_value(field, copy(config), "config", errors)
  end
  if next(errors) then
    return nil, errors
  end
  return value
end


-- As Kong hands it to a plugin: what is null is absent.
function schema.without_nulls(value)
  for key, inner in pairs(value) do
    if inner == null then
      value[key] = nil
    elseif type(inner) == "table" then
      schema.without_nulls(inner)
    end
  end
end


return schema
