-- Version 3.
-- What became of each call at each destination.
CREATE TABLE destinations (
    id    INTEGER PRIMARY KEY,
    key   BLOB NOT NULL UNIQUE, -- the engine's; not to be shown
    label TEXT NOT NULL
);
CREATE TABLE deliveries (
    seq         INTEGER NOT NULL, -- of the call
    destination INTEGER NOT NULL,
    state       INTEGER NOT NULL, -- 0 waiting, 1 delivered, 2 unknown, 3 failed, 4 dropped
    at          INTEGER NOT NULL, -- microseconds since the Unix epoch
    reason      TEXT,
    PRIMARY KEY (seq, destination)
) WITHOUT ROWID;
-- Whether a destination refused the call or gave it up: a column of the call, so that an index answers the filter.
ALTER TABLE calls ADD COLUMN undelivered INTEGER NOT NULL DEFAULT 0;
CREATE INDEX calls_undelivered ON calls (started_at) WHERE undelivered = 1;
CREATE TRIGGER delivery_failed AFTER INSERT ON deliveries WHEN new.state >= 3 BEGIN
    UPDATE calls SET undelivered = 1 WHERE seq = new.seq;
END;
CREATE TRIGGER delivery_changed AFTER UPDATE OF state ON deliveries WHEN (new.state >= 3) <> (old.state >= 3) BEGIN
    UPDATE calls SET undelivered = EXISTS (SELECT 1 FROM deliveries WHERE seq = new.seq AND state >= 3)
        WHERE seq = new.seq;
END;
CREATE TRIGGER calls_deleted_deliveries AFTER DELETE ON calls BEGIN
    DELETE FROM deliveries WHERE seq = old.seq;
END;

-- What is kept of the HTTP exchange of a call, where anything is.
CREATE TABLE exchanges (
    seq  INTEGER PRIMARY KEY,
    http BLOB NOT NULL -- JSON: as text, or zlib of it where that is shorter
);
CREATE TRIGGER exchanges_deleted AFTER DELETE ON calls BEGIN
    DELETE FROM exchanges WHERE seq = old.seq;
END;

-- The calls of a trace in order, however many there are.
DROP INDEX calls_trace;
CREATE INDEX calls_trace ON calls (trace_id, started_at);
