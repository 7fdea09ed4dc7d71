-- Several keys, each with its state. A key that was noted before this is `past` until a node starts with it: it may have been given up long ago,
-- and is not published. A retired one is in the list of revoked keys, and stays there.
ALTER TABLE ca_key ADD COLUMN state TEXT NOT NULL DEFAULT 'past' CHECK (state IN ('past', 'active', 'retired'));
-- Where its private half is, and the node that last started with it; empty until one does.
ALTER TABLE ca_key ADD COLUMN custody TEXT NOT NULL DEFAULT '';
ALTER TABLE ca_key ADD COLUMN node TEXT NOT NULL DEFAULT '';
CREATE TRIGGER ca_key_stays_retired BEFORE UPDATE OF state ON ca_key WHEN OLD.state = 'retired' AND NEW.state <> 'retired'
BEGIN SELECT RAISE(ABORT, 'a retired key stays retired'); END;
-- The number of the list of keys, which grows with each change: machines take no smaller one.
ALTER TABLE meta ADD COLUMN keys_number INTEGER NOT NULL DEFAULT 0;
