-- What version 11 of the store added: the role that was named to an authority that has several for a key.

PRAGMA user_version = 11;

ALTER TABLE enrolment ADD COLUMN role TEXT;
