-- What version 5 of the store added: what a key may be used for, and attributes that callers set.

PRAGMA user_version = 5;

-- Whether the owner lets the key sign.
ALTER TABLE key ADD COLUMN signs INTEGER NOT NULL DEFAULT 1 CHECK (signs IN (0, 1));

-- The mechanisms that the key may be used with, 8 bytes each, big-endian. NULL: all of its type.
ALTER TABLE key ADD COLUMN mechanisms BLOB CHECK (length(mechanisms) % 8 = 0);

-- Attributes that a caller of PKCS#11 set and that the store does not interpret; for each its type
-- (8 bytes), the length of its value (4 bytes), both big-endian, and the value.
ALTER TABLE object ADD COLUMN attributes BLOB NOT NULL DEFAULT x'';
