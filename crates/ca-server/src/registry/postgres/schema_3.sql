-- Several keys, each with its state. A key from before this version is `past` and not published until a node starts with it, because it may no longer
-- be in use. A retired key is in the list of revoked keys for ever.
ALTER TABLE ca_key ADD COLUMN state TEXT NOT NULL DEFAULT 'past' CHECK (state IN ('past', 'active', 'retired'));
-- Where the private half is, and the node that last started with the key; empty until a node does.
ALTER TABLE ca_key ADD COLUMN custody TEXT NOT NULL DEFAULT '';
ALTER TABLE ca_key ADD COLUMN node TEXT NOT NULL DEFAULT '';
-- The number of the list of keys, which grows with each change. Machines refuse a smaller number.
ALTER TABLE meta ADD COLUMN keys_number BIGINT NOT NULL DEFAULT 0;

CREATE FUNCTION ca_key_stays_retired() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF OLD.state = 'retired' AND NEW.state <> 'retired' THEN
        RAISE EXCEPTION 'a retired key stays retired';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER ca_key_stays_retired BEFORE UPDATE ON ca_key FOR EACH ROW EXECUTE FUNCTION ca_key_stays_retired();

-- Every role that has the rights of a node (role.sql) gets this right too, also if it is not named now.
DO $$
DECLARE
    node NAME;
BEGIN
    FOR node IN
        SELECT grantee FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND table_name = 'ca_key' AND privilege_type = 'INSERT' AND grantee <> current_user
    LOOP
        EXECUTE format('GRANT UPDATE (state, custody, node) ON public.ca_key TO %I', node);
    END LOOP;
END
$$;
