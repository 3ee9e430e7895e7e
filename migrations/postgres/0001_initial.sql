-- In step with sqlite/0001_initial.sql, which explains the tables. Texts are compared byte by byte ("C"), so that ids,
-- pages and unique values are in the same order and equal in the same cases on every database.

CREATE TABLE config_version (
    one          BIGINT PRIMARY KEY CHECK (one = 1),
    version      BIGINT NOT NULL,
    history_from BIGINT NOT NULL
);
INSERT INTO config_version (one, version, history_from) VALUES (1, 0, 0);

CREATE TABLE changes (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version    BIGINT NOT NULL,
    collection TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL
);
CREATE INDEX changes_version ON changes (version, collection, id);

CREATE TABLE services (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C",
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX services_name ON services (name);

CREATE TABLE routes (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C",
    service_id TEXT COLLATE "C" REFERENCES services (id) DEFERRABLE INITIALLY DEFERRED,
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX routes_name ON routes (name);
CREATE INDEX routes_service ON routes (service_id, id);

CREATE TABLE consumers (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    username   TEXT COLLATE "C",
    custom_id  TEXT COLLATE "C",
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX consumers_username ON consumers (username);
CREATE UNIQUE INDEX consumers_custom_id ON consumers (custom_id);

CREATE TABLE plugins (
    id            TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at    DOUBLE PRECISION,
    name          TEXT COLLATE "C" NOT NULL,
    instance_name TEXT COLLATE "C",
    route_id      TEXT COLLATE "C" REFERENCES routes (id) DEFERRABLE INITIALLY DEFERRED,
    service_id    TEXT COLLATE "C" REFERENCES services (id) DEFERRABLE INITIALLY DEFERRED,
    consumer_id   TEXT COLLATE "C" REFERENCES consumers (id) DEFERRABLE INITIALLY DEFERRED,
    data          TEXT NOT NULL
);
CREATE UNIQUE INDEX plugins_instance_name ON plugins (instance_name);
CREATE UNIQUE INDEX plugins_scope
    ON plugins (name, coalesce(route_id, ''), coalesce(service_id, ''), coalesce(consumer_id, ''));
CREATE INDEX plugins_route ON plugins (route_id, id);
CREATE INDEX plugins_service ON plugins (service_id, id);
CREATE INDEX plugins_consumer ON plugins (consumer_id, id);

CREATE TABLE upstreams (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C" NOT NULL,
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX upstreams_name ON upstreams (name);

CREATE TABLE targets (
    id          TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at  DOUBLE PRECISION,
    target      TEXT COLLATE "C" NOT NULL,
    upstream_id TEXT COLLATE "C" NOT NULL REFERENCES upstreams (id) DEFERRABLE INITIALLY DEFERRED,
    data        TEXT NOT NULL
);
CREATE UNIQUE INDEX targets_target ON targets (upstream_id, target);
CREATE INDEX targets_upstream ON targets (upstream_id, id);

CREATE TABLE modules (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C",
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX modules_name ON modules (name);
CREATE INDEX modules_digest ON modules (digest);

CREATE TABLE module_code (
    digest TEXT COLLATE "C" PRIMARY KEY CHECK (digest <> ''),
    code   BYTEA NOT NULL
);

CREATE TABLE entities (
    collection  TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    created_at  DOUBLE PRECISION,
    expires_at  DOUBLE PRECISION,
    consumer_id TEXT COLLATE "C" REFERENCES consumers (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    service_id  TEXT COLLATE "C" REFERENCES services (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    route_id    TEXT COLLATE "C" REFERENCES routes (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    data        TEXT NOT NULL,
    PRIMARY KEY (collection, id)
);
CREATE INDEX entities_consumer ON entities (consumer_id, collection, id) WHERE consumer_id IS NOT NULL;
CREATE INDEX entities_service ON entities (service_id, collection, id) WHERE service_id IS NOT NULL;
CREATE INDEX entities_route ON entities (route_id, collection, id) WHERE route_id IS NOT NULL;
CREATE INDEX entities_expiry ON entities (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE entity_keys (
    collection TEXT COLLATE "C" NOT NULL,
    fields     TEXT COLLATE "C" NOT NULL,
    value      TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (collection, fields, value),
    FOREIGN KEY (collection, id) REFERENCES entities (collection, id) ON DELETE CASCADE
);
CREATE INDEX entity_keys_entity ON entity_keys (collection, id);

CREATE TABLE tags (
    collection TEXT COLLATE "C" NOT NULL,
    tag        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (collection, tag, id)
);
CREATE INDEX tags_entity ON tags (collection, id);

CREATE TABLE node_values (
    key   TEXT COLLATE "C" PRIMARY KEY,
    value TEXT NOT NULL
);
