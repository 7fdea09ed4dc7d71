-- What version 6 of the store added: what a proof takes that a key was born in this TPM.

PRAGMA user_version = 6;

-- The key with which a TPM says which keys are its own; one for all tokens below the same storage root key.
CREATE TABLE attestation_key (
    srk_name BLOB PRIMARY KEY,
    created  INTEGER NOT NULL CHECK (created >= 0),
    public   BLOB NOT NULL,
    private  BLOB NOT NULL
) STRICT;

-- Authorities that certify only keys with a proof.
CREATE TABLE proof_required (
    authority INTEGER PRIMARY KEY REFERENCES authority ON DELETE CASCADE
) STRICT;

-- The challenges whose proofs were used for a certificate, until the challenge has expired anyway.
CREATE TABLE proof_used (
    nonce   BLOB PRIMARY KEY CHECK (length(nonce) = 32),
    expires INTEGER NOT NULL CHECK (expires >= 0)
) STRICT;
