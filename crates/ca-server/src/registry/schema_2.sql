-- The last list of revoked keys: how many keys it has, and when it was made.
ALTER TABLE meta ADD COLUMN krl_keys INTEGER NOT NULL DEFAULT -1;
ALTER TABLE meta ADD COLUMN krl_made INTEGER NOT NULL DEFAULT 0;
