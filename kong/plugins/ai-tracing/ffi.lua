-- Written by `cargo xtask docs` from crates/kong/src/ffi.rs, which says what each function does; changes here are lost.
local ffi = require "ffi"

ffi.cdef [[
typedef struct { const char *at; size_t length; } ai_tracing_text;

int32_t ai_tracing_abi(void);
int32_t ai_tracing_start(const char *options, size_t length);
int32_t ai_tracing_stop(int32_t budget_ms);
int32_t ai_tracing_config_put(const char *conf, size_t length, char *out, size_t size);
int32_t ai_tracing_config_drop(int32_t config);
int32_t ai_tracing_begin(int32_t config, const ai_tracing_text *texts, int32_t count, const void *headers, int32_t header_count, int32_t port, int32_t age_ms, char *out, size_t size);
int32_t ai_tracing_request_body(int32_t call, const char *body, size_t length);
int32_t ai_tracing_request_file(int32_t call, const char *path, size_t length);
int32_t ai_tracing_request_unseen(int32_t call);
int32_t ai_tracing_answered_in(int32_t call, const char *dialect, size_t length);
int32_t ai_tracing_response_head(int32_t call, int32_t status, const ai_tracing_text *headers, int32_t count);
int32_t ai_tracing_response_body(int32_t call, const char *body, size_t length);
int32_t ai_tracing_finish(int32_t call, int32_t end, int32_t tries, char *out, size_t size);
int32_t ai_tracing_log(int32_t shown, int32_t *level, char *out, size_t size);
int32_t ai_tracing_stats(char *out, size_t size);
]]

return { ABI = 2 }
