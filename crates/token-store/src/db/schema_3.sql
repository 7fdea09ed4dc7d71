-- What version 3 of the store added: what the chip can do, and what keys are allowed to do.

PRAGMA user_version = 3;

-- Asked when the token is made, and again when the firmware has changed; NULL: not yet.
ALTER TABLE token ADD COLUMN chip BLOB;

-- Whether the owner lets the key decrypt or derive. A TPM's attribute of that kind may be set
-- for paddings alone. NULL: the TPM's attribute says it, as in older versions.
ALTER TABLE key ADD COLUMN decrypts INTEGER CHECK (decrypts IN (0, 1));
