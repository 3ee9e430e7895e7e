-- Who may use the Admin API. Secrets of tokens are in `data` as salted hashes.

CREATE TABLE admin_tokens (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C" NOT NULL,
    prefix     TEXT COLLATE "C" NOT NULL,
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX admin_tokens_name ON admin_tokens (name);
CREATE UNIQUE INDEX admin_tokens_prefix ON admin_tokens (prefix);

CREATE TABLE admin_certificates (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C" NOT NULL,
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX admin_certificates_name ON admin_certificates (name);

CREATE TABLE admin_roles (
    id         TEXT COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    created_at DOUBLE PRECISION,
    name       TEXT COLLATE "C" NOT NULL,
    data       TEXT NOT NULL
);
CREATE UNIQUE INDEX admin_roles_name ON admin_roles (name);
