-- What version 10 of the store added: an authority over the network may have several keys, and changes them.

PRAGMA user_version = 10;

-- Whom to believe at the next renewal.
CREATE TABLE enrolment_authority (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    enrolment INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    is_host   INTEGER NOT NULL CHECK (is_host IN (0, 1)), -- certifies hosts and not users
    public    BLOB    NOT NULL,                           -- the key as the SSH protocol carries it
    UNIQUE (enrolment, is_host, public)
) STRICT;

INSERT INTO enrolment_authority (enrolment, is_host, public)
    SELECT id, 0, user_ca FROM enrolment UNION ALL SELECT id, 1, host_ca FROM enrolment;

ALTER TABLE enrolment DROP COLUMN user_ca;
ALTER TABLE enrolment DROP COLUMN host_ca;
-- The number of the authority's list of its keys; 0 if none was taken yet.
ALTER TABLE enrolment ADD COLUMN keys_number INTEGER NOT NULL DEFAULT 0 CHECK (keys_number >= 0);
