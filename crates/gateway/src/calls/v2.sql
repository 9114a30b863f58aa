-- Version 2: the records in a table of their own, so that lists and sums read narrow rows; text search; more ways in.
CREATE TABLE records (
    seq    INTEGER PRIMARY KEY,
    record TEXT NOT NULL -- the record's JSON, as it is printed
);
INSERT INTO records (seq, record) SELECT seq, record FROM calls ORDER BY seq;

-- A table of its own for the rest as well: without the column the old one would keep all of its pages, almost empty.
CREATE TABLE narrow (
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
    cost            REAL              -- US dollars
);
INSERT INTO narrow SELECT
    seq, id, trace_id, started_at, name, service, route, provider, model, response_model, operation, stream,
    user_id, session_id, chat_id, organization_id, project_id, environment, status, end, is_error, has_error,
    tokens_in, tokens_cached, tokens_out, tokens_reasoning, estimated, ttft_ms, duration_ms, tps, cost
    FROM calls ORDER BY seq;
-- No number comes twice, not even that of a call which is deleted.
DELETE FROM sqlite_sequence WHERE name = 'narrow';
INSERT INTO sqlite_sequence (name, seq) SELECT 'narrow', seq FROM sqlite_sequence WHERE name = 'calls';
DROP TABLE calls;
ALTER TABLE narrow RENAME TO calls;
CREATE INDEX calls_started ON calls (started_at);
CREATE INDEX calls_user    ON calls (user_id, started_at) WHERE user_id IS NOT NULL;
CREATE INDEX calls_session ON calls (session_id, started_at) WHERE session_id IS NOT NULL;
CREATE INDEX calls_errors  ON calls (started_at) WHERE is_error = 1;
CREATE INDEX calls_trace   ON calls (trace_id);

-- The words of each call by its `seq`; the texts themselves stand in the records alone.
CREATE VIRTUAL TABLE search USING fts5 (
    text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
-- Calls of version 1 whose words are not in `search` yet: the writer works them off, the newest first.
CREATE TABLE unsearchable (seq INTEGER PRIMARY KEY);
INSERT INTO unsearchable (seq) SELECT seq FROM calls;

CREATE TRIGGER calls_deleted AFTER DELETE ON calls BEGIN
    DELETE FROM records WHERE seq = old.seq;
    DELETE FROM search WHERE rowid = old.seq;
    DELETE FROM unsearchable WHERE seq = old.seq;
END;

CREATE INDEX calls_chat         ON calls (chat_id, started_at) WHERE chat_id IS NOT NULL;
CREATE INDEX calls_organization ON calls (organization_id, started_at) WHERE organization_id IS NOT NULL;
CREATE INDEX calls_project      ON calls (project_id, started_at) WHERE project_id IS NOT NULL;
CREATE INDEX calls_provider     ON calls (provider, started_at);
CREATE INDEX calls_model        ON calls (model, started_at) WHERE model IS NOT NULL;
