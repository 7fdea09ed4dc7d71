-- What version 2 of the store added: OpenSSH certificates, and authorities that sign them.

PRAGMA user_version = 2;

-- Offered beside the key that they are for.
CREATE TABLE ssh_certificate (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         INTEGER NOT NULL REFERENCES key ON DELETE CASCADE,
    created     INTEGER NOT NULL CHECK (created >= 0), -- when it came here
    certificate BLOB    NOT NULL,
    comment     TEXT    NOT NULL,
    UNIQUE (key, certificate)
) STRICT;

-- A key that signs certificates.
CREATE TABLE authority (
    key     INTEGER PRIMARY KEY REFERENCES key ON DELETE CASCADE,
    created INTEGER NOT NULL CHECK (created >= 0)
) STRICT;

-- Every certificate that an authority signed.
CREATE TABLE issued (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    authority   INTEGER NOT NULL REFERENCES authority ON DELETE CASCADE,
    created     INTEGER NOT NULL CHECK (created >= 0),
    serial      BLOB    NOT NULL CHECK (length(serial) = 8), -- 64 bits, big-endian
    certificate BLOB    NOT NULL,
    UNIQUE (authority, serial)
) STRICT;

-- What an authority took back; the highest id is the number of its revocation list.
CREATE TABLE revocation (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    authority INTEGER NOT NULL REFERENCES authority ON DELETE CASCADE,
    created   INTEGER NOT NULL CHECK (created >= 0),
    what      TEXT    NOT NULL CHECK (what IN ('serial', 'key-id', 'key')),
    value     BLOB    NOT NULL,
    UNIQUE (authority, what, value)
) STRICT;
