-- Version 3: what is kept of the HTTP exchange of a call, where anything is.
CREATE TABLE exchanges (
    seq  INTEGER PRIMARY KEY,
    http BLOB NOT NULL -- JSON: as text, or zlib of it where that is shorter
);
CREATE TRIGGER exchanges_deleted AFTER DELETE ON calls BEGIN
    DELETE FROM exchanges WHERE seq = old.seq;
END;
