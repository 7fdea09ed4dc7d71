-- Keys that were revoked by their SHA-256 from the audit log, because the backup from which the registry was restored lacks them.
CREATE TABLE revoked_print (
    sha256 BLOB PRIMARY KEY,
    made INTEGER NOT NULL
) STRICT;
