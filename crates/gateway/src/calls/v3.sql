-- Version 3: the calls of a trace in order, however many there are.
DROP INDEX calls_trace;
CREATE INDEX calls_trace ON calls (trace_id, started_at);
