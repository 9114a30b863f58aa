-- Headers on their way to the engine, as C sees them.
--
-- A request's are read where nginx keeps them, through what lua-resty-core makes its tables from: whoever has thirty of
-- them pays no more for it than who has three, since no Lua string is made of any. For a response's there is no such way.

local ffi = require "ffi"
local base = require "resty.core.base"
require "resty.core.request" -- declares what is used of it
require "kong.plugins.ai-tracing.ffi"

local C = ffi.C

local headers = {
  MAX = 1000,
}

-- Kong loads plugins for TCP as well, where nothing is traced and nobody has declared this.
local declared, of_request = pcall(ffi.new, "ngx_http_lua_ffi_table_elt_t[?]", headers.MAX)
local of_response = ffi.new("ai_tracing_text[?]", 2 * headers.MAX)
local truncated = ffi.new("int[1]")


-- Whether this OpenResty lays a header out as the library reads it.
function headers.are_known()
  return declared and ffi.sizeof("ngx_http_lua_ffi_table_elt_t") == 32
    and ffi.offsetof("ngx_http_lua_ffi_table_elt_t", "value") == 16
    and ffi.offsetof("ngx_http_lua_ffi_str_t", "len") == 0 and ffi.offsetof("ngx_http_lua_ffi_str_t", "data") == 8
end


-- The request's headers and their number. They are nginx' own, and change when it changes them.
function headers.of_request()
  local request = base.get_request()
  local count = C.ngx_http_lua_ffi_req_get_headers_count(request, headers.MAX, truncated)
  if count > 0 and C.ngx_http_lua_ffi_req_get_headers(request, of_request, count, 1) == 0 then
    return of_request, count
  end
  return of_request, 0
end


-- Names and values of the response's headers, in turn, and how many texts these are. They live as long as `found`.
function headers.of_response(found)
  local count = 0
  for name, value in pairs(found) do
    if type(value) == "table" then
      value = value[1]
    end
    if type(value) == "string" and count < 2 * headers.MAX then
      of_response[count].at, of_response[count].length = name, #name
      of_response[count + 1].at, of_response[count + 1].length = value, #value
      count = count + 2
    end
  end
  return of_response, count
end


return headers
