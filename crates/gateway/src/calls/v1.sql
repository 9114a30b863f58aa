-- Version 1. `seq` grows by one per stored call and is never reused: followers ask for what came after it.
CREATE TABLE calls (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    trace_id        TEXT    NOT NULL,
    started_at      INTEGER NOT NULL, -- microseconds since the Unix epoch
    name            TEXT    NOT NULL,
    service         TEXT,
    route           TEXT,
    provider        TEXT    NOT NULL,
    model           TEXT,             -- as the request named it
    response_model  TEXT,
    operation       TEXT    NOT NULL,
    stream          INTEGER NOT NULL,
    user_id         TEXT,
    session_id      TEXT,
    chat_id         TEXT,
    organization_id TEXT,
    project_id      TEXT,
    environment     TEXT,
    status          INTEGER,
    end             TEXT    NOT NULL,
    is_error        INTEGER NOT NULL,
    has_error       INTEGER NOT NULL, -- the provider reported one, whatever the status
    tokens_in       INTEGER,
    tokens_cached   INTEGER,
    tokens_out      INTEGER,
    tokens_reasoning INTEGER,
    estimated       INTEGER NOT NULL,
    ttft_ms         REAL,
    duration_ms     REAL    NOT NULL,
    tps             REAL,
    cost            REAL,             -- US dollars
    record          TEXT    NOT NULL  -- the record's JSON: last, so that lists need not read its overflow pages
);
-- One index for each way in that exists: newest first, one user, one session, failures, one trace.
CREATE INDEX calls_started ON calls (started_at);
CREATE INDEX calls_user    ON calls (user_id, started_at) WHERE user_id IS NOT NULL;
CREATE INDEX calls_session ON calls (session_id, started_at) WHERE session_id IS NOT NULL;
CREATE INDEX calls_errors  ON calls (started_at) WHERE is_error = 1;
CREATE INDEX calls_trace   ON calls (trace_id);
