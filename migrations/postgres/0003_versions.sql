-- In step with sqlite/0003_versions.sql, which explains the tables.

ALTER TABLE changes ADD COLUMN before TEXT;
CREATE INDEX changes_entity ON changes (collection, id, version);

ALTER TABLE config_version ADD COLUMN recorded_from BIGINT NOT NULL DEFAULT 0;
UPDATE config_version SET recorded_from = version;

CREATE TABLE audit (
    seq      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       DOUBLE PRECISION NOT NULL,
    version  BIGINT UNIQUE,
    actor    TEXT COLLATE "C" NOT NULL,
    address  TEXT COLLATE "C",
    method   TEXT COLLATE "C" NOT NULL,
    path     TEXT NOT NULL,
    status   BIGINT,
    created  BIGINT NOT NULL DEFAULT 0,
    updated  BIGINT NOT NULL DEFAULT 0,
    deleted  BIGINT NOT NULL DEFAULT 0,
    entities TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_refused ON audit (seq) WHERE version IS NULL;

CREATE TABLE nodes (
    id          TEXT COLLATE "C" PRIMARY KEY,
    hostname    TEXT NOT NULL,
    software    TEXT NOT NULL,
    version     BIGINT NOT NULL,
    quarantined TEXT NOT NULL,
    modules     TEXT NOT NULL,
    reported_at DOUBLE PRECISION NOT NULL
);
