-- Targets that operators said are healthy or not, for the other nodes to hear of: no configuration, and kept for an hour.
-- The one row of the second table has the number of the last mark. Whoever adds one holds it, so that marks are committed
-- in the order of their numbers.

CREATE TABLE target_marks (
    seq      INTEGER PRIMARY KEY,
    at       REAL NOT NULL,
    process  TEXT NOT NULL,
    upstream TEXT NOT NULL,
    target   TEXT NOT NULL,
    address  TEXT,
    healthy  INTEGER NOT NULL
) STRICT;
CREATE INDEX target_marks_at ON target_marks (at);

CREATE TABLE target_marks_last (
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO target_marks_last (seq) VALUES (0);
