-- What each version was made of, by whom, and which nodes serve it.

-- The entity as it was before the change; NULL when there was none. What came after is the `before` of its next change,
-- or the entity as it is now.
ALTER TABLE changes ADD COLUMN before TEXT;
CREATE INDEX changes_entity ON changes (collection, id, version);

-- Changes after this version have their `before`; those of the database before this migration do not.
ALTER TABLE config_version ADD COLUMN recorded_from INTEGER NOT NULL DEFAULT 0;
UPDATE config_version SET recorded_from = version;

-- A row for each version, and one for each write that access control refused.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    at       REAL NOT NULL,
    -- NULL: refused.
    version  INTEGER UNIQUE,
    actor    TEXT NOT NULL,
    address  TEXT,
    method   TEXT NOT NULL,
    path     TEXT NOT NULL,
    status   INTEGER,
    created  INTEGER NOT NULL DEFAULT 0,
    updated  INTEGER NOT NULL DEFAULT 0,
    deleted  INTEGER NOT NULL DEFAULT 0,
    -- The entities that changed, as JSON: never their secrets.
    entities TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_refused ON audit (seq) WHERE version IS NULL;

-- The last report of each node.
CREATE TABLE nodes (
    id          TEXT PRIMARY KEY,
    hostname    TEXT NOT NULL,
    software    TEXT NOT NULL,
    version     INTEGER NOT NULL,
    quarantined TEXT NOT NULL,
    modules     TEXT NOT NULL,
    reported_at REAL NOT NULL
) STRICT;
