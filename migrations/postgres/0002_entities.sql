-- In step with sqlite/0002_entities.sql.

CREATE TABLE certificates (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    data       TEXT NOT NULL
);

CREATE TABLE snis (
    id             TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at     DOUBLE PRECISION,
    name           TEXT COLLATE "C" NOT NULL,
    certificate_id TEXT COLLATE "C" NOT NULL REFERENCES certificates (id) DEFERRABLE INITIALLY DEFERRED,
    data           TEXT NOT NULL
);
CREATE UNIQUE INDEX snis_name ON snis (name);
CREATE INDEX snis_certificate ON snis (certificate_id, id);

CREATE TABLE ca_certificates (
    id          TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at  DOUBLE PRECISION,
    cert_digest TEXT COLLATE "C",
    data        TEXT NOT NULL
);
CREATE UNIQUE INDEX ca_certificates_digest ON ca_certificates (cert_digest);

CREATE TABLE vaults (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    prefix     TEXT COLLATE "C" NOT NULL,
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX vaults_prefix ON vaults (prefix);

CREATE TABLE key_sets (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C",
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX key_sets_name ON key_sets (name);

CREATE TABLE keys (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C",
    kid        TEXT COLLATE "C" NOT NULL,
    set_id     TEXT COLLATE "C" REFERENCES key_sets (id) DEFERRABLE INITIALLY DEFERRED,
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX keys_name ON keys (name);
CREATE UNIQUE INDEX keys_kid ON keys (kid, coalesce(set_id, ''));
CREATE INDEX keys_set ON keys (set_id, id);

ALTER TABLE services ADD COLUMN client_certificate_id TEXT COLLATE "C" REFERENCES certificates (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX services_client_certificate ON services (client_certificate_id, id);

ALTER TABLE upstreams ADD COLUMN client_certificate_id TEXT COLLATE "C" REFERENCES certificates (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX upstreams_client_certificate ON upstreams (client_certificate_id, id);
