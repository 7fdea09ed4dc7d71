-- What version 4 of the store added: how often the PIN of a token was set.

PRAGMA user_version = 4;

-- A login compares it with what it was: another number means that the login is over.
ALTER TABLE token ADD COLUMN pin_generation INTEGER NOT NULL DEFAULT 0 CHECK (pin_generation >= 0);
