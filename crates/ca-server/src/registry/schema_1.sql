-- The registry of an authority: devices, keys, names and certificates. Times are seconds since 1970; Names and keys are bytes.

CREATE TABLE meta (
    -- One row.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    krl_number INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 0);

CREATE TABLE device (
    id INTEGER PRIMARY KEY,
    ek_name BLOB NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
    maker TEXT NOT NULL DEFAULT '',
    first_seen INTEGER NOT NULL
) STRICT;

-- The role and name of a device, from a join token, an identity or an import.
CREATE TABLE assignment (
    device INTEGER NOT NULL REFERENCES device,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'pending')),
    -- Whether an administrator imported this for the endorsement key. A join token names no endorsement key.
    imported INTEGER NOT NULL CHECK (imported IN (0, 1)),
    PRIMARY KEY (device, role)
) STRICT;

-- A key that was proven to be in the device, and its attestation key.
CREATE TABLE binding (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES device,
    role TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'pending', 'retired', 'revoked')),
    ak_name BLOB NOT NULL,
    ak_public BLOB NOT NULL,
    signer BLOB NOT NULL,
    key_name BLOB NOT NULL,
    ssh_key BLOB NOT NULL,
    qualified_name BLOB NOT NULL,
    -- As the last proof has shown them.
    wall TEXT NOT NULL,
    mode TEXT NOT NULL,
    -- The TPM's time when it was last seen, which may not go back.
    clock INTEGER NOT NULL,
    resets INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    UNIQUE (ak_name, key_name, role)
) STRICT;
CREATE INDEX binding_device ON binding (device, role);
CREATE INDEX binding_key ON binding (key_name);

-- The names of hosts. Each belongs to one key, from the first certificate with the name until the key is revoked or replaced; then it goes to the new key.
CREATE TABLE principal (
    name TEXT PRIMARY KEY,
    binding INTEGER NOT NULL REFERENCES binding
) STRICT;
CREATE INDEX principal_binding ON principal (binding);

CREATE TABLE ca_key (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    public BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE issued (
    ca INTEGER NOT NULL REFERENCES ca_key,
    -- The 64 bits of the serial number, as a signed number.
    serial INTEGER NOT NULL,
    binding INTEGER NOT NULL REFERENCES binding,
    issued INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (ca, serial)
) STRICT;
CREATE INDEX issued_binding ON issued (binding);

-- Nonces that were answered, with the SHA-256 of the answer and its result.
CREATE TABLE used_nonce (
    nonce BLOB PRIMARY KEY,
    expires INTEGER NOT NULL,
    body BLOB NOT NULL,
    -- The certificate, or NULL if the answer waits for an administrator as `binding`.
    certificate BLOB,
    binding INTEGER NOT NULL REFERENCES binding
) STRICT;
CREATE INDEX used_nonce_expires ON used_nonce (expires);

CREATE TABLE join_token (
    -- SHA-256 of the token.
    hash BLOB PRIMARY KEY,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    made_by TEXT NOT NULL
) STRICT;

CREATE TABLE revocation (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES device,
    ssh_key BLOB NOT NULL UNIQUE,
    reason TEXT NOT NULL,
    made INTEGER NOT NULL,
    made_by TEXT NOT NULL
) STRICT;
