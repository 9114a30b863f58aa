-- The parts of Kong's PDK that the plugin uses, in Kong's meaning (https://developer.konghq.com/gateway/pdk/reference/).

return function(prefix)
  local plugin_contexts = setmetatable({}, {
    __index = function(_, name)
      if name ~= "plugin" then
        return nil
      end
      local ctx = ngx.ctx
      local found = ctx.plugin_context
      if not found then
        found = {}
        ctx.plugin_context = found
      end
      return found
    end,
  })

  return {
    version_num = 3009003,
    configuration = { role = os.getenv("KONG_ROLE") or "traditional", prefix = prefix },
    ctx = plugin_contexts,
    client = {
      get_consumer = function() return ngx.ctx.authenticated_consumer end,
    },
    router = {
      get_route = function() return ngx.ctx.route end,
      get_service = function() return ngx.ctx.service end,
    },
    request = {
      get_method = function() return ngx.req.get_method() end,
      get_raw_path = function() return (ngx.var.request_uri:match("^[^?]*")) end,
      get_raw_query = function() return ngx.var.args or "" end,
      get_forwarded_host = function() return ngx.var.host end,
      get_headers = function(most) return ngx.req.get_headers(most) end,
    },
    service = {
      request = {
        set_header = function(name, value) ngx.req.set_header(name, value) end,
        clear_header = function(name) ngx.req.clear_header(name) end,
      },
    },
    response = {
      get_status = function() return ngx.status end,
      get_headers = function(most) return ngx.resp.get_headers(most) end,
      get_source = function()
        local ctx = ngx.ctx
        if ctx.KONG_UNEXPECTED then
          return "error"
        elseif ctx.KONG_EXITED then
          return "exit"
        end
        return ctx.KONG_PROXIED and "service" or "error"
      end,
    },
    log = {
      set_serialize_value = function(key, value)
        local ctx = ngx.ctx
        ctx.serialize_values = ctx.serialize_values or {}
        table.insert(ctx.serialize_values, { key = key, value = value })
      end,
      serialize = function()
        local root = { response = { status = ngx.status } }
        for _, item in ipairs(ngx.ctx.serialize_values or {}) do
          local node = root
          local path, name = item.key:match("^(.*)%.([^.]+)$")
          for step in path:gmatch("[^.]+") do
            node[step] = node[step] or {}
            node = node[step]
          end
          node[name] = item.value
        end
        return root
      end,
    },
  }
end
