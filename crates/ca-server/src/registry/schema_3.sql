-- The SHA-256 of the trusted certificate that vouched for the TPM in the last proof; NULL if no certificate was needed, or if the proof is older
-- than this column.
ALTER TABLE binding ADD COLUMN trusted BLOB;
