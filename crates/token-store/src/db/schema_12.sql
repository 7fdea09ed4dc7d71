-- What version 12 of the store changed: how the class of an object is checked. For a list of more than
-- two values SQLite makes a table, and it makes it again for each row when it checks the whole store.

PRAGMA user_version = 12;

CREATE TABLE object_12 (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    token         INTEGER NOT NULL REFERENCES token ON DELETE CASCADE,
    class         TEXT    NOT NULL CHECK (class = 'private-key' OR class = 'public-key' OR class = 'certificate' OR class = 'data'),
    key           INTEGER REFERENCES key ON DELETE CASCADE,
    label         TEXT    NOT NULL,
    cka_id        BLOB    NOT NULL,
    private       INTEGER NOT NULL CHECK (private IN (0, 1)),
    subject       BLOB    NOT NULL,
    value         BLOB    NOT NULL, -- certificate, data, or an added key's SubjectPublicKeyInfo
    issuer        BLOB    NOT NULL,
    serial_number BLOB    NOT NULL,
    application   TEXT    NOT NULL,
    object_id     BLOB    NOT NULL, attributes BLOB NOT NULL DEFAULT x'',
    UNIQUE (key, class),
    CHECK (class <> 'private-key' OR key IS NOT NULL),
    CHECK (class IN ('private-key', 'public-key') OR key IS NULL)
) STRICT;

INSERT INTO object_12 SELECT * FROM object ORDER BY id;

-- The numbers of deleted objects are not used again.
DELETE FROM sqlite_sequence WHERE name = 'object_12';
INSERT INTO sqlite_sequence (name, seq) SELECT 'object_12', seq FROM sqlite_sequence WHERE name = 'object';

DROP TABLE object;
ALTER TABLE object_12 RENAME TO object;
CREATE INDEX object_of_token ON object (token, class, cka_id);
