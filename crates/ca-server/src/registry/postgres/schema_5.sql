-- Keys that were revoked by their SHA-256 from the audit log, because the backup from which the registry was restored lacks them.
CREATE TABLE revoked_print (
    sha256 BYTEA PRIMARY KEY,
    made BIGINT NOT NULL
);

-- Every role that has the rights of a node (role.sql) gets these rights too, also if it is not named now.
DO $$
DECLARE
    node NAME;
BEGIN
    FOR node IN
        SELECT grantee FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND table_name = 'revocation' AND privilege_type = 'INSERT' AND grantee <> current_user
    LOOP
        EXECUTE format('GRANT SELECT, INSERT ON public.revoked_print TO %I', node);
    END LOOP;
END
$$;
