-- Certificates, vaults and keys. As in 0001: the entity is whole in `data`, columns hold what is unique, referenced or looked
-- up.

CREATE TABLE certificates (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    data       TEXT NOT NULL
) STRICT;

CREATE TABLE snis (
    id             TEXT PRIMARY KEY CHECK (id <> ''),
    created_at     REAL,
    name           TEXT NOT NULL,
    certificate_id TEXT NOT NULL REFERENCES certificates (id) DEFERRABLE INITIALLY DEFERRED,
    data           TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX snis_name ON snis (name);
CREATE INDEX snis_certificate ON snis (certificate_id, id);

CREATE TABLE ca_certificates (
    id          TEXT PRIMARY KEY CHECK (id <> ''),
    created_at  REAL,
    cert_digest TEXT,
    data        TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX ca_certificates_digest ON ca_certificates (cert_digest);

CREATE TABLE vaults (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    prefix     TEXT NOT NULL,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX vaults_prefix ON vaults (prefix);

CREATE TABLE key_sets (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    name       TEXT,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX key_sets_name ON key_sets (name);

CREATE TABLE keys (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    created_at REAL,
    name       TEXT,
    kid        TEXT NOT NULL,
    set_id     TEXT REFERENCES key_sets (id) DEFERRABLE INITIALLY DEFERRED,
    data       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX keys_name ON keys (name);
CREATE UNIQUE INDEX keys_kid ON keys (kid, coalesce(set_id, ''));
CREATE INDEX keys_set ON keys (set_id, id);

ALTER TABLE services ADD COLUMN client_certificate_id TEXT REFERENCES certificates (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX services_client_certificate ON services (client_certificate_id, id);

ALTER TABLE upstreams ADD COLUMN client_certificate_id TEXT REFERENCES certificates (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX upstreams_client_certificate ON upstreams (client_certificate_id, id);
