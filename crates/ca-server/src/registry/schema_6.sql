-- Keys that were revoked after the backup that this registry comes from, and that it does not know: the audit log has their SHA-256.
CREATE TABLE revoked_print (
    sha256 BLOB PRIMARY KEY,
    made INTEGER NOT NULL
) STRICT;
