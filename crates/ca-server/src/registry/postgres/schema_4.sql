-- A join token may have several uses. `uses_left` is 0 if the token was used up or withdrawn.
ALTER TABLE join_token ADD COLUMN uses_left BIGINT NOT NULL DEFAULT 1;
UPDATE join_token SET uses_left = 0 WHERE used;
ALTER TABLE join_token DROP COLUMN used;
