-- Entities are kept whole in `data` (JSON). Columns beside it hold only what is unique, referenced or looked up; see
-- docs/decisions/0002-entity-rows.md. Foreign keys wait for the commit, so that a cascade may run in any order.

CREATE TABLE config_version (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    version      INTEGER NOT NULL,
    -- `changes` holds every change after this version; older ones are pruned.
    history_from INTEGER NOT NULL
) STRICT;
INSERT INTO config_version (one, version, history_from) VALUES (1, 0, 0);

CREATE TABLE changes (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    version    INTEGER NOT NULL,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL
) STRICT;
CREATE INDEX changes_version ON changes (version, collection, id);

CREATE TABLE services (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    name       TEXT,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX services_name ON services (name);

CREATE TABLE routes (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    name       TEXT,
    service_id TEXT REFERENCES services (id) DEFERRABLE INITIALLY DEFERRED,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX routes_name ON routes (name);
CREATE INDEX routes_service ON routes (service_id, id);

CREATE TABLE consumers (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    username   TEXT,
    custom_id  TEXT,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX consumers_username ON consumers (username);
CREATE UNIQUE INDEX consumers_custom_id ON consumers (custom_id);

CREATE TABLE plugins (
    id            TEXT PRIMARY KEY CHECK (id <> ''),
    created_at    REAL,
    name          TEXT NOT NULL,
    instance_name TEXT,
    route_id      TEXT REFERENCES routes (id) DEFERRABLE INITIALLY DEFERRED,
    service_id    TEXT REFERENCES services (id) DEFERRABLE INITIALLY DEFERRED,
    consumer_id   TEXT REFERENCES consumers (id) DEFERRABLE INITIALLY DEFERRED,
    data          TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX plugins_instance_name ON plugins (instance_name);
CREATE UNIQUE INDEX plugins_scope
    ON plugins (name, coalesce(route_id, ''), coalesce(service_id, ''), coalesce(consumer_id, ''));
CREATE INDEX plugins_route ON plugins (route_id, id);
CREATE INDEX plugins_service ON plugins (service_id, id);
CREATE INDEX plugins_consumer ON plugins (consumer_id, id);

CREATE TABLE upstreams (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    name       TEXT NOT NULL,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX upstreams_name ON upstreams (name);

CREATE TABLE targets (
    id          TEXT PRIMARY KEY CHECK (id <> ''),
    created_at  REAL,
    target      TEXT NOT NULL,
    upstream_id TEXT NOT NULL REFERENCES upstreams (id) DEFERRABLE INITIALLY DEFERRED,
    data        TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX targets_target ON targets (upstream_id, target);
CREATE INDEX targets_upstream ON targets (upstream_id, id);

CREATE TABLE modules (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    name       TEXT NOT NULL,
    digest     TEXT,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX modules_name ON modules (name);
CREATE INDEX modules_digest ON modules (digest);

CREATE TABLE module_code (
    digest TEXT PRIMARY KEY CHECK (digest <> ''),
    code   BLOB NOT NULL
) STRICT;

-- Collections without a table of their own: those that plugins declare. An owner takes its rows along even when the
-- plugin, and with it the declaration of the reference, is gone.
CREATE TABLE entities (
    collection  TEXT NOT NULL,
    id          TEXT NOT NULL CHECK (id <> ''),
    created_at  REAL,
    expires_at  REAL,
    consumer_id TEXT REFERENCES consumers (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    service_id  TEXT REFERENCES services (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    route_id    TEXT REFERENCES routes (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    data        TEXT NOT NULL,
    PRIMARY KEY (collection, id)
) STRICT;
CREATE INDEX entities_consumer ON entities (consumer_id, collection, id) WHERE consumer_id IS NOT NULL;
CREATE INDEX entities_service ON entities (service_id, collection, id) WHERE service_id IS NOT NULL;
CREATE INDEX entities_route ON entities (route_id, collection, id) WHERE route_id IS NOT NULL;
CREATE INDEX entities_expiry ON entities (expires_at) WHERE expires_at IS NOT NULL;

-- Their unique groups: names and values of the fields as JSON arrays.
CREATE TABLE entity_keys (
    collection TEXT NOT NULL,
    fields     TEXT NOT NULL,
    value      TEXT NOT NULL,
    id         TEXT NOT NULL,
    PRIMARY KEY (collection, fields, value),
    FOREIGN KEY (collection, id) REFERENCES entities (collection, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX entity_keys_entity ON entity_keys (collection, id);

-- Tags of every entity of every collection.
CREATE TABLE tags (
    collection TEXT NOT NULL,
    tag        TEXT NOT NULL,
    id         TEXT NOT NULL,
    PRIMARY KEY (collection, tag, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_entity ON tags (collection, id);

-- Texts made once for this database, such as its identity.
CREATE TABLE node_values (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
