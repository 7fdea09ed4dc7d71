-- The store as version 1 made it; schema_2.sql adds to it. Nothing here is secret: private
-- parts are encrypted by the TPM, and nothing lets a PIN be checked.

PRAGMA application_id = 0x74706d73; -- "tpms"
PRAGMA user_version = 1;

CREATE TABLE store (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    generation INTEGER NOT NULL     -- moves with every change, so that readers can notice it
) STRICT;

INSERT INTO store VALUES (1, 1);

CREATE TABLE token (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    serial        TEXT    NOT NULL UNIQUE CHECK (length(serial) = 16),
    label         TEXT    NOT NULL,
    created       INTEGER NOT NULL CHECK (created >= 0),                -- seconds since 1970
    state         TEXT    NOT NULL CHECK (state IN ('ready', 'deleting')),
    wall          TEXT    NOT NULL CHECK (wall IN ('counter', 'lockout', 'none')),
    srk           BLOB    NOT NULL,                                     -- pinned at init
    token_public  BLOB    NOT NULL,
    token_private BLOB    NOT NULL,
    so_public     BLOB,
    so_private    BLOB,
    guard_public  BLOB,                                                 -- of changes of the PIN
    guard_private BLOB,
    secret_public  BLOB,                                                -- its secret, sealed
    secret_private BLOB,                                                -- below the token key
    so_pin_is_set INTEGER NOT NULL CHECK (so_pin_is_set IN (0, 1)),
    pin_is_set    INTEGER NOT NULL CHECK (pin_is_set IN (0, 1)),
    nv_handle     INTEGER,
    max_tries     INTEGER,
    key_types     TEXT    NOT NULL,                                     -- that the chip makes
    salt          BLOB    NOT NULL,
    kdf_memory    INTEGER NOT NULL,                                     -- KiB
    kdf_passes    INTEGER NOT NULL,
    kdf_lanes     INTEGER NOT NULL,
    tries_left    INTEGER,                                              -- when last seen
    tries_max     INTEGER,
    so_tries_left INTEGER,
    so_tries_max  INTEGER,
    CHECK ((wall = 'counter') = (nv_handle IS NOT NULL)),
    CHECK ((wall = 'counter') = (max_tries IS NOT NULL)),
    CHECK ((so_public IS NULL) = (so_private IS NULL)),
    CHECK ((wall = 'counter') = (guard_public IS NOT NULL)),
    CHECK ((guard_public IS NULL) = (guard_private IS NULL)),
    CHECK ((secret_public IS NULL) = (secret_private IS NULL)),
    CHECK ((tries_left IS NULL) = (tries_max IS NULL)),
    CHECK ((so_tries_left IS NULL) = (so_tries_max IS NULL))
) STRICT;

CREATE TABLE key (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    token               INTEGER NOT NULL REFERENCES token ON DELETE CASCADE,
    created             INTEGER NOT NULL CHECK (created >= 0),
    always_authenticate INTEGER NOT NULL CHECK (always_authenticate IN (0, 1)),
    public              BLOB    NOT NULL,
    private             BLOB    NOT NULL
) STRICT;

CREATE INDEX key_of_token ON key (token);

-- A key pair is a row in `key` and two here. Deleting the key deletes both.
CREATE TABLE object (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    token         INTEGER NOT NULL REFERENCES token ON DELETE CASCADE,
    class         TEXT    NOT NULL CHECK (class IN ('private-key', 'public-key', 'certificate', 'data')),
    key           INTEGER REFERENCES key ON DELETE CASCADE,
    label         TEXT    NOT NULL,
    cka_id        BLOB    NOT NULL,
    private       INTEGER NOT NULL CHECK (private IN (0, 1)),
    subject       BLOB    NOT NULL,
    value         BLOB    NOT NULL, -- certificate, data, or an added key's SubjectPublicKeyInfo
    issuer        BLOB    NOT NULL,
    serial_number BLOB    NOT NULL,
    application   TEXT    NOT NULL,
    object_id     BLOB    NOT NULL,
    UNIQUE (key, class),
    CHECK (class <> 'private-key' OR key IS NOT NULL),
    CHECK (class IN ('private-key', 'public-key') OR key IS NULL)
) STRICT;

CREATE INDEX object_of_token ON object (token, class, cka_id);

-- PIN counters that are about to be made in the TPM, so that one whose token was never
-- finished can be found again.
CREATE TABLE nv_intent (
    handle    INTEGER NOT NULL,
    so_name   BLOB    NOT NULL,                             -- with the handle, its identity
    guard_name BLOB   NOT NULL,
    srk_name  BLOB    NOT NULL,                             -- of which TPM
    created   INTEGER NOT NULL CHECK (created >= 0),
    abandoned INTEGER NOT NULL CHECK (abandoned IN (0, 1)), -- somebody is removing it
    PRIMARY KEY (handle, so_name)
) STRICT;
