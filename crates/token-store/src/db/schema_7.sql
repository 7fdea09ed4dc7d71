-- What version 7 of the store added: keys that were made outside of the TPM.

PRAGMA user_version = 7;

-- The parent of a token's imported keys, itself below the token key. No column says which keys are
-- imported: their public areas do, which the TPM binds to the private parts.
CREATE TABLE arrival (
    token   INTEGER PRIMARY KEY REFERENCES token ON DELETE CASCADE,
    public  BLOB NOT NULL,
    private BLOB NOT NULL
) STRICT;
