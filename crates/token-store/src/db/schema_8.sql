-- What version 8 of the store added: revocations that were withdrawn.

PRAGMA user_version = 8;

-- The number of the newest revocation list of an authority. Without a row it follows from the
-- revocations, as in older versions.
CREATE TABLE krl_number (
    authority INTEGER PRIMARY KEY REFERENCES authority ON DELETE CASCADE,
    number    INTEGER NOT NULL CHECK (number >= 0)
) STRICT;

-- Revocations that do not hold any more, for the record.
CREATE TABLE withdrawal (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    authority INTEGER NOT NULL REFERENCES authority ON DELETE CASCADE,
    revoked   INTEGER NOT NULL CHECK (revoked >= 0), -- when
    created   INTEGER NOT NULL CHECK (created >= 0), -- when it was withdrawn
    what      TEXT    NOT NULL CHECK (what IN ('serial', 'key-id', 'key')),
    value     BLOB    NOT NULL
) STRICT;
