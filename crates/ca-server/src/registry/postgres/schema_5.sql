-- Keys that were revoked after the backup that this registry comes from, and that it does not know: the audit log has their SHA-256.
CREATE TABLE revoked_print (
    sha256 BYTEA PRIMARY KEY,
    made BIGINT NOT NULL
);

-- Whoever had the rights of a node has these too (role.sql), also if it is not named now.
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
