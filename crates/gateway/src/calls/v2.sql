-- Version 2: the records in a table of their own, so that lists and sums read narrow rows; text search; more ways in.
CREATE TABLE records (
    seq    INTEGER PRIMARY KEY,
    record TEXT NOT NULL -- the record's JSON, as it is printed
);
INSERT INTO records (seq, record) SELECT seq, record FROM calls ORDER BY seq;
ALTER TABLE calls DROP COLUMN record;

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
