-- Several keys, each with its state. A key from before this version is `past` and not published until a node starts with it, because it may no longer
-- be in use. A retired key is in the list of revoked keys for ever.
ALTER TABLE ca_key ADD COLUMN state TEXT NOT NULL DEFAULT 'past' CHECK (state IN ('past', 'active', 'retired'));
-- Where the private half is, and the node that last started with the key; empty until a node does.
ALTER TABLE ca_key ADD COLUMN custody TEXT NOT NULL DEFAULT '';
ALTER TABLE ca_key ADD COLUMN node TEXT NOT NULL DEFAULT '';
CREATE TRIGGER ca_key_stays_retired BEFORE UPDATE OF state ON ca_key WHEN OLD.state = 'retired' AND NEW.state <> 'retired'
BEGIN SELECT RAISE(ABORT, 'a retired key stays retired'); END;
-- The number of the list of keys, which grows with each change. Machines refuse a smaller number.
ALTER TABLE meta ADD COLUMN keys_number INTEGER NOT NULL DEFAULT 0;
