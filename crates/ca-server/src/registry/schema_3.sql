-- The SHA-256 of the trusted certificate that has vouched for the TPM in the last proof; NULL if none was asked for, or if that was before
-- this column.
ALTER TABLE binding ADD COLUMN trusted BLOB;
