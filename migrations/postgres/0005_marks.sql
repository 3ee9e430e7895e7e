-- In step with sqlite/0005_marks.sql, which explains the tables.

CREATE TABLE target_marks (
    seq      BIGINT PRIMARY KEY,
    at       DOUBLE PRECISION NOT NULL,
    process  TEXT COLLATE "C" NOT NULL,
    upstream TEXT NOT NULL,
    target   TEXT NOT NULL,
    address  TEXT,
    healthy  BIGINT NOT NULL
);
CREATE INDEX target_marks_at ON target_marks (at);

CREATE TABLE target_marks_last (
    seq BIGINT NOT NULL
);
INSERT INTO target_marks_last (seq) VALUES (0);
