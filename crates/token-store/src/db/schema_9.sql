-- What version 9 of the store added: authorities over the network that certify keys again and again.

PRAGMA user_version = 9;

-- One for users and one for hosts, for each key. How to come again, and whom to believe then.
CREATE TABLE enrolment (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         INTEGER NOT NULL REFERENCES key ON DELETE CASCADE,
    is_host     INTEGER NOT NULL CHECK (is_host IN (0, 1)),
    server      TEXT    NOT NULL,  -- its address
    audience    TEXT    NOT NULL,  -- its name in proofs
    principals  TEXT    NOT NULL,  -- one in each line
    ek_type     TEXT    NOT NULL,  -- of the endorsement key that the authority knows
    user_ca     BLOB    NOT NULL,  -- public keys as the SSH protocol carries them
    host_ca     BLOB    NOT NULL,
    tls_roots   BLOB,              -- certificates (PEM) that TLS trusts; without any, those of the system
    certificate INTEGER REFERENCES ssh_certificate ON DELETE SET NULL, -- the last
    renew_at    INTEGER NOT NULL CHECK (renew_at >= 0),
    expires     INTEGER NOT NULL CHECK (expires >= 0),
    failures    INTEGER NOT NULL CHECK (failures >= 0), -- in a row
    next_try    INTEGER NOT NULL CHECK (next_try >= 0),
    last_error  TEXT,
    UNIQUE (key, is_host)
) STRICT;
