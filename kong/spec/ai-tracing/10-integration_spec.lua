-- The documented calls through nginx with the plugin in it, as curl sends them, to their traces in Langfuse. What can go
-- wrong on the way is tried in tests/e2e/test_kong.py.

local cjson = require "cjson"

local CHAT = [['{"model": "gpt-4", "messages": [{"role": "user", "content": "Explain quantum computing in simple terms"}],]]
  .. [["temperature": 0.7, "max_tokens": 500%s}']]


local function shell(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("*a")
  pipe:close()
  return text
end


-- Asks again and again, a minute at most, until there is an answer.
local function until_there(ask)
  local deadline = os.time() + 60
  repeat
    local found = ask()
    if found then
      return found
    end
    os.execute("sleep 0.05")
  until os.time() > deadline
  error("nothing came of it")
end


describe("ai-tracing: in nginx", function()
  local folder, llm, port, kong_process

  local function seen()
    return cjson.decode(shell("curl -sS http://127.0.0.1:" .. port .. "/seen"))
  end

  local function call(more, headers)
    return shell("curl -sS -X POST http://127.0.0.1:" .. kong_process.port .. '/v1/chat/completions -H "Content-Type: application/json" '
      .. (headers or "") .. " -d " .. CHAT:format(more or ""))
  end

  setup(function()
    folder = shell("mktemp -d"):gsub("%s", "")
    -- Its stdin is a pipe that ends with this process.
    os.execute("mkfifo " .. folder .. "/in")
    os.execute("python3 kong/spec/host/llm.py <" .. folder .. "/in >" .. folder .. "/port &")
    llm = assert(io.open(folder .. "/in", "w"))
    port = until_there(function()
      local file = io.open(folder .. "/port")
      local text = file and file:read("*l")
      if file then file:close() end
      return text
    end)
    local file = assert(io.open(folder .. "/kong.json", "w"))
    file:write(cjson.encode {
      _format_version = "3.0",
      services = { {
        name = "llm", url = "http://127.0.0.1:" .. port,
        routes = { { name = "openai", paths = { "/" }, strip_path = false } },
        plugins = { { name = "ai-tracing", config = {
          langfuse_enabled = true, langfuse_public_key = "pk-lf-1", langfuse_secret_key = "sk-lf-1",
          langfuse_endpoint = "http://127.0.0.1:" .. port .. "/api/public/ingestion", langfuse_api = "ingestion",
          queue = { max_coalescing_delay = 0.05 },
        } } },
      } },
    })
    file:close()
    local free = 'python3 -c "import socket; s = socket.socket(); s.bind((\'127.0.0.1\', 0)); print(s.getsockname()[1])"'
    kong_process = { port = shell(free):gsub("%s", "") }
    kong_process.pid = shell("kong/spec/host/start.sh " .. folder .. " " .. folder .. "/kong.json " .. kong_process.port
      .. " >" .. folder .. "/out 2>&1 & echo $!"):gsub("%s", "")
    until_there(function()
      return call():match("chatcmpl") or nil
    end)
  end)

  teardown(function()
    shell("kill " .. kong_process.pid)
    llm:close()
    until_there(function()
      return shell("kill -0 " .. kong_process.pid) ~= "" or nil
    end)
    shell("rm -r " .. folder)
  end)

  it("traces a call with its context", function()
    local answer = call("", '-H "X-User-Id: user-12345" -H "X-Session-Id: session-abcde"')
    assert.equal("Hello there", cjson.decode(answer).choices[1].message.content)
    local trace = until_there(function()
      for _, event in ipairs(seen().events) do
        if event.type == "trace-create" and event.body.userId == "user-12345" then
          return event.body
        end
      end
    end)
    assert.equal("session-abcde", trace.sessionId)
    assert.equal("/v1/chat/completions", trace.name)
    assert.equal("gpt-4-0613", trace.metadata.model)
    assert.equal(200, trace.metadata.status_code)
  end)

  it("traces a streamed call, which passes as it came", function()
    local answer = call(', "stream": true', '-H "X-User-Id: streamer"')
    assert.is_truthy(answer:match("^data: .*\n\ndata: %[DONE%]\n\n$"))
    local id = until_there(function()
      for _, event in ipairs(seen().events) do
        if event.type == "trace-create" and event.body.userId == "streamer" then
          return event.body.id
        end
      end
    end)
    local generation = until_there(function()
      for _, event in ipairs(seen().events) do
        if event.type == "generation-create" and event.body.traceId == id then
          return event.body
        end
      end
    end)
    assert.is_truthy(cjson.encode(generation.output):match("Hello there"))
    assert.is_truthy(generation.completionStartTime)
  end)

  it("hands the trace on", function()
    local trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    call("", '-H "traceparent: 00-' .. trace .. '-00f067aa0ba902b7-01"')
    local calls = seen().calls
    local sent = calls[#calls]
    assert.equal(trace, (sent.traceparent or sent.Traceparent):match("^00%-(%x+)%-"))
  end)
end)
